"""Columns of a source over its files and over time: one type a column, or a sentence about the file that differs."""

from collections.abc import Iterable

import pyarrow as pa

from pipelines.collect.types import WIDER
from pipelines.core.errors import SourceError

SYSTEM = pa.schema(
    [
        ("_batch_id", pa.string()),
        ("_source_file", pa.string()),
        ("_source_row", pa.int64()),
        ("_interval_end", pa.timestamp("us")),
        ("_loaded_at", pa.timestamp("us")),
    ]
)
"""What raw keeps beside the source's own columns."""

_WORDS = {
    pa.string(): "text",
    pa.int64(): "whole numbers",
    pa.float64(): "numbers",
    pa.bool_(): "true or false",
    pa.timestamp("us"): "times",
    pa.date32(): "days",
}


def unite(name: str, schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """One schema for the files of a source; columns keep the order in which they are met.

    Args:
        name: of the source.
        schemas: what to call each, and its columns.

    Raises:
        SourceError: a column holds one type here and another there, or takes a reserved name.
    """
    types: dict[str, pa.DataType] = {}
    origin: dict[str, str] = {}
    for label, schema in schemas:
        for field in schema:
            if field.name.startswith("_"):
                raise SourceError(
                    f"source '{name}': column '{field.name}' of {label} begins with _: rename it, such names are"
                    " Leadwise's own"
                )
            known = types.get(field.name)
            if known is None or pa.types.is_null(known):
                types[field.name], origin[field.name] = field.type, label
            elif not pa.types.is_null(field.type):
                wider = _wider(known, field.type)
                if wider is None:
                    raise SourceError(
                        f"source '{name}': column '{field.name}' holds {word(field.type)} in {label}"
                        f" and {word(known)} in {origin[field.name]}: export it with one type"
                    )
                types[field.name] = wider
    return pa.schema(list(types.items()))


def without_empty(schema: pa.Schema) -> pa.Schema:
    """The columns that have a type: one that holds nothing yet is left out until it does."""
    return pa.schema([field for field in schema if not pa.types.is_null(field.type)])


def settle(fresh: pa.Schema, stored: pa.Schema | None) -> tuple[pa.Schema, list[str]]:
    """Fit the columns of new files to those the table has.

    Returns:
        The schema to write, in which a stored type stands where its values can be cast, and the columns that clash.
    """
    if stored is None:
        return without_empty(fresh), []
    fields, clashes = [], []
    for field in fresh:
        kept = stored.field(field.name).type if field.name in stored.names else field.type
        if _wider(kept, field.type) is None and not pa.types.is_null(field.type):
            clashes.append(field.name)
        fields.append(pa.field(field.name, kept))
    return without_empty(pa.schema(fields)), clashes


def clash(name: str, column: str, fresh: pa.Schema, stored: pa.Schema) -> SourceError:
    """The sentence about a column whose type differs from what was read before."""
    return SourceError(
        f"source '{name}': column '{column}' holds {word(fresh.field(column).type)}, and"
        f" {word(stored.field(column).type)} in what was read before: export it with the old type"
    )


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if one == other:
        return one
    return WIDER.get((one, other)) or WIDER.get((other, one))


def word(kind: pa.DataType) -> str:
    """What a column of that type holds, as people say it."""
    return _WORDS.get(kind, str(kind))
