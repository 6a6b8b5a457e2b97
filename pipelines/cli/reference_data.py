"""Parts of the reference that come from data: contract vocabulary, tables of the lake, contracts of the use cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.markdown import code, codes, table

if TYPE_CHECKING:
    import pyarrow as pa

    from expectations.contract import Column, Contract

_VALUES = {
    "flag": "`true`",
    "name": "a name",
    "value": "a text",
    "duration": "an ISO 8601 duration, such as `P1D`",
}
# What a namespace of the lake is for; its columns come from the schemas that are written.
_PURPOSE = {
    "raw": "what was read, as it is: the source's own columns, and",
    "clean": "what passed the gate: the contract's columns with lead ids for phones, and",
    "quarantine": "rows that did not pass",
    "identity": "phones and their lead ids; the only table beside raw and quarantine that knows phones",
    "features": "`features.<view>`: entity, `as_of`, the features, `_sql_hash`, `_loaded_at`",
    "deliver": "scores",
    "watch": "drift",
}


def vocabulary() -> str:
    """The fields of the standard that are read, and the words contracts may add."""
    from expectations.rules import ROW_RULES
    from expectations.vocabulary import TABLE_WORDS, WORDS

    fields = table(["field of a column", "value", "what becomes of it"], _odcs_fields())
    words = table(
        ["word of a column", "value", "of columns", "meaning"],
        [(code(name), _VALUES[word.kind], codes(word.types) or "any", word.meaning) for name, word in WORDS.items()],
    )
    of_tables = table(
        ["word of a table", "value", "meaning"],
        [(code(name), _VALUES[word.kind], word.meaning) for name, word in TABLE_WORDS.items()],
    )
    return (
        "## Contracts\n\nOne file per table, in the Open Data Contract Standard. What would not be checked is"
        " refused.\n\n"
        f"{fields}\nWhat the standard lacks stands under `customProperties`, as"
        " `{property: <word>, value: <value>}`:\n\n"
        f"{words}\n{of_tables}\n"
        "A rule that is not a column's is a `quality` entry of `type: custom` and `engine: greatExpectations`, whose"
        " `implementation` names one of Great Expectations that judge rows one by one:\n\n"
        + "".join(f"- {code(name)}\n" for name in ROW_RULES)
    )


def _odcs_fields() -> Sequence[tuple[str, str, str]]:
    from expectations.contract import TYPES
    from expectations.reading import OPEN, OPTIONS, PERSONAL

    return [
        ("`name`", "letters, digits and `_`", "the column's name in its source, or in the result of `mapping.sql`"),
        ("`logicalType`", codes(TYPES), "the type in the lake; a cell that can't be read as it goes to quarantine"),
        (
            "`id`",
            "the name it had",
            "by it a column that was renamed is known; without it the name says which column it is",
        ),
        ("`required`", "`true`", "a row without it goes to quarantine; keys, entities and times always are"),
        ("`primaryKey`", "`true`", "which rows are versions of one; at least one column"),
        ("`classification`", f"{codes(PERSONAL)}; or {codes(OPEN)}", "the first three: never in a clean table"),
        ("`enum`", "a list of values", "any other value goes to quarantine"),
        ("`logicalTypeOptions`", codes(OPTIONS), "a value outside goes to quarantine"),
        (
            "`quality`",
            "`nullValues`, or `invalidValues` with `validValues` or `pattern`, and `mustBe: 0`",
            "the library's way to say required, enum and pattern",
        ),
        ("`description`", "a text", "for people"),
    ]


def lake() -> str:
    """Namespaces of the lake and the columns that are ours."""
    from pipelines.collect.notes import FILES, FILES_SCHEMA
    from pipelines.collect.schema import SYSTEM as RAW
    from pipelines.deliver.table import SCHEMA as SCORES
    from pipelines.lake.catalog import NAMESPACES
    from pipelines.lake.identities import SCHEMA as IDENTITIES
    from pipelines.lake.identities import TABLE
    from pipelines.quality.gate import SYSTEM as CLEAN
    from pipelines.quality.quarantine import SCHEMA as QUARANTINE
    from pipelines.watch.monitor import SCHEMA as DRIFT
    from pipelines.watch.monitor import TABLE as WATCH

    schemas: dict[str, list[tuple[str, pa.Schema]]] = {
        "raw": [("raw.<source>", RAW), (FILES, FILES_SCHEMA)],
        "clean": [("clean.<table>", CLEAN)],
        "quarantine": [("quarantine.<table>", QUARANTINE)],
        "identity": [(TABLE, IDENTITIES)],
        "deliver": [("deliver.scores", SCORES)],
        "watch": [(WATCH, DRIFT)],
    }
    rows = [
        (code(name), _PURPOSE[space] if number == 0 else "the files that were read", _columns(schema))
        for space in NAMESPACES
        for number, (name, schema) in enumerate(schemas.get(space, [("features.<view>", None)]))
    ]
    return (
        "## Tables of the lake\n\nIceberg tables in a catalog per tenant (`var/<tenant>/catalog.db`). Times are naive"
        " UTC microseconds; columns that begin with `_` are Leadwise's own.\n\n"
        + table(["table", "holds", "columns"], rows)
    )


def _columns(schema: pa.Schema | None) -> str:
    return "" if schema is None else ", ".join(f"`{field.name}` {field.type}" for field in schema)


def use_cases() -> str:
    """Contracts of every use case of the repository."""
    from expectations.contract import load_contracts, load_output
    from pipelines.core.settings import ROOT

    parts = ["## Data\n"]
    for folder in sorted(path for path in (ROOT / "expectations").glob("[a-z]*") if any(path.glob("*.yaml"))):
        parts.append(f"### Use case {folder.name}\n")
        contracts = [*load_contracts(folder).values(), load_output(folder)]
        parts += [_contract(contract, folder.parent.parent) for contract in contracts if contract is not None]
    return "\n".join(parts)


def _contract(contract: Contract, root: Path) -> str:
    head = f"#### {contract.name}\n\n{contract.description} ([contract](../{contract.path.relative_to(root)}))\n\n"
    rows = [(code(one.name), one.type, _role(one), _rules(one), one.description) for one in contract.columns]
    return head + table(["column", "type", "is", "rules", "meaning"], rows)


def _role(column: Column) -> str:
    """What a column is, in the words of the vocabulary."""
    flags = ("event_time", "arrived_at", "consent", "phone", "segment", "timezone")
    told = ["key"] if column.key else []
    told += ["personal"] if column.personal else []
    told += [f"entity {code(column.entity)}"] if column.entity else []
    told += [name.replace("_", " ") for name in flags if getattr(column, name)]
    told += [f"known after {column.known_after.total_seconds() / 86_400:g} days"] if column.known_after else []
    return ", ".join(
        [
            *told,
            *([f"opt-out {code(column.opt_out)}"] if column.opt_out else []),
            *([f"unreachable {code(column.unreachable)}"] if column.unreachable else []),
        ]
    )


def _rules(column: Column) -> str:
    """What a value has to keep."""
    told = ["required"] if column.required else []
    told += [f"one of {codes(column.allowed)}"] if column.allowed else []
    bounds = (
        ("≥", column.minimum),
        (">", column.exclusive_minimum),
        ("≤", column.maximum),
        ("<", column.exclusive_maximum),
    )
    told += [f"{sign} {bound}" for sign, bound in bounds if bound is not None]
    told += [f"matches {code(column.pattern)}"] if column.pattern else []
    told += [f"{column.min_length} or more characters"] if column.min_length else []
    return ", ".join([*told, *([f"{column.max_length} characters at most"] if column.max_length else [])])
