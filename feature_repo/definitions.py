"""What a use case declares in SQL: feature views, labels, candidates and mappings, read and checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from feature_repo.mappings import MappingSql, load_mappings
from feature_repo.queries import TIME, Binder, Query, View
from pipelines.core.errors import ConfigError, SqlError, nearest

if TYPE_CHECKING:
    from expectations.contract import Contract
    from pipelines.core.tenant import Tenant

__all__ = [
    "Definitions",
    "Kind",
    "MappingSql",
    "Query",
    "View",
    "kind_of",
    "load_definitions",
    "load_mappings",
    "read_definitions",
]

Kind = Literal["numeric", "categorical", "boolean"]


@dataclass(frozen=True)
class Definitions:
    """All SQL of a use case.

    Attributes:
        views: feature views by name, sorted.
        labels: label queries by target: entity, event_time, label (0 or 1, or a number), known_at.
        candidates: whom to score: entity and event_time (None: as of the date); None if not declared.
        mappings: how sources become tables, by table.
        timezones: names of features that hold an IANA time zone.
    """

    views: dict[str, View]
    labels: dict[str, Query]
    candidates: Query | None
    mappings: dict[str, MappingSql]
    timezones: frozenset[str]

    def label(self, target: str) -> Query:
        """The label query of `target`.

        Raises:
            ConfigError: unknown, with the nearest right one.
        """
        if target not in self.labels:
            raise ConfigError(f"there is no target '{target}': {nearest(target, self.labels)}")
        return self.labels[target]

    def views_of(self, entity: str) -> list[View]:
        """The views of one entity, in a stable order."""
        return [view for view in self.views.values() if view.entity == entity]

    def model_features(self, entity: str) -> list[tuple[str, Kind]]:
        """Names and kinds of what a model of `entity` reads: columns of the views, then the on-demand ones.

        Times and time zones are no model inputs: their on-demand columns are.
        """
        from feature_repo.on_demand import moment_of

        found: list[tuple[str, Kind]] = []
        for view in self.views_of(entity):
            found += [(field.name, kind_of(field.type)) for field in self.inputs_of(view)]
        return found + [(name, "numeric") for name in moment_of(self, entity).outputs]

    def hashes(self, target: str) -> dict[str, str]:
        """What a model of `target` rests on, by name: hash of its label, its views, its on-demand columns."""
        from feature_repo.on_demand import moment_hash, moment_of

        label = self.label(target)
        moment = moment_of(self, label.entity)
        found = {f"label.{target}": label.sql_hash}
        found |= {f"features.{view.name}": view.sql_hash for view in self.views_of(label.entity)}
        return found | ({f"on_demand.{label.entity}": moment_hash(moment)} if moment.outputs else {})

    def inputs_of(self, view: View) -> list[pa.Field]:
        """The columns of `view` a model reads as they are."""
        return [field for field in view.features if field.type != TIME and field.name not in self.timezones]


def kind_of(kind: pa.DataType) -> Kind:
    """How a model treats a feature of this Arrow type."""
    if pa.types.is_boolean(kind):
        return "boolean"
    return "categorical" if pa.types.is_string(kind) else "numeric"


def load_definitions(tenant: "Tenant", contracts: "Mapping[str, Contract]") -> Definitions:
    """Read and check all SQL of the tenant's use case against its contracts.

    Nothing is read from the lake: the queries are bound to empty tables with the contracts' columns.

    Raises:
        SqlError: one sentence with file and line.
        ConfigError: a target without a label. A label that the tenant makes no target of is left out.
    """
    found = read_definitions(tenant.sql_dir, contracts)
    wanted = {target: label for target, label in found.labels.items() if target in tenant.params.train.targets}
    found = replace(found, labels=wanted)
    _targets_match(tenant, found.labels)
    _labels_match(tenant, found.labels)
    return replace(found, mappings=load_mappings(tenant.sql_dir, contracts, tenant.params.sources))


def read_definitions(folder: Path, contracts: "Mapping[str, Contract]") -> Definitions:
    """Read and check the SQL in a folder, without mappings: all that is asked of clean tables.

    Raises:
        SqlError: one sentence with file and line.
    """
    entities = sorted({column.entity for one in contracts.values() for column in one.columns if column.entity})
    binder = Binder(contracts, entities)
    views = {}
    for path in sorted(folder.glob("features_*.sql")):
        view = binder.view(path, path.stem.removeprefix("features_"))
        views[view.name] = view
    if not views:
        raise SqlError(f"{folder} has no features_*.sql: write at least one, a SELECT with one row per entity")
    _no_twins(views.values())
    labels = {path.stem: binder.label(path) for path in sorted((folder / "labels").glob("*.sql"))}
    path = folder / "candidates.sql"
    candidates = binder.candidates(path) if path.is_file() else None
    zones = frozenset(column.name for one in contracts.values() for column in one.columns if column.timezone)
    return Definitions(views, labels, candidates, {}, zones)


def _no_twins(views: Iterable[View]) -> None:
    seen: dict[tuple[str, str], View] = {}
    for view in views:
        for field in view.features:
            other = seen.setdefault((view.entity, field.name), view)
            if other is not view:
                raise SqlError(
                    f"{view.path}:1: feature '{field.name}' stands in view '{other.name}' too: rename one of them"
                )


def _targets_match(tenant: "Tenant", labels: Mapping[str, Query]) -> None:
    targets = tenant.params.train.targets
    for target in targets:
        if target not in labels:
            raise ConfigError(
                f"target '{target}' of tenant '{tenant.name}' has no {tenant.sql_dir / 'labels' / target}.sql:"
                f" {nearest(target, labels)}"
            )


def _labels_match(tenant: "Tenant", labels: Mapping[str, Query]) -> None:
    """Refuse fractions where a class is predicted."""
    for target, label in labels.items():
        kind = label.schema.field("label").type
        if tenant.params.train.targets[target].task == "binary" and kind != pa.int64():
            raise SqlError(
                f"{label.path}:1: column 'label' is {kind}: cast it to {pa.int64()},"
                f" or set task: regression for target '{target}' in params.yaml"
            )
