"""Contracts that changed since a table was written: refused where they break something, else applied."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ContractError, SqlError
from pipelines.lake.evolve import Pending, evolve, pending

if TYPE_CHECKING:
    from pathlib import Path

    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake

_SHAPES = ("renamed", "retired", "widened")
"""Changes that SQL over the clean tables may not survive."""


def refuse_breaking(tenant: "Tenant", lake: "Lake", contracts: "Mapping[str, Contract]") -> list[Pending]:
    """Look what the contracts of today would do to the tables, before anything is written.

    Returns:
        What stands to be applied, one for each table whose contract changed.

    Raises:
        ContractError: a change breaks stored rows, or SQL that worked until now; the sentence says which.
    """
    found = [one for one in (pending(lake, contract) for contract in contracts.values()) if one.changes]
    for one in found:
        one.refuse()
    for sentence in broken_sql(tenant, contracts, found):
        raise ContractError(f"{sentence}; nothing was written")
    return found


def broken_sql(tenant: "Tenant", contracts: "Mapping[str, Contract]", found: Iterable[Pending]) -> list[str]:
    """Sentences about SQL that the contracts of before bind, and those of today do not."""
    from expectations.evolution import contract_of

    shapes = [one for one in found if any(change.kind in _SHAPES for change in one.changes)]
    if not shapes:
        return []
    before = {
        one.contract.name: contract_of(one.applied, one.contract.name, one.contract.path)
        for one in shapes
        if one.applied is not None
    }
    sentences = []
    for what, path, error in _failing(tenant, contracts):
        if not any(path == other for _, other, _ in _failing(tenant, {**contracts, **before})):
            sentences.append(_sentence(tenant, shapes, what, path, error))
    return sentences


def _failing(tenant: "Tenant", contracts: "Mapping[str, Contract]") -> "list[tuple[str, Path, SqlError]]":
    """The queries of the use case that these contracts do not bind: what it is, its file, and why."""
    from feature_repo.queries import Binder

    entities = sorted({column.entity for one in contracts.values() for column in one.columns if column.entity})
    binder = Binder(contracts, entities)
    kinds: list[tuple[str, str, Callable[[Path], Any]]] = [
        ("features_*.sql", "feature view", lambda path: binder.view(path, path.stem.removeprefix("features_"))),
        ("labels/*.sql", "label", binder.label),
        ("candidates.sql", "query of candidates", binder.candidates),
    ]
    found = []
    for pattern, kind, bind in kinds:
        for path in sorted(tenant.sql_dir.glob(pattern)):
            try:
                bind(path)
            except SqlError as error:
                found.append((f"{kind} '{path.stem.removeprefix('features_')}'", path, error))
    return found


def _sentence(tenant: "Tenant", shapes: list[Pending], what: str, path: "Path", error: SqlError) -> str:
    """Which change breaks which SQL, and which model rests on it."""
    from feature_repo.sql import columns_named, read_sql

    named = columns_named(read_sql(path))
    guilty = [
        (one, change)
        for one in shapes
        for change in one.changes
        if change.kind in _SHAPES and (change.old or change.column).lower() in named
    ]
    one, change = guilty[0] if guilty else (shapes[0], shapes[0].changes[0])
    reader = f"the {what}{_models(tenant, what, path)}"
    return (
        f"{one.contract.path} ({one.versions}): column '{change.column}' of {one.contract.name}"
        f" {change.what.partition(':')[0]}, and {reader} still reads it as it was: {error}"
    )


def _models(tenant: "Tenant", what: str, path: "Path") -> str:
    """The champions that rest on a view or label, as a part of a sentence."""
    import json

    from pipelines.registry.definitions import HASHES, champions

    name = f"features.{path.stem.removeprefix('features_')}" if "view" in what else f"label.{path.stem}"
    using = [
        f"version {version.version} of {tenant.model_name(target)}"
        for target, version in champions(tenant).items()
        if name in json.loads(version.tags.get(HASHES, "{}"))
    ]
    return f" (and with it the champion, {' and '.join(using)})" if using else ""


def apply_changes(lake: "Lake", found: Iterable[Pending]) -> list[str]:
    """Apply what stands to be applied, a commit for each table; to be called with the lock of `validate`.

    Returns:
        A sentence for each change of a table's columns.
    """
    notes = []
    for one in found:
        done = evolve(lake, one.contract)
        told = [change.sentence for change in done.changes if change.kind in ("added", *_SHAPES)]
        if told:
            notes.append(f"{one.contract.name} ({done.versions}): {'; '.join(told)}")
    return notes
