"""Rules of contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipelines.core.errors import ContractError
from pipelines.doctor.rules import Fault, rule

if TYPE_CHECKING:
    from open_data_contract_standard.model import SchemaProperty

    from pipelines.doctor.facts import Facts

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
# Words of a column's name that speak of a person's address; English and Spanish.
_PERSONAL = frozenset(
    re.findall(r"\w+", "phone telephone mobile msisdn cellphone telefono celular movil email mail correo")
)
# Words that say the column tells about the address, and is not one.
_ABOUT = frozenset(
    re.findall(
        r"\w+",
        "type kind brand model carrier status verified valid valido count consent opt domain provider has is uses"
        " campaign campaigns channel sent opened clicked active ms at id",
    )
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\+\d{7,15}")
_EXAMPLES = ("anna@example.org", "+525512345678")


@rule(
    "contract-odcs", "error", "every contract is valid in the Open Data Contract Standard",
    why="a contract that can't be read is no gate: every step of the use case stops at it",
    mend="mend the field that the sentence names; docs/reference.md lists those that Leadwise reads",
)  # fmt: skip
def contract_odcs(facts: Facts) -> Iterator[Fault]:
    """YAML and the standard's own schema."""
    from expectations.odcs import read_odcs

    for _, path in facts.contract_files():
        try:
            read_odcs(path)
        except ContractError as error:
            yield Fault(facts.shown(path), str(error))


@rule(
    "contract-meaning", "error", "every contract says only what Leadwise checks",
    why="a word or a rule that nobody reads would look like a promise that is kept",
    mend="use the vocabulary of docs/reference.md",
)  # fmt: skip
def contract_meaning(facts: Facts) -> Iterator[Fault]:
    """Vocabulary, keys, types and rules of contracts that are valid in the standard."""
    from expectations.contract import load_contract
    from expectations.odcs import read_odcs

    for _, path in facts.contract_files():
        try:
            read_odcs(path)
        except ContractError:
            continue
        try:
            load_contract(path)
        except ContractError as error:
            yield Fault(facts.shown(path), str(error))


@rule(
    "contract-missing", "error", "every use case has a contract",
    why="without a contract there is no table, and nothing to check rows against",
    mend="write one <table>.yaml for each table, or let `leadwise init` infer them from a file",
)  # fmt: skip
def contract_missing(facts: Facts) -> Iterator[Fault]:
    """Folders without a contract."""
    with_files = {tenant.use_case for tenant, _ in facts.contract_files()}
    for tenant in facts.use_cases():
        if tenant.use_case not in with_files:
            yield Fault(facts.shown(tenant.contracts_dir), f"the use case '{tenant.use_case}' has no contract")


@rule(
    "contract-entity", "error", "some table of a use case identifies an entity",
    why="features, labels and scores are of an entity; without one there is nothing to score",
    mend="give a key column the customProperty {property: entity, value: <name>}",
)  # fmt: skip
def contract_entity(facts: Facts) -> Iterator[Fault]:
    """Use cases without an entity."""
    for tenant, contracts in facts.judged():
        if not any(contract.entity for contract in contracts.values()):
            what = f"no table of the use case '{tenant.use_case}' has an entity"
            yield Fault(facts.shown(tenant.contracts_dir), what)


@rule(
    "contract-event-time", "warning", "every table says when its rows happened",
    why="without an event time a row counts from its arrival on, and no delay or later-known column can be declared",
    mend="give the column with the time of the event the customProperty {property: event_time, value: true}",
)  # fmt: skip
def contract_event_time(facts: Facts) -> Iterator[Fault]:
    """Tables without an event time."""
    for tenant in facts.use_cases():
        for contract in facts.readable_contracts(tenant).values():
            if contract.event_time is None:
                yield Fault(facts.shown(contract.path), f"the table '{contract.name}' has no event time")


@rule(
    "contract-personal", "error", "what looks like a phone or an e-mail address is classified",
    why="what is not declared personal goes into clean tables, features and audiences as it is",
    mend="give the column 'classification: restricted', or 'classification: public' where it is no personal data",
)  # fmt: skip
def contract_personal(facts: Facts) -> Iterator[Fault]:
    """Text columns without classification whose name, pattern or examples look like an address."""
    from expectations.odcs import read_odcs

    for _, path in facts.contract_files():
        try:
            document = read_odcs(path)
        except ContractError:
            continue
        for table in document.schema_ or []:
            for column in table.properties or []:
                sign = _sign(column)
                if sign:
                    yield Fault(facts.shown(path), f"the column '{column.name}' {sign} and has no classification")


def _sign(column: SchemaProperty) -> str | None:
    """Why a column may be personal data; None when it is classified or looks harmless. Says no value."""
    if column.logicalType != "string" or column.classification is not None or column.enum:
        return None
    words = {word.lower() for word in _WORDS.findall(str(column.name))}
    if words & _PERSONAL and not words & _ABOUT:
        return "is named like an address or a phone"
    if any(_ADDRESS.fullmatch(str(example)) for example in column.examples or []):
        return "has an example like an address or a phone"
    pattern = (column.logicalTypeOptions or {}).get("pattern")
    if isinstance(pattern, str) and ("@" in pattern or r"\+" in pattern) and _matches(pattern):
        return "has a pattern like an address or a phone"
    return None


def _matches(pattern: str) -> bool:
    try:
        return any(re.fullmatch(pattern, text) for text in _EXAMPLES)
    except re.error:
        return False
