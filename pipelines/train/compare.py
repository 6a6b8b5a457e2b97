"""Two runs, side by side on rows that neither model learnt from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from models.compare import Difference, paired
from models.judges import judge_of
from models.ranked import unranked
from pipelines.core.errors import ConfigError, NotReady
from pipelines.registry.frames import columns
from pipelines.registry.loading import load
from pipelines.registry.runs import find
from pipelines.registry.tracking import ENTITY, HOLDOUT, run_table
from pipelines.train.split import EVENT_TIME, LABEL

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from models import Estimator
    from models.inputs import Floats
    from pipelines.core.tenant import Tenant
    from pipelines.registry.runs import Run

Ints = npt.NDArray[np.intp]

LEVEL = 0.95
FEW = 50
"""Fewer entities than this make an interval that says little."""


@dataclass(frozen=True)
class Judged:
    """A run with its model and the rows it held out, in time order."""

    run: Run
    estimator: Estimator
    holdout: pa.Table

    @property
    def times(self) -> npt.NDArray[np.datetime64]:
        """Event time of each row that was held out."""
        return cast("npt.NDArray[np.datetime64]", self.holdout[EVENT_TIME].to_numpy())

    @property
    def recipe(self) -> dict[str, str]:
        """Hashes of the queries that made its features."""
        return {name: value for name, value in self.run.params.items() if name.startswith("sql.features.")}

    def predict(self, rows: pa.Table) -> Floats:
        """Probability of each row, or the number predicted of it."""
        kinds = [(column.name, column.kind) for column in self.estimator.inputs_.columns]
        return unranked(self.estimator).expected(columns(rows, kinds))


@dataclass(frozen=True)
class Comparison:
    """The outcome.

    Attributes:
        first: run A.
        second: run B.
        measures: by name; a difference is B's value minus A's.
        labels: of the common rows.
        scores: of the common rows, by A and by B.
        entities: how many there are; None where the runs did not keep them.
        span: first and last day of the rows.
        notes: sentences that belong to it.
    """

    first: Run
    second: Run
    measures: dict[str, Difference]
    labels: Floats
    scores: tuple[Floats, Floats]
    entities: int | None
    span: tuple[str, str]
    notes: list[str]

    @property
    def verdict(self) -> str:
        """What the deciding loss says, in one sentence."""
        judge = judge_of(self.first.task)
        loss = self.measures[judge.loss]
        gap = abs(loss.difference)
        interval = f"{LEVEL:.0%} interval of B - A: {loss.low:+.4f} to {loss.high:+.4f}"
        if loss.better:
            return f"{'AB'[loss.better - 1]} is better by {gap:.4f} {judge.words} ({interval})"
        side = "lower than" if loss.difference < 0 else "above"
        return f"no difference can be shown: B's {judge.words} is {gap:.4f} {side} A's ({interval})"

    def rows(self) -> list[dict[str, Any]]:
        """One row a measure."""
        return [
            {
                "measure": one.name,
                "A": one.first,
                "B": one.second,
                "B - A": one.difference,
                "from": one.low,
                "to": one.high,
                "better": {0: None, 1: "A", 2: "B"}[one.better],
            }
            for one in self.measures.values()
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        who = {name: {**run.row(), "run_id": run.run_id} for name, run in (("A", self.first), ("B", self.second))}
        return {
            **who,
            "rows": len(self.labels),
            "entities": self.entities,
            "from": self.span[0],
            "to": self.span[1],
            "level": LEVEL,
            "measures": self.rows(),
            "verdict": self.verdict,
            "notes": self.notes,
        }


def compare(tenant: Tenant, first: str, second: str, target: str | None = None, draws: int = 2000) -> Comparison:
    """Compare two runs on the newer one's holdout, without the rows that the older model learnt from.

    A row is taken where the other run held it out too, or where it happened after that run's holdout began. Each model
    reads the features its own run stored of a row; of a row that only the newer run has, the older model reads the
    newer one's, if the queries are the same. All rows of an entity are drawn together.

    Args:
        tenant: whose runs.
        first: run A: id, beginning of an id, name, version (v3) or alias.
        second: run B.
        target: where a version or alias exists of several.
        draws: resamples of the bootstrap.

    Raises:
        ConfigError: an unknown or ambiguous run, twice the same, or two that predict different things.
        NotReady: a run lost its holdout or model, or there is no row to compare on.
    """
    a, b = find(tenant, first, target), find(tenant, second, target)
    _comparable(a, b)
    judged = [_load(tenant, run) for run in (a, b)]
    newer, older = sorted(judged, key=lambda one: (one.run.as_of, one.times[-1], ENTITY in one.holdout.schema.names))[
        ::-1
    ]
    kept, own = _common(newer, older)
    rows = newer.holdout.take(kept)
    found = {newer.run.run_id: newer.predict(rows), older.run.run_id: _predict_older(older, rows, own)}
    labels = np.asarray(rows[LABEL].to_numpy(), dtype=np.float64)
    if len(np.unique(labels)) < 2:
        raise NotReady(
            f"the {len(labels)} rows that neither {a.short} nor {b.short} learnt from hold only the label"
            f" {labels[0]:g}: compare runs with a larger common holdout"
        )
    entities = rows[ENTITY].to_pandas().to_numpy() if ENTITY in rows.schema.names else None
    scores = found[a.run_id], found[b.run_id]
    counted = None if entities is None else len(np.unique(entities))
    days = [str(newer.times[kept[place]])[:10] for place in (0, -1)]
    return Comparison(
        a,
        b,
        paired(labels, *scores, entities, draws=draws, level=LEVEL, task=a.task),
        labels,
        scores,
        counted,
        (days[0], days[1]),
        _notes(newer, older, rows, own, counted),
    )


def _comparable(a: Run, b: Run) -> None:
    if a.run_id == b.run_id:
        raise ConfigError(f"both are the run {a.short} ({a.name}): name two different ones")
    for what, one, other in (
        ("target", a.target, b.target),
        ("task", a.task, b.task),
        ("horizon in days", a.params.get("target.horizon_days"), b.params.get("target.horizon_days")),
    ):
        if one != other:
            raise ConfigError(
                f"{a.short} and {b.short} do not predict the same thing ({what} {one} and {other}):"
                " compare runs that do"
            )


def _load(tenant: Tenant, run: Run) -> Judged:
    holdout = run_table(tenant.settings.tracking_uri, run.run_id, HOLDOUT)
    try:
        model = load(tenant, f"runs:/{run.run_id}/model", f"the model of run {run.short}").estimator
    except NotReady:
        model = None
    if holdout is None or model is None or not holdout.num_rows:
        lost = "model" if model is None else HOLDOUT
        raise NotReady(f"the run {run.short} ({run.name}) lost its {lost}: train it again, or compare another one")
    return Judged(run, model, holdout)


def _common(newer: Judged, older: Judged) -> tuple[Ints, Ints]:
    """Rows of the newer holdout to compare on, and the place of each in the older holdout (-1: not there)."""
    own = _places(newer.holdout, older.holdout)
    names = set(newer.holdout.schema.names)
    absent = [name for name in older.estimator.inputs_.names if name not in names]
    lends = newer.recipe == older.recipe and not absent
    later = newer.times > older.times[0]
    kept = np.flatnonzero((own >= 0) | (later & lends))
    if not len(kept):
        why = "every row that one held out is one that the other learnt from"
        if later.any():
            why = "the rows in question have features of other queries" + (f", without '{absent[0]}'" if absent else "")
        raise NotReady(
            f"there is no row to compare {newer.run.short} and {older.run.short} on: {why};"
            " train both as of the same day"
        )
    return kept, own[kept]


def _places(newer: pa.Table, older: pa.Table) -> Ints:
    """For each row of `newer` the place of the same entity and event time in `older`; -1 where there is none.

    Several events of one entity at one instant are told apart by their order, which is the same in both.
    """
    if ENTITY not in newer.schema.names or ENTITY not in older.schema.names:
        return np.full(newer.num_rows, -1, dtype=np.intp)
    found = _keys(newer).merge(_keys(older).reset_index(names="place"), how="left", on=[ENTITY, EVENT_TIME, "nth"])
    return cast(Ints, found["place"].fillna(-1).to_numpy().astype(np.intp))


def _keys(rows: pa.Table) -> pd.DataFrame:
    keys: pd.DataFrame = rows.select([ENTITY, EVENT_TIME]).to_pandas()
    return keys.assign(nth=keys.groupby([ENTITY, EVENT_TIME], sort=False).cumcount())


def _predict_older(older: Judged, rows: pa.Table, own: Ints) -> Floats:
    """The older model, on its own run's features where it has them."""
    found = np.empty(len(own))
    known = own >= 0
    if known.any():
        found[known] = older.predict(older.holdout.take(own[known]))
    if not known.all():
        found[~known] = older.predict(rows.take(np.flatnonzero(~known)))
    return found


def _notes(newer: Judged, older: Judged, rows: pa.Table, own: Ints, entities: int | None) -> list[str]:
    notes = []
    left = newer.holdout.num_rows - len(own)
    if left:
        notes.append(f"{left} rows that {newer.run.short} held out are left out: {older.run.short} may know them")
    known = own >= 0
    theirs = older.holdout[LABEL].to_numpy()[own[known]]
    changed = int((theirs != rows[LABEL].to_numpy()[known]).sum())
    if changed:
        notes.append(f"{changed} labels have changed since: those of the newer run, {newer.run.short}, count")
    if entities is None:
        notes.append("rows were drawn one by one, since a run kept no entities: the intervals may be too narrow")
    elif entities < FEW:
        notes.append(f"these are the rows of {entities} entities only: the intervals are rough")
    return notes
