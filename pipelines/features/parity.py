"""Online against offline: what a stock Feast client reads, and the newest row of the lake up to the watermark."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from feature_repo.definitions import Definitions, View
from feature_repo.on_demand import REQUEST, moment_of
from pipelines.core.errors import NotReady
from pipelines.core.report import progress
from pipelines.features.address import reached
from pipelines.features.apply import open_store, quiet
from pipelines.features.compute import AS_OF, table_of
from pipelines.features.materialize import stored_times, watermark
from pipelines.lake.catalog import Lake

if TYPE_CHECKING:
    from feast import FeatureStore

    from pipelines.core.tenant import Tenant
    from pipelines.features.engine.newest import Newest

ROWS = 5_000
"""Entities compared at once."""

LISTED = 1_000
"""Differences that are kept, to be shown."""

_LOOKED_UP = 100_000
"""Stored entities looked up at once."""


@dataclass(frozen=True)
class Difference:
    """One value that differs.

    Attributes:
        view: the feature view, stored or on demand.
        feature: its feature; "*" is the whole row, of an entity that has none offline.
        entity: pseudonym of whose it is.
        online: what the stock client reads.
        offline: what it should read.
    """

    view: str
    feature: str
    entity: str | int
    online: Any
    offline: Any


@dataclass
class Parity:
    """What was found.

    Attributes:
        checked: entities compared.
        differing: those of them with any difference.
        differences: the first of them, value by value.
    """

    checked: int = 0
    differing: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share of the entities that differ, 0 where none was compared."""
        return self.differing / self.checked if self.checked else 0.0

    def add(self, entities: Collection[str | int], found: list[Difference]) -> None:
        """Count entities that were compared; each is counted once."""
        self.checked += len(entities)
        self.differing += len({one.entity for one in found})
        self.differences += found[: LISTED - len(self.differences)]

    def to_dict(self) -> dict[str, int | float]:
        """Plain values for scripts."""
        return {"checked": self.checked, "differing": self.differing, "differing_share": self.share}


def parity(tenant: "Tenant", definitions: Definitions, sample: int | None = None) -> Parity:
    """Compare the online store with the lake.

    A fresh client asks for the feature service of a target, on-demand features included, as of the watermark. Offline
    stands the newest row of each entity up to the watermark of its view. Entities that are only online are looked for
    in all of the store, where its keys can be listed (SQLite and Redis).

    Args:
        tenant: whose stores.
        definitions: the views, applied.
        sample: how many entities of each kind, drawn by the seed of `params.train`; None is all.

    Raises:
        NotReady: no features are online yet.
        SourceUnreachable: the Redis of the online store does not answer.
    """
    with reached(tenant.settings):
        store = open_store(tenant)
        found = Parity()
        targets = {
            label.entity: name for name, label in definitions.labels.items() if definitions.views_of(label.entity)
        }
        for entity, target in targets.items():
            _compare_all(tenant, store, definitions, entity, target, sample, found)
        return found


def _compare_all(
    tenant: "Tenant",
    store: "FeatureStore",
    definitions: Definitions,
    entity: str,
    target: str,
    sample: int | None,
    found: Parity,
) -> None:
    views = definitions.views_of(entity)
    marks = {view.name: watermark(store, view) for view in views}
    moment = max((mark for mark in marks.values() if mark is not None), default=None)
    if moment is None:
        raise NotReady(f"nothing is online for tenant '{tenant.name}' yet: run `leadwise features` first")
    with ExitStack() as stack:
        rows = {
            view.name: stack.enter_context(_newest(tenant, view, marks[view.name] or datetime.min)) for view in views
        }
        chosen = _chosen(list(rows.values()), sample, tenant.params.train.seed)
        _add_ghosts(store, views, rows, chosen, found)
        with progress(f"parity: {target}", len(chosen)) as advance:
            for start in range(0, len(chosen), ROWS):
                part = chosen[start : start + ROWS]
                online = _online(store, target, entity, part, moment)
                offline = _offline(definitions, entity, rows, part, moment)
                found.add(part, _differences(definitions, entity, part, online, offline))
                advance(len(part))


