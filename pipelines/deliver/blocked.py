"""Lists of people who are never written to: phones in any writing, or ids."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from expectations.phones import normalise
from pipelines.collect.databases import open_database, windowed
from pipelines.collect.files import NoRows, Reader, SourceFile
from pipelines.collect.found import check_filled, check_name
from pipelines.core.errors import SourceError
from pipelines.lake import identities

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.core.source import Source
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

NAME = "do_not_contact"
_PHONE = "phone"
_ROWS = 100_000
_SHORTEST, _LONGEST = 8, 10
"""Digits of a number without its country code that stand for a phone: fewer would be anybody's, and of more the first
ones are a prefix for dialling. Too many people left out is the safe side."""


def blocked(tenant: Tenant, lake: Lake, source: Source, entity: str) -> pa.Table:
    """Entities of a list, in a column `entity_id`.

    A number is matched in E.164; one that is written without its country code, or with a prefix for dialling, blocks
    every phone that ends with its last ten digits.

    Args:
        tenant: whose list.
        lake: of the tenant; its identities tell whose a phone is.
        source: where the list is.
        entity: name of the column with ids; another one is `phone`. A list needs one of them.

    Raises:
        SourceError: the list can't be read, or has no such column. Nobody is written to before that is mended.
    """
    ids: list[pa.Array] = [pa.array([], pa.string())]
    phones: list[pa.Array] = [pa.array([], pa.string())]
    for rows in _rows(tenant, source):
        known = [name for name in (entity, _PHONE) if name in rows.column_names]
        if not known:
            raise SourceError(
                f"a {NAME} list of tenant '{tenant.name}' ({_called(source)}) has the columns"
                f" {', '.join(rows.column_names)}: it needs '{_PHONE}' or '{entity}'"
            )
        for name in known:
            texts = pc.utf8_trim_whitespace(_texts(rows[name].combine_chunks())).drop_null()
            (ids if name == entity else phones).append(texts)
    listed = pc.unique(pa.concat_arrays(phones))
    owners = _owners(lake, listed) if len(listed) else pa.array([], pa.string())
    return pa.table({"entity_id": pc.unique(pa.concat_arrays([*ids, owners]))})


def _rows(tenant: Tenant, source: Source) -> Iterator[pa.Table]:
    """The list, in parts."""
    if source.query is not None:
        database = open_database(str(source.connection))
        try:
            sql = windowed(database, source.query, None)
            yield from database.batches(sql, database.schema(sql), _ROWS)
        finally:
            database.close()
        return
    from pathlib import Path

    yield from _of_file(tenant, source, Path(tenant.source_path(source)))


def _of_file(tenant: Tenant, source: Source, path: Path) -> Iterator[pa.Table]:
    if not path.is_file():
        raise SourceError(
            f"the {NAME} list {path} of tenant '{tenant.name}' is not there: put it there, or correct its path in"
            " params.yaml; without it nobody is written to"
        )
    file = SourceFile(path, NAME, datetime.min, delimiter=source.delimiter)
    check_name(NAME, file)
    check_filled(NAME, file)
    reader = Reader(NAME, tenant.settings.threads)
    try:
        yield from reader.batches(file, reader.schema(file), _ROWS)
    except NoRows:  # a list with nobody on it
        return
    finally:
        reader.close()


def _owners(lake: Lake, listed: pa.Array) -> pa.Array:
    """Ids of the leads whose phones these texts are."""
    if not lake.exists(identities.TABLE):
        return pa.array([], pa.string())
    known = lake.read(identities.TABLE, columns=["lead_id", "phone"])
    phones, ids = known["phone"].combine_chunks(), known["lead_id"].combine_chunks()
    whole = normalise(listed)
    hit = pc.is_in(phones, value_set=whole.drop_null())
    digits = pc.replace_substring_regex(listed.filter(pc.is_null(whole)), r"[^0-9]", "")
    digits = pc.utf8_slice_codeunits(digits, -_LONGEST)
    known_digits = pc.utf8_slice_codeunits(phones, 1)
    for length in pc.unique(pc.utf8_length(digits)).to_pylist():
        if length >= _SHORTEST:
            ends = digits.filter(pc.equal(pc.utf8_length(digits), length))
            hit = pc.or_(hit, pc.is_in(pc.utf8_slice_codeunits(known_digits, -length), value_set=ends))
    return ids.filter(hit)


def _texts(values: pa.Array) -> pa.Array:
    """Cells as texts; a spreadsheet may have made numbers of phones."""
    if pa.types.is_floating(values.type):
        values = pc.cast(values, pa.int64(), safe=False)
    return values.cast(pa.string())


def _called(source: Source) -> str:
    return source.path or f"a query of connection '{source.connection}'"
