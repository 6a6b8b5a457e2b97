"""From a checked ODCS document to a Contract; whatever would be silently ignored is refused."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.contract import TYPES, Bound, Column, Contract
from expectations.odcs import read_odcs
from expectations.rules import read_rules
from expectations.vocabulary import TABLE_WORDS, WORDS, read_words
from pipelines.core.errors import ContractError, nearest

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, SchemaProperty

PERSONAL = ("personal", "confidential", "restricted")
OPEN = ("public", "internal")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_RESERVED = ("source_file", "source_row")
OPTIONS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "minLength", "maxLength")
_FITS: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
_INFORMATIVE = ("format", "timezone", "defaultTimezone")


def contract_of(path: Path) -> Contract:
    """Read the contract file `path`.

    Raises:
        ContractError: not valid ODCS, an unknown word, or a rule that would not be checked.
    """
    document = read_odcs(path)
    read_words(str(path), document.customProperties, {})
    tables = document.schema_ or []
    if len(tables) != 1:
        raise ContractError(f"{path} describes {len(tables)} tables in 'schema': a contract here is one table")
    table = tables[0]
    if table.name != path.stem:
        raise ContractError(f"{path} describes the table '{table.name}': name the file {table.name}.yaml")
    words = read_words(str(path), table.customProperties, TABLE_WORDS)
    columns = tuple(_column(path, item) for item in table.properties or [])
    texts = document.description
    contract = Contract(
        name=str(table.name),
        version=str(document.version),
        description=table.description or (texts.purpose if texts and texts.purpose else ""),
        columns=columns,
        path=path,
        arrival_delay=words.get("arrived_at"),
        expectations=tuple(read_rules(path, table, columns)),
        message=words.get("message", False),
    )
    _check_whole(contract)
    return contract


def _column(path: Path, item: "SchemaProperty") -> Column:
    name = str(item.name)
    where = f"{path}, column '{name}'"
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ContractError(f"{where}: a column's name has letters, digits and _, and is not {' or '.join(_RESERVED)}")
    logical = item.logicalType
    if logical not in TYPES:
        raise ContractError(f"{where}: logicalType is {logical!r}: {nearest(str(logical), TYPES)}")
    words = read_words(where, item.customProperties, WORDS, logical)
    facts = _options(where, logical, item.logicalTypeOptions or {})
    _add_quality(where, logical, item, facts)
    if item.unique and not item.primaryKey:
        raise ContractError(
            f"{where}: 'unique' is not checked: use a quality entry of type custom, engine greatExpectations,"
            " with expect_column_values_to_be_unique"
        )
    key = bool(item.primaryKey)
    personal = _personal(where, item.classification)
    placed = key or any(words.get(word) for word in ("entity", "event_time", "arrived_at"))
    return Column(
        name=name,
        type=logical,
        description=" ".join((item.description or "").split()),
        required=bool(item.required) or placed or bool(facts.pop("required", False)),
        key=key,
        personal=personal,
        public=(item.classification or "").lower() == "public",
        id=item.id or "",
        **facts,
        **words,
    )


def _personal(where: str, classification: str | None) -> bool:
    if classification is None or classification.lower() in OPEN:
        return False
    if classification.lower() in PERSONAL:
        return True
    # A misspelt classification would let personal data through.
    raise ContractError(f"{where}: classification is '{classification}': {nearest(classification, (*PERSONAL, *OPEN))}")


def _options(where: str, logical: str, options: dict[str, Any]) -> dict[str, Any]:
    """Bounds, pattern and lengths from `logicalTypeOptions`."""
    names = {
        "minimum": "minimum",
        "maximum": "maximum",
        "exclusiveMinimum": "exclusive_minimum",
        "exclusiveMaximum": "exclusive_maximum",
        "minLength": "min_length",
        "maxLength": "max_length",
        "pattern": "pattern",
    }
    facts: dict[str, Any] = {}
    for option, value in options.items():
        if option in _INFORMATIVE:
            continue
        if option not in names:
            raise ContractError(f"{where}: logicalTypeOptions '{option}' is not checked: {nearest(option, OPTIONS)}")
        is_bound = option.endswith("imum") and logical in ("timestamp", "date")
        facts[names[option]] = _instant(where, option, value) if is_bound else value
    if "pattern" in facts:
        _check_pattern(where, facts["pattern"])
    return facts


def _check_pattern(where: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ContractError(f"{where}: pattern '{pattern}' is no regular expression: {error}") from None


def _instant(where: str, option: str, text: str) -> Bound:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ContractError(f"{where}: {option} '{text}' is not an ISO date or time such as 2026-03-01") from None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _add_quality(where: str, logical: str, item: "SchemaProperty", facts: dict[str, Any]) -> None:
    """Allowed values from `enum` or from the library's metrics, into `facts`."""
    if item.enum:
        facts["allowed"] = tuple(entry.value for entry in item.enum)
    for rule in item.quality or []:
        if rule.type in ("text", "custom"):
            continue
        _refuse_unless_zero(where, rule)
        arguments = rule.arguments or {}
        if rule.metric == "nullValues":
            facts["required"] = True
        elif rule.metric == "invalidValues" and set(arguments) <= {"validValues", "pattern"} and arguments:
            if "validValues" in arguments:
                facts["allowed"] = tuple(arguments["validValues"])
            if "pattern" in arguments:
                _check_pattern(where, arguments["pattern"])
                facts["pattern"] = arguments["pattern"]
        else:
            raise ContractError(
                f"{where}: the quality metric '{rule.metric}' with arguments {sorted(arguments)} is not checked:"
                " use nullValues, invalidValues with validValues or pattern, or engine greatExpectations"
            )
    fits = _FITS.get(logical, ())
    for value in facts.get("allowed") or ():
        if not isinstance(value, fits) or (isinstance(value, bool) and logical != "boolean"):
            raise ContractError(
                f"{where}: the allowed value {value!r} is no {logical}: quote texts such as 'yes' and 'no' in YAML"
            )


