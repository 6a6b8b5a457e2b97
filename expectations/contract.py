"""What a table promises: a contract in the Open Data Contract Standard, read into two small types.

Types, keys, required, allowed values, ranges and personal data come from the standard's own fields; what it lacks
comes from the `customProperties` of `expectations.vocabulary`. Lake schema, suites, masking and suppression are derived
from here.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ContractError

if TYPE_CHECKING:
    import pyarrow as pa

TYPES = ("string", "integer", "number", "boolean", "timestamp", "date")
"""Logical types of the standard that Leadwise stores."""

OUTPUT = "audience"
"""Name of the contract of what is delivered: it stands beside those of what is collected, and is none of them."""

Bound = float | int | datetime

_SHORTEST = 10_000_000  # a number below is no phone: too few digits


@dataclass(frozen=True)
class Column:
    """One column of a table, as its source has it.

    Attributes:
        name: name in the source (or in the mapping's result).
        id: the standard's stable identifier; by it a renamed column is known. Empty takes the name.
        type: one of `TYPES`.
        required: whether a row without it is bad. Keys, entities and times always are.
        key: part of the primary key.
        allowed: the only values it may have; None for any.
        minimum, maximum: inclusive bounds; timestamps naive UTC.
        exclusive_minimum, exclusive_maximum: the same, excluded.
        pattern: regular expression the whole value has to match.
        min_length, max_length: characters.
        personal: classified as personal data: never shown, never in a clean table.
        public: classified as public: it may hold phones that are nobody's secret, such as a shop's.
        entity: name of the entity it identifies.
        event_time, arrived_at, consent, phone, segment, timezone: see `vocabulary.WORDS`.
        known_after: how long after the event the value becomes known.
        opt_out: the value that says "no more messages".
        unreachable: the value that says "can receive no message".
    """

    name: str
    type: str
    description: str = ""
    required: bool = False
    key: bool = False
    allowed: tuple[Any, ...] | None = None
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    personal: bool = False
    public: bool = False
    entity: str | None = None
    event_time: bool = False
    arrived_at: bool = False
    known_after: timedelta | None = None
    consent: bool = False
    opt_out: str | None = None
    unreachable: str | None = None
    phone: bool = False
    segment: bool = False
    timezone: bool = False
    id: str = ""

    @property
    def identity(self) -> str:
        """What it is known by from one version of its contract to the next."""
        return self.id or self.name

    @property
    def clean_name(self) -> str | None:
        """Name in the clean table: the entity's where it identifies one; None when it must not get there."""
        return self.entity or (None if self.personal else self.name)

    @property
    def may_stray(self) -> bool:
        """Whether a phone could reach the clean table in it: a free text, or a number that may be as large."""
        if self.personal or self.public or self.allowed is not None:
            return False
        if self.type == "string":
            return not self.timezone
        bound = self.maximum if self.maximum is not None else self.exclusive_maximum
        return self.type in ("integer", "number") and (not isinstance(bound, int | float) or bound >= _SHORTEST)

    @property
    def pseudonymised(self) -> bool:
        """Whether the clean table holds a lead id in its place."""
        return self.personal and self.entity is not None


@dataclass(frozen=True)
class Rule:
    """A hand-written expectation: a rule that is not a column's.

    Attributes:
        name: what the quarantine calls it.
        type: Great Expectations' name, such as `expect_column_pair_values_a_to_be_greater_than_b`.
        kwargs: its arguments.
        description: one sentence for people.
        columns: the columns it looks at.
    """

    name: str
    type: str
    kwargs: dict[str, Any]
    description: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Contract:
    """One table's contract.

    Attributes:
        name: the table, also the file's name.
        version: of the contract.
        description: for people.
        columns: in the contract's order.
        path: the file.
        arrival_delay: rows arrive this long after their event, where no column says when.
        expectations: the hand-written rules.
        message: whether each row is a message that was sent to the entity.
    """

    name: str
    version: str
    description: str
    columns: tuple[Column, ...]
    path: Path
    arrival_delay: timedelta | None = None
    expectations: tuple[Rule, ...] = field(default_factory=tuple)
    message: bool = False

    def column(self, name: str) -> Column:
        """The column called `name` in the source; KeyError when there is none."""
        return self.by_name[name]

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by their source name."""
        return {column.name: column for column in self.columns}

    @property
    def source_columns(self) -> list[str]:
        """Names the mapping's result has to have, in order."""
        return [column.name for column in self.columns]

    @property
    def clean_columns(self) -> dict[str, Column]:
        """Columns of the clean table by their name there, in order."""
        return {c.clean_name: c for c in self.columns if c.clean_name is not None}

    @property
    def keys(self) -> list[str]:
        """Names of the key's columns in the clean table."""
        return [name for name, column in self.clean_columns.items() if column.key]

    @property
    def event_time(self) -> str | None:
        """Name of the column that says when the event happened."""
        return next((c.name for c in self.columns if c.event_time), None)

    @property
    def arrived_at(self) -> str | None:
        """Name of the column that says when the row arrived."""
        return next((c.name for c in self.columns if c.arrived_at), None)

    @property
    def entity(self) -> str | None:
        """Name of the entity the rows belong to."""
        return next((c.entity for c in self.columns if c.entity), None)

    def clean_schema(self) -> "pa.Schema":
        """Arrow schema of the clean table's contract columns (without the `_` columns)."""
        import pyarrow as pa

        return pa.schema(
            [
                pa.field(name, pa.string() if column.pseudonymised else arrow_type(column.type))
                for name, column in self.clean_columns.items()
            ]
        )


def arrow_type(logical: str) -> "pa.DataType":
    """The Arrow type in which the lake holds a logical type."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us"),
        "date": pa.date32(),
    }
    return types[logical]


def load_contracts(folder: Path) -> dict[str, Contract]:
    """Read every contract of what a use case collects.

    Args:
        folder: holds one `<table>.yaml` per table.

    Returns:
        Contract by table, in the order of the names.

    Raises:
        ContractError: no contract there, or one that is not valid ODCS or uses a word Leadwise does not know.
    """
    paths = contract_files(folder)
    if not paths:
        raise ContractError(f"there is no contract in {folder}: write one <table>.yaml for each table")
    contracts = [load_contract(path) for path in paths]
    return {contract.name: contract for contract in contracts}


def contract_files(folder: Path) -> list[Path]:
    """Files of the contracts of what a use case collects, in the order of their names."""
    return sorted(path for path in [*folder.glob("*.yaml"), *folder.glob("*.yml")] if path.stem != OUTPUT)


def load_output(folder: Path) -> Contract | None:
    """The contract of a use case's audience, `audience.yaml`; None where it has none.

    Raises:
        ContractError: see `load_contracts`.
    """
    path = folder / f"{OUTPUT}.yaml"
    return load_contract(path) if path.is_file() else None


def load_contract(path: Path) -> Contract:
    """Read one contract file.

    Raises:
        ContractError: see `load_contracts`.
    """
    try:
        stat = path.stat()
    except OSError:
        raise ContractError(f"there is no contract {path}: write it in the Open Data Contract Standard") from None
    return _load(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _load(path: Path, mtime: int, size: int) -> Contract:
    """Contracts are read by every step of a process: keep them as long as the file stays as it is."""
    from expectations.reading import contract_of

    return contract_of(path)
