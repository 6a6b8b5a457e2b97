"""Rules of a use case's SQL: mapping, features, labels, candidates, and how they hang together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import SqlError, nearest
from pipelines.doctor.rules import Fault, rule

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.queries import Query, View
    from pipelines.core.tenant import Tenant
    from pipelines.doctor.facts import Facts

_FEATURES, _LABELS, _CANDIDATES = "features_*.sql", "labels/*.sql", "candidates.sql"


def _bound(facts: Facts, pattern: str, kind: str) -> Iterator[tuple[Tenant, Path, Query | None, SqlError | None]]:
    """Every file of a pattern, bound to empty tables: the query, or why it is refused."""
    for tenant, contracts in facts.judged():
        binder = facts.binder(contracts)
        for path in sorted(tenant.sql_dir.glob(pattern)):
            bind: Callable[[], Any] = {
                "view": lambda: binder.view(path, path.stem.removeprefix("features_")),  # noqa: B023 - called at once
                "label": lambda: binder.label(path),  # noqa: B023
                "candidates": lambda: binder.candidates(path),  # noqa: B023
            }[kind]
            try:
                yield tenant, path, bind(), None
            except SqlError as error:
                yield tenant, path, None, error


def _refused(facts: Facts, pattern: str, kind: str) -> Iterator[Fault]:
    for _, path, _, error in _bound(facts, pattern, kind):
        if error is not None:
            yield Fault(facts.shown(path), str(error))


@rule(
    "sql-features", "error", "feature queries are one SELECT over the views, with an entity and its features",
    why="SQL that looks past its views or at the clock would see the future, or give other rows each time",
    mend="mend the line that the sentence names",
)  # fmt: skip
def sql_features(facts: Facts) -> Iterator[Fault]:
    """features_*.sql, checked and bound."""
    yield from _refused(facts, _FEATURES, "view")


@rule(
    "sql-labels", "error", "label queries give entity, event_time, label and known_at",
    why="training joins by them, and known_at keeps unfinished outcomes out",
    mend="mend the line that the sentence names",
)  # fmt: skip
def sql_labels(facts: Facts) -> Iterator[Fault]:
    """labels/*.sql, checked and bound."""
    yield from _refused(facts, _LABELS, "label")


@rule(
    "sql-candidates", "error", "the query of candidates gives an entity, and event_time where needed",
    why="it says who is scored",
    mend="mend the line that the sentence names",
)  # fmt: skip
def sql_candidates(facts: Facts) -> Iterator[Fault]:
    """candidates.sql, checked and bound."""
    yield from _refused(facts, _CANDIDATES, "candidates")


@rule(
    "no-candidates", "warning", "a use case says whom to score",
    why="training works without it, `leadwise score` does not",
    mend="write candidates.sql: a SELECT of the entity, as of $as_of",
)  # fmt: skip
def no_candidates(facts: Facts) -> Iterator[Fault]:
    """Use cases without candidates.sql."""
    for tenant in facts.use_cases():
        if not (tenant.sql_dir / _CANDIDATES).is_file():
            what = f"the use case '{tenant.use_case}' has no candidates"
            yield Fault(facts.shown(tenant.sql_dir / _CANDIDATES), what)


@rule(
    "no-features", "error", "a use case has a feature view",
    why="a model needs something to read",
    mend="write features_<view>.sql: a SELECT with one row per entity as of $as_of",
)  # fmt: skip
def no_features(facts: Facts) -> Iterator[Fault]:
    """Use cases without features_*.sql."""
    for tenant in facts.use_cases():
        if not list(tenant.sql_dir.glob(_FEATURES)):
            yield Fault(facts.shown(tenant.sql_dir), f"the use case '{tenant.use_case}' has no features_*.sql")


@rule(
    "feature-twins", "error", "a feature stands in one view only",
    why="two columns of one name can't both be a model's input",
    mend="rename one of them",
)  # fmt: skip
def feature_twins(facts: Facts) -> Iterator[Fault]:
    """Features of one entity with the same name in two views."""
    seen: dict[tuple[str, str, str], Path] = {}
    for tenant, path, query, _ in _bound(facts, _FEATURES, "view"):
        view: View | Any = query
        for field in view.features if view is not None else ():
            other = seen.setdefault((tenant.use_case, view.entity, field.name), path)
            if other != path:
                yield Fault(facts.shown(path), f"the feature '{field.name}' stands in {facts.shown(other)} too")


@rule(
    "target-label", "error", "every target has a label query, and every label query a target",
    why="a target without a label can't be trained; a label without a target is read by nobody",
    mend="write labels/<target>.sql, or list the target under train.targets in params.yaml",
)  # fmt: skip
def target_label(facts: Facts) -> Iterator[Fault]:
    """Targets of params.yaml against the files of labels."""
    for tenant in facts.tenants:
        labels = sorted(path.stem for path in (tenant.sql_dir / "labels").glob("*.sql"))
        targets = tenant.params.train.targets
        for target in targets:
            if target not in labels:
                where = facts.shown(tenant.sql_dir / "labels")
                what = f"the target '{target}' of tenant '{tenant.name}' has no label: {nearest(target, labels)}"
                yield Fault(where, what)
        for label in labels:
            if label not in targets:
                where = facts.shown(tenant.sql_dir / "labels" / f"{label}.sql")
                what = f"no target of tenant '{tenant.name}' is called '{label}': {nearest(label, targets)}"
                yield Fault(where, what)


@rule(
    "entity-features", "error", "entities of labels and candidates have features",
    why="a label of an entity without a view trains on nothing; candidates of another entity find no model",
    mend="select an entity that a features_*.sql selects too",
)  # fmt: skip
def entity_features(facts: Facts) -> Iterator[Fault]:
    """Entities of labels and candidates against those of the feature views."""
    views = list(_bound(facts, _FEATURES, "view"))
    if any(error for *_, error in views):
        return  # the entity may be that of the view that is refused
    known = {(tenant.use_case, query.entity) for tenant, _, query, _ in views if query}
    for pattern, kind in ((_LABELS, "label"), (_CANDIDATES, "candidates")):
        for tenant, path, query, _ in _bound(facts, pattern, kind):
            have = sorted(entity for use_case, entity in known if use_case == tenant.use_case)
            if query is not None and have and query.entity not in have:
                what = f"the entity '{query.entity}' has no feature view: {nearest(query.entity, have)}"
                yield Fault(facts.shown(path), what)


@rule(
    "sql-mapping", "error", "mapping.sql yields every table from the tenant's sources",
    why="a table that no source feeds stays empty",
    mend="mend the line that the sentence names",
)  # fmt: skip
def sql_mapping(facts: Facts) -> Iterator[Fault]:
    """mapping.sql, read and checked for each tenant."""
    from feature_repo.mappings import load_mappings

    for tenant, contracts in _judged_tenants(facts):
        try:
            load_mappings(tenant.sql_dir, contracts, tenant.params.sources)
        except SqlError as error:
            yield Fault(facts.shown(tenant.sql_dir / "mapping.sql"), str(error))


@rule(
    "mapping-columns", "error", "a section of mapping.sql gives the columns of its contract, and no others",
    why="a batch whose mapping lacks a column, or has an unknown one, is refused as a whole",
    mend="select each column of the contract under its name",
)  # fmt: skip
def mapping_columns(facts: Facts) -> Iterator[Fault]:
    """Columns that a mapping's outermost SELECT names, where it has no `*`."""
    for tenant, contracts in _judged_tenants(facts):
        for mapping, contract in _mappings(tenant, contracts):
            given = _given(mapping.sql) if mapping.first_line else None
            if given is None:
                continue
            where = f"{facts.shown(mapping.path)}:{mapping.first_line}"
            for name in contract.source_columns:
                if name not in given:
                    yield Fault(where, f"the section '{contract.name}' does not give the column '{name}'")
            for name in given:
                if name not in (*contract.source_columns, "source_file", "source_row"):
                    advice = nearest(name, contract.source_columns)
                    yield Fault(where, f"the section '{contract.name}' gives the unknown column '{name}': {advice}")


@rule(
    "source-used", "error", "every source of a tenant feeds a table",
    why="a source that nothing reads is a misspelt one, and `leadwise ingest` refuses it",
    mend="name the source as its table, read it in mapping.sql, or take it out of params.yaml",
)  # fmt: skip
def source_used(facts: Facts) -> Iterator[Fault]:
    """Sources that no mapping reads."""
    from feature_repo.sql import tables_of

    for tenant, contracts in _judged_tenants(facts):
        sources = tenant.params.sources
        mappings = [mapping for mapping, _ in _mappings(tenant, contracts)]
        if not mappings:
            continue
        used = {name for mapping in mappings for name in tables_of(mapping.sql, sources)}
        for name in sources:
            if name not in used:
                where = f"{facts.shown(tenant.settings.params)}: tenants.{tenant.name}.sources.{name}"
                yield Fault(where, f"the source '{name}' feeds no table: {nearest(name, contracts)}")


def _judged_tenants(facts: Facts) -> Iterator[tuple[Tenant, dict[str, Contract]]]:
    """Every tenant whose contracts can be read: its sources are its own."""
    contracts = {tenant.use_case: found for tenant, found in facts.judged()}
    for tenant in facts.tenants:
        if tenant.use_case in contracts:
            yield tenant, contracts[tenant.use_case]


def _mappings(tenant: Tenant, contracts: dict[str, Contract]) -> list[tuple[Any, Contract]]:
    """Mappings with their contracts; none where mapping.sql is refused."""
    from feature_repo.mappings import load_mappings

    try:
        found = load_mappings(tenant.sql_dir, contracts, tenant.params.sources)
    except SqlError:
        return []
    return [(mapping, contracts[table]) for table, mapping in found.items()]


def _given(sql: str) -> list[str] | None:
    """Names of the columns a SELECT gives; None where a `*` or an unnamed one keeps them open."""
    import sqlglot

    tree = sqlglot.parse_one(sql, dialect="duckdb")
    names = [one.alias_or_name for one in tree.selects]
    return None if any(one in ("", "*") for one in names) or tree.is_star else names
