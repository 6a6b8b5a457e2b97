"""The consequences of contracts, SQL and parameters as they stand now, against what is stored. Writes nothing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from expectations.contract import load_contracts
from feature_repo.definitions import Definitions, load_definitions
from pipelines.core.errors import LeadwiseError
from pipelines.features.apply import is_applied
from pipelines.features.history import standing, unfinished, whole
from pipelines.lake.catalog import Lake
from pipelines.lake.evolve import Pending, pending
from pipelines.quality.contracts import broken_sql
from pipelines.registry.definitions import champions, missing, older, users, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant
    from pipelines.features.history import Standing
    from pipelines.registry.runs import Run


@dataclass(frozen=True)
class TablePlan:
    """A clean table whose contract changed.

    Attributes:
        table: its name.
        versions: of the contract, applied and of today.
        rows: that are stored.
        changes: kind, column and the end of a sentence.
    """

    table: str
    versions: str
    rows: int
    changes: list[dict[str, str]]


@dataclass(frozen=True)
class QueryPlan:
    """A feature view, label or the candidates.

    Attributes:
        name: `features.<view>`, `label.<target>` or `candidates`.
        state: new, changed, gone or current.
        file: of its SQL, empty where it is gone.
        rows: stored rows.
        older: those of them of another definition, or columns that are not as they should be.
        every_days: of a view that was computed for other midnights, every how many days before and now.
        instants: how many are computed when its history is written anew, from `first` to `last`.
        first, last: days; None where nothing was computed.
        added, gone, retyped: features.
        runs: that were trained on another definition.
    """

    name: str
    state: str
    file: str = ""
    rows: int = 0
    older: int = 0
    every_days: tuple[str, str] | None = None
    instants: int = 0
    first: str | None = None
    last: str | None = None
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChampionPlan:
    """What becomes of a champion.

    Attributes:
        target: what it predicts.
        model, version: in the registry.
        missing: features that it reads and no view gives any more.
        older: what it was trained on that is defined otherwise today.
        parameters: by name, what it was trained with and what stands in params.yaml: they change no data.
    """

    target: str
    model: str
    version: str
    missing: list[str]
    older: list[str]
    parameters: dict[str, tuple[str, str]]


@dataclass
class Plan:
    """All consequences.

    Attributes:
        tenant: its name.
        tables: whose contract changed.
        queries: all of them.
        champions: of each target that has one.
        feast: names of objects to `apply` and to `remove`.
        breaking: sentences about what would be refused.
    """

    tenant: str
    tables: list[TablePlan] = field(default_factory=list)
    queries: list[QueryPlan] = field(default_factory=list)
    champions: list[ChampionPlan] = field(default_factory=list)
    feast: dict[str, list[str]] = field(default_factory=lambda: {"apply": [], "remove": []})
    breaking: list[str] = field(default_factory=list)

    @property
    def changes(self) -> bool:
        """Whether there is anything to apply, recompute or retrain."""
        queries = any(one.state != "current" for one in self.queries)
        models = any(one.missing or one.older or one.parameters for one in self.champions)
        return bool(self.tables or queries or models or any(self.feast.values()) or self.breaking)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {**asdict(self), "changes": self.changes}


def plan(tenant: Tenant) -> Plan:
    """Compare contracts, SQL and parameters of today with tables, Feast's registry, models and runs.

    Args:
        tenant: whose.

    Raises:
        ContractError: a contract can't be read.
    """
    found = Plan(tenant.name)
    lake = Lake(tenant)
    contracts = load_contracts(tenant.contracts_dir)
    _tables(tenant, lake, contracts, found)
    try:
        definitions = load_definitions(tenant, contracts)
    except LeadwiseError as error:
        if not found.breaking:
            found.breaking.append(str(error))
        return found
    _queries(tenant, lake, definitions, found)
    _champions(tenant, definitions, found)
    _feast(tenant, lake, definitions, found)
    return found


def _tables(tenant: Tenant, lake: Lake, contracts: Mapping[str, Contract], found: Plan) -> None:
    changed = [one for one in (pending(lake, contract) for contract in contracts.values()) if one.changes]
    found.tables = [_table(lake, one) for one in changed]
    for one in changed:
        for change in one.breaking:
            found.breaking.append(
                f"{one.contract.path} ({one.versions}) breaks the rows of clean.{one.contract.name}: {change.sentence}"
            )
    found.breaking += broken_sql(tenant, contracts, changed)


def _table(lake: Lake, one: Pending) -> TablePlan:
    changes = [{"kind": str(change.kind), "column": change.column, "what": change.what} for change in one.changes]
    return TablePlan(one.contract.name, one.versions, lake.count(f"clean.{one.contract.name}"), changes)


def _queries(tenant: Tenant, lake: Lake, definitions: Definitions, found: Plan) -> None:
    """Views against stored rows, labels against runs, candidates against the last scores."""
    standings = [standing(lake, view) for view in definitions.views.values()]
    current = {f"features.{name}": view.sql_hash for name, view in definitions.views.items()}
    current |= {f"label.{name}": label.sql_hash for name, label in definitions.labels.items()}
    # A table that is left of a view counts until Feast has forgotten the view.
    left = [] if is_applied(tenant, definitions) else lake.names("features")
    gone = [name for name in left if name not in definitions.views]
    used = users(tenant, current | {f"features.{name}": "" for name in gone})
    unwritten = {one.view.name for one in unfinished(standings)} if any(one.spans for one in standings) else set()
    for one in standings:
        name = f"features.{one.view.name}"
        found.queries.append(_view(tenant, one, standings, one.view.name in unwritten, used.get(name, [])))
    for name in gone:
        rows = lake.count(f"features.{name}")
        found.queries.append(QueryPlan(f"features.{name}", "gone", rows=rows, runs=_runs(used, f"features.{name}")))
    for target, label in definitions.labels.items():
        name = f"label.{target}"
        state = "changed" if name in used else "current"
        found.queries.append(QueryPlan(name, state, str(label.path), runs=_runs(used, name)))
    found.queries += _candidates(lake, definitions)


def _view(tenant: Tenant, one: Standing, standings: list[Standing], unwritten: bool, used: list[Run]) -> QueryPlan:
    from pipelines.features.compute import schedule

    # One whose history begins later than that of the others is new for the days before.
    state = "new" if unwritten and one.word == "current" else one.word
    interval = whole(standings) if unwritten else None
    return QueryPlan(
        f"features.{one.view.name}",
        state,
        str(one.view.path),
        one.rows,
        one.older,
        (one.grids[0].partition("/")[0], one.grids[1].partition("/")[0]) if one.grids else None,
        len(schedule(tenant, interval, with_start=True)) if interval else 0,
        interval.start.date().isoformat() if interval else None,
        interval.end.date().isoformat() if interval else None,
        one.added if one.rows else (),
        one.gone,
        one.retyped,
        tuple(words(run) for run in used),
    )


def _candidates(lake: Lake, definitions: Definitions) -> list[QueryPlan]:
    """Whom the last scores were for, by which SQL."""
    from pipelines.deliver.table import CANDIDATES, TABLE

    query, table = definitions.candidates, lake.table(TABLE)
    held = table.properties.get(CANDIDATES) if table is not None else None
    if query is None:
        return [QueryPlan("candidates", "gone")] if held else []
    return [QueryPlan("candidates", "changed" if held not in (None, query.sql_hash) else "current", str(query.path))]


def _runs(used: Mapping[str, list[Run]], name: str) -> tuple[str, ...]:
    return tuple(words(run) for run in used.get(name, []))


def _champions(tenant: Tenant, definitions: Definitions, found: Plan) -> None:
    for target, version in champions(tenant).items():
        name = tenant.model_name(target)
        gone = missing(version, definitions, target)
        aged = older(version.tags, definitions, target)
        parameters = _parameters(tenant, target, str(version.run_id))
        found.champions.append(ChampionPlan(target, name, str(version.version), gone, aged, parameters))
        if gone:
            found.breaking.append(
                f"version {version.version} of {name}, the champion, reads the feature '{gone[0]}', which"
                f" {tenant.sql_dir} does not give any more, or gives as another kind"
            )


def _parameters(tenant: Tenant, target: str, run_id: str) -> dict[str, tuple[str, str]]:
    """Parameters of training that differ from those of a run."""
    from pipelines.registry.runs import runs
    from pipelines.train.record import recipe

    trained = next((run.params for run in runs(tenant, target) if run.run_id == run_id), {})
    today = {name: str(value) for name, value in recipe(tenant, target).items()}
    return {name: (trained[name], value) for name, value in today.items() if trained.get(name, value) != value}


def _feast(tenant: Tenant, lake: Lake, definitions: Definitions, found: Plan) -> None:
    from pipelines.features.apply import to_apply

    if lake.names("features") and not is_applied(tenant, definitions):
        apply, remove = to_apply(tenant, definitions)
        found.feast = {"apply": apply, "remove": remove}
