"""From a score back to what it rests on: the features then, the reasons, the model, its run, data, SQL and commit."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import EqualTo

from models.inputs import InputError
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.report import progress
from pipelines.deliver.candidates import candidates
from pipelines.deliver.table import TABLE, VERSION
from pipelines.features.compute import table_of
from pipelines.features.join import point_in_time
from pipelines.lake.catalog import Lake
from pipelines.lake.pinned import PinnedLake
from pipelines.registry.champion import load_version
from pipelines.registry.definitions import HASHES, note_on_age
from pipelines.registry.frames import as_columns
from pipelines.registry.ledger import Ledger
from pipelines.registry.tracking import connect, run_link, version_link, version_of
from pipelines.train.card_words import words_of
from pipelines.train.made_by import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expectations.contract import Contract
    from feature_repo.definitions import Definitions
    from pipelines.core.tenant import Tenant
    from pipelines.registry.champion import Champion
    from pipelines.registry.ledger import Entry

TOP = 8
"""Reasons that are told of each model."""


@dataclass(frozen=True)
class Reason:
    """What one feature did to a score.

    Attributes:
        feature: its name.
        means: in words; empty where nothing is known of it.
        value: that it had then.
        moved: by how much it moved the score, in log odds of 1 or in the label's unit.
    """

    feature: str
    means: str
    value: Any
    moved: float


@dataclass(frozen=True)
class Told:
    """What one model said of the entity, and what the model is.

    Attributes:
        target: what it predicts.
        said: the stored probability, number or rank.
        again: the same, computed now from the features then; None where that can't be done.
        reasons: the features that moved it most, the strongest first.
        start: where every entity starts, and `rest` what all other features moved: with the reasons' parts they sum to
            the score before calibration.
        rest: see `start`.
        model: registered name, version, kind, task, digest and the instant whose knowledge it was trained on.
        run: MLflow's run and where to see it, the git commit, and whether the tree had changes.
        data: snapshot of each table it was trained on.
        sql: hash of each definition it was trained on.
        decision: the row of the ledger that put it to work; None where there is none.
    """

    target: str
    said: float
    again: float | None
    reasons: list[Reason]
    start: float | None
    rest: float | None
    model: dict[str, Any]
    run: dict[str, Any]
    data: dict[str, int | None]
    sql: dict[str, str]
    decision: dict[str, Any] | None

    @property
    def same(self) -> bool:
        """Whether the score computed now is the stored one."""
        return self.again is not None and abs(self.again - self.said) <= 1e-9 * max(1.0, abs(self.said))


@dataclass
class Explained:
    """A score and what it rests on.

    Attributes:
        score: the stored row.
        features: values as of the score, by name.
        models: that the tiers follow first, then those beside it.
        notes: what has to be known to read the rest.
    """

    score: dict[str, Any]
    features: dict[str, Any]
    models: list[Told]
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        models = [{**asdict(one), "same": one.same} for one in self.models]
        plain: dict[str, Any] = json.loads(json.dumps({**asdict(self), "models": models}, default=str))
        return plain


def explain(tenant: Tenant, score_id: str, top: int = TOP) -> Explained:
    """What a score rests on. Nothing is written.

    The features are read from the snapshots of their tables that the score was computed on, or where these have expired
    from the tables as they are.

    Args:
        tenant: whose score.
        score_id: of an audience file or of `deliver.scores`.
        top: reasons of each model.

    Raises:
        NotReady: nothing was scored yet.
        ConfigError: there is no such score.
        UnsafeModel: a model's files are not what they were when it was put to work.
    """
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions

    lake = Lake(tenant)
    row = _row(tenant, lake, score_id)
    contracts = load_contracts(tenant.contracts_dir)
    definitions = load_definitions(tenant, contracts)
    found = Explained(_plain(row), {}, [])
    with progress("explain", 2) as advance:
        values = _features(tenant, lake, contracts, definitions, row, found)
        advance(1)
        for target, said, version in _said(tenant, row):
            found.models.append(_told(tenant, contracts, definitions, found, target, said, version, values, top))
        advance(1)
    return found


def _row(tenant: Tenant, lake: Lake, score_id: str) -> dict[str, Any]:
    """The stored score."""
    if not lake.exists(TABLE):
        raise NotReady(f"tenant '{tenant.name}' has no scores yet: run `leadwise score --tenant {tenant.name}` first")
    rows = lake.read(TABLE, where=EqualTo(term="score_id", value=score_id)).to_pylist()
    if not rows:
        raise ConfigError(
            f"tenant '{tenant.name}' has no score '{score_id}': ids are the column score_id of audience.csv; the scores"
            " of a lead that was forgotten are gone with it"
        )
    return dict(rows[0])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {("computed_at" if name == "_loaded_at" else name): value for name, value in row.items()}


def _said(tenant: Tenant, row: Mapping[str, Any]) -> list[tuple[str, float, str]]:
    """Target, value and model version of all that the score holds."""
    first = str(row["target"])
    beside = [
        (target, row[target], row[f"{target}{VERSION}"])
        for target in tenant.params.train.targets
        if target != first and row.get(f"{target}{VERSION}") is not None
    ]
    return [(first, row["probability"], row["model_version"]), *beside]


def _features(
    tenant: Tenant,
    lake: Lake,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    row: Mapping[str, Any],
    found: Explained,
) -> pa.Table | None:
    """The features as of the score; None where they can't be had."""
    spine = candidates(tenant, lake, definitions, contracts, row["as_of"])
    mine = spine.filter(pc.equal(pc.cast(spine.column(0), pa.string()), row["entity_id"]))
    if not mine.num_rows:
        found.notes.append(
            f"{spine.schema.names[0]} {row['entity_id']} is no candidate as of {row['as_of']:%Y-%m-%d} any more: its"
            " data were forgotten, corrected or have expired, or candidates.sql changed; its features can't be told"
        )
        return None
    values = point_in_time(tenant, _as_it_was(lake, definitions, row, found), definitions, mine).read_all()
    names = [name for name in values.schema.names if name not in mine.schema.names]
    found.features = {name: values[name][0].as_py() for name in names}
    return values