def _chosen(rows: "list[Newest]", sample: int | None, seed: int) -> list[Any]:
    """The entities to compare, of any view: `sample` of them, spread evenly, or all."""
    entities = sorted({one for newest in rows for one in newest.sample(sample, seed)})
    if sample is None or len(entities) <= sample:
        return entities
    return [entities[n * len(entities) // sample] for n in range(sample)]


def _add_ghosts(
    store: "FeatureStore", views: list[View], rows: "dict[str, Newest]", chosen: list[Any], found: Parity
) -> None:
    """Count entities that are online without a row; what is chosen is compared value by value instead."""
    ghosts: dict[Any, list[str]] = {}
    for view in views:
        for one in _ghosts(store, view, rows[view.name]):
            ghosts.setdefault(one, []).append(view.name)
    for one in set(ghosts) & set(chosen):
        del ghosts[one]
    found.add(ghosts, [Difference(view, "*", one, "a row", None) for one, names in ghosts.items() for view in names])


def _newest(tenant: "Tenant", view: View, mark: datetime) -> Any:
    """The newest rows of a view up to its watermark, as a context."""
    from pipelines.features.engine.newest import Columns, newest

    table = Lake(tenant).table(table_of(view))
    if table is None:
        raise NotReady(f"tenant '{tenant.name}' has no rows of view '{view.name}' yet: run `leadwise features` first")
    return newest(table, Columns(view.entity, [one.name for one in view.features], AS_OF), None, mark)


def _ghosts(store: "FeatureStore", view: View, rows: "Newest") -> Iterator[str | int]:
    """Entities that are online and have no row."""
    from pipelines.features.engine.compute import writer_of

    with quiet():
        feature_view = store.get_feature_view(view.name)
        writer = writer_of(store._get_provider().online_store, store.config, feature_view)
    for part in writer.entities(_LOOKED_UP) if writer else ():
        gone = rows.missing(part)
        times = stored_times(store, view, gone) if gone else []
        yield from (one for one, time in zip(gone, times, strict=True) if time is not None)


def _online(
    store: "FeatureStore", target: str, entity: str, part: list[str | int], moment: datetime
) -> dict[str, list[Any]]:
    with quiet():
        service = store.get_feature_service(target)
        found = store.get_online_features(service, [{entity: one, REQUEST: moment} for one in part])
        values: dict[str, list[Any]] = found.to_dict()
        return values


def _offline(
    definitions: Definitions, entity: str, rows: "dict[str, Newest]", part: list[str | int], moment: datetime
) -> dict[str, list[Any]]:
    table = pa.table({REQUEST: pa.array([moment] * len(part), pa.timestamp("us"))})
    for newest in rows.values():
        held = newest.of(part)
        for name in held.column_names:
            table = table.append_column(name, held.column(name))
    derived = moment_of(definitions, entity)
    values: dict[str, list[Any]] = (derived.add_to(table) if derived.outputs else table).to_pydict()
    return values


def _differences(
    definitions: Definitions,
    entity: str,
    part: list[str | int],
    online: dict[str, list[Any]],
    offline: dict[str, list[Any]],
) -> list[Difference]:
    from feature_repo.feast_objects import on_demand_name

    views = {one.name: view.name for view in definitions.views_of(entity) for one in view.features}
    found = []
    for name, _ in definitions.model_features(entity):
        for one, here, there in zip(part, online[name], offline[name], strict=True):
            if not _same(here, there):
                found.append(Difference(views.get(name, on_demand_name(entity)), name, one, here, there))
    return found


def _same(online: Any, offline: Any) -> bool:
    """Whether values are equal, types included; NaN is missing, as Feast keeps it."""
    missing = offline is None or offline != offline
    return online is None if missing else type(online) is type(offline) and online == offline