def _refuse_unless_zero(where: str, rule: "DataQuality") -> None:
    if rule.type not in (None, "library") or rule.metric is None:
        raise ContractError(
            f"{where}: a quality entry of type '{rule.type}' is not checked: use type library, or type custom with"
            " engine greatExpectations"
        )
    if rule.mustBe != 0 or isinstance(rule.mustBe, bool):
        raise ContractError(f"{where}: the quality metric '{rule.metric}' judges rows one by one: it needs 'mustBe: 0'")


def _check_whole(contract: Contract) -> None:
    """What only the columns together can tell."""
    path, columns = contract.path, contract.columns
    for names in ([column.name for column in columns], [name for c in columns if (name := c.clean_name)]):
        for name in names:
            if names.count(name) > 1:
                raise ContractError(f"{path}: the column '{name}' stands twice: names of columns and entities differ")
    _check_identities(contract)
    if not any(column.key for column in columns):
        raise ContractError(f"{path} has no primary key: mark at least one column with primaryKey: true")
    for word in ("event_time", "arrived_at", "entity"):
        marked = [column.name for column in columns if getattr(column, word)]
        if len(marked) > 1:
            raise ContractError(f"{path}: {' and '.join(marked)} are both marked {word}: only one column can be")
    for column in columns:
        _check_words(contract, column)
    if contract.arrival_delay is not None and (contract.arrived_at or not contract.event_time):
        raise ContractError(
            f"{path}: a table's arrived_at is a delay after the event: it needs an event_time and no arrived_at column"
        )


def _check_identities(contract: Contract) -> None:
    """A column is known by one identity, and an identity is one column's."""
    identities = [column.identity for column in contract.columns]
    for column in contract.columns:
        if identities.count(column.identity) > 1:
            raise ContractError(
                f"{contract.path}, column '{column.name}': the id '{column.identity}' stands for two columns: the id of"
                " a renamed column is the name it had, and no other column has that as name or id"
            )


def _check_words(contract: Contract, column: Column) -> None:
    """Words of one column that ask for something of the others."""
    where = f"{contract.path}, column '{column.name}'"
    if column.phone and not column.personal:
        raise ContractError(f"{where}: a phone is personal data: give it 'classification: restricted'")
    if column.key and column.clean_name is None:
        raise ContractError(f"{where}: a personal key needs the customProperty entity, or clean rows have no key")
    if column.pseudonymised and column.type != "string":
        raise ContractError(f"{where}: personal data that identifies an entity needs logicalType string")
    if column.personal and (column.event_time or column.arrived_at):
        raise ContractError(f"{where}: a time that clean rows need can't be personal data")
    if column.known_after is not None and contract.event_time is None:
        raise ContractError(f"{where}: known_after counts from the event: mark a column with event_time")
    for word, value in (("opt_out", column.opt_out), ("unreachable", column.unreachable)):
        if value is not None and column.allowed is not None and value not in column.allowed:
            options = map(str, column.allowed)
            raise ContractError(f"{where}: {word} '{value}' is no allowed value: {nearest(value, options)}")