def _as_it_was(lake: Lake, definitions: Definitions, row: Mapping[str, Any], found: Explained) -> Lake:
    """The feature tables at the snapshots that the score was computed on."""
    instant = int(row["_loaded_at"].replace(tzinfo=UTC).timestamp() * 1000)
    snapshots: dict[str, int | None] = {}
    for view in definitions.views.values():
        table = lake.table(table_of(view))
        then = table.snapshot_as_of_timestamp(instant) if table is not None else None
        snapshots[table_of(view)] = then.snapshot_id if then else None
    pinned = PinnedLake(lake.tenant, snapshots)
    if None in snapshots.values() or pinned.missing():
        found.notes.append("the features are those of today's tables: the snapshots of the score have expired")
        return lake
    return pinned


def _told(
    tenant: Tenant,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    found: Explained,
    target: str,
    said: float,
    version: str,
    values: pa.Table | None,
    top: int,
) -> Told:
    """What one model said, and what it is."""
    client = connect(tenant)
    decision = _decision(Ledger(tenant).entries(target), version, found.score)
    model = load_version(
        tenant,
        target,
        version_of(client, tenant.model_name(target), version),
        decision.digest if decision else None,
    )
    run = client.get_run(model.run_id).info
    found.notes += note_on_age(model.tags, definitions, target, version)
    if decision is None:
        found.notes.append(f"'{target}': the ledger has no row for version {version}")
    again, why, start, rest = _why(model, contracts, definitions, values, top, found)
    told = Told(
        target, said, again, why, start, rest,
        model={
            "name": model.name, "version": model.version, "kind": model.tags.get("kind"), "task": model.task,
            "trained_as_of": model.tags["as_of"], "digest": model.digest, "link": version_link(model.name, version),
        },
        run={
            "run_id": model.run_id, "link": run_link(run.experiment_id, model.run_id),
            "git_commit": model.tags.get("git_commit"), "git_dirty": model.tags.get("git_dirty"),
        },
        data=json.loads(model.tags["data_snapshots"]),
        sql=json.loads(model.tags.get(HASHES, "{}")),
        decision=decision.to_dict() if decision else None,
    )  # fmt: skip
    if again is not None and not told.same:
        found.notes.append(
            f"'{target}': from these features version {version} says {again:.6g}, and the score is {said:.6g}: features"
            " or their SQL changed since"
        )
    return told


def _decision(known: list[Entry], version: str, score: Mapping[str, Any]) -> Entry | None:
    """The row by which the version was in force when it was asked; of several the last one before."""
    mine = [entry for entry in known if entry.version == version]
    before = [entry for entry in mine if entry.at <= score["computed_at"]]
    return next(reversed(before or mine), None)


def _why(
    model: Champion,
    contracts: Mapping[str, Contract],
    definitions: Definitions,
    values: pa.Table | None,
    top: int,
    found: Explained,
) -> tuple[float | None, list[Reason], float | None, float | None]:
    """The score again, its reasons, where it starts, and the rest; nothing without features."""
    if values is None:
        return None, [], None, None
    names = [name for name, _ in model.features]
    try:
        again = float(model.predict(values)[0])
        why = model.estimator.explain(as_columns(values, model.features), top=min(top, len(names)))
    except InputError as error:
        found.notes.append(
            f"'{model.target}': version {model.version} can't be asked with the features of today: {error}"
        )
        return None, [], None, None
    words = words_of(names, contracts, texts(contracts, definitions.label(model.target), definitions.views.values()))
    order = model.estimator.inputs_.names
    reasons = [
        Reason(order[at], words.get(order[at], ""), values[order[at]][0].as_py(), float(moved))
        for at, moved in zip(why.features[0], why.contributions[0], strict=True)
    ]
    return again, reasons, float(why.base[0]), float(why.rest[0])
