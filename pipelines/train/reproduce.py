"""Make a training again from what its run noted, and say what differs."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from models.ranked import unranked
from pipelines.core.errors import LeadwiseError, NotReady
from pipelines.core.interval import DAY, Interval, parse_instant
from pipelines.core.params import TrainParams
from pipelines.core.report import progress
from pipelines.lake.pinned import PinnedLake
from pipelines.registry.frames import frame
from pipelines.registry.loading import load
from pipelines.registry.runs import find
from pipelines.registry.tracking import HOLDOUT, connect, run_table
from pipelines.train import made_by
from pipelines.train.split import EVENT_TIME, LABEL

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from pipelines.core.tenant import Tenant
    from pipelines.registry.runs import Run
    from pipelines.train.data import TrainingSet
    from pipelines.train.fit import Candidate
    from pipelines.train.made_by import MadeBy


@dataclass
class Reproduced:
    """How a training made again compares with its run.

    Attributes:
        run_id: of MLflow.
        tenant: whose run.
        target: what it predicts.
        as_of: the instant whose knowledge it used, ISO.
        rows: of the training set that the run noted, holdout included.
        rows_gone: those of them that are not there any more.
        rows_added: rows that the run did not have.
        same_rows: whether the training set is the same, by hash.
        same_predictions: whether every candidate predicts the same of every row held out, to the last bit, and the
            logged model too.
        largest_difference: of a prediction, among rows that both hold out; None where there is none.
        differences: what differs from the run, one sentence each.
        notes: what changed since, and changes nothing here.
    """

    run_id: str
    tenant: str
    target: str
    as_of: str
    rows: int
    rows_gone: int = 0
    rows_added: int = 0
    same_rows: bool = False
    same_predictions: bool = False
    largest_difference: float | None = None
    differences: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return asdict(self)

    @property
    def explained(self) -> bool:
        """Whether it is the same, but for leads that were forgotten."""
        return (self.same_rows and self.same_predictions) or (self.rows_gone > 0 and self.rows_added == 0)


def reproduce(tenant: Tenant, words: str) -> Reproduced:
    """Rebuild the training set of a run from its snapshots, by its own contracts, SQL and parameters, and fit again.

    The lake, MLflow and the files of the use case are only read.

    Args:
        tenant: whose run.
        words: its id or the beginning of it, its name, a version such as v3, or an alias.

    Raises:
        ConfigError: there is no such run.
        NotReady: its snapshots are gone, or it did not note what it was made by.
    """
    run = find(tenant, words)
    connect(tenant)
    with tempfile.TemporaryDirectory(prefix="leadwise-") as scratch, progress(f"reproduce {run.short}", 5) as advance:
        folder = _fetched(tenant, run, Path(scratch))
        made = made_by.read(folder)
        advance(1)
        lake = _pinned(tenant, run, made)
        data = _again(tenant, lake, made, folder)
        advance(1)
        found = Reproduced(run.run_id, tenant.name, made.target, made.as_of, len(made.rows))
        _compare_rows(found, data, made, lake)
        _compare_predictions(tenant, found, run, made, data, advance)
        found.notes += _changed_since(tenant, made)
    return found


def _fetched(tenant: Tenant, run: Run, scratch: Path) -> Path:
    """The folder with what the run was made by."""
    import mlflow
    from mlflow.exceptions import MlflowException

    uri = tenant.settings.tracking_uri
    try:
        place = mlflow.artifacts.download_artifacts(
            run_id=run.run_id, artifact_path=made_by.FOLDER, dst_path=str(scratch), tracking_uri=uri
        )
    except (MlflowException, OSError):
        raise NotReady(
            f"run {run.short} of tenant '{tenant.name}' did not keep the SQL and contracts it was made by, so it can't"
            f" be made again: train anew with `leadwise train --tenant {tenant.name}`"
        ) from None
    return Path(place)


def _pinned(tenant: Tenant, run: Run, made: MadeBy) -> PinnedLake:
    lake = PinnedLake(tenant, made.snapshots)
    if gone := lake.missing():
        named = ", ".join(gone)
        kept = tenant.params.retention
        raise NotReady(
            f"run {run.short} of tenant '{tenant.name}' can't be made again, for its snapshots of {named} are gone:"
            f" `leadwise expire` keeps those of versions with an alias, of the newest {kept.keep_runs} runs of a target"
            f" and of the last {kept.keep_days} days (retention in params.yaml)"
        )
    return lake


def _again(tenant: Tenant, lake: PinnedLake, made: MadeBy, folder: Path) -> TrainingSet:
    """The training set as the run made it."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import read_definitions
    from pipelines.train.data import training_set

    try:
        then_params = TrainParams.model_validate(made.train)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise NotReady(
            f"the run was made by another version of Leadwise, whose parameters had no or another train.{where}:"
            " take that version (its tag git_commit) to make it again"
        ) from None
    params = tenant.params.model_copy(update={"train": then_params})
    settings = tenant.settings.model_copy(update={"threads": made.threads})
    contracts = load_contracts(folder / made_by.CONTRACTS)
    definitions = read_definitions(folder / made_by.SQL, contracts)
    end = parse_instant(made.as_of)
    then = replace(tenant, params=params, settings=settings)
    return training_set(then, lake, contracts, definitions, made.target, Interval(end - DAY, end))


def _compare_rows(found: Reproduced, data: TrainingSet, made: MadeBy, lake: PinnedLake) -> None:
    found.same_rows = data.digest(made.recipe) == made.digest
    if found.same_rows:
        return
    now = Counter(made_by.fingerprints(data.frame, data.rows[EVENT_TIME], data.rows[LABEL]).tolist())
    then = Counter(made.rows.tolist())
    found.rows_gone, found.rows_added = (then - now).total(), (now - then).total()
    if found.rows_gone and not found.rows_added and (struck := lake.replaced()):
        found.differences.append(
            f"{found.rows_gone} of {found.rows} rows are gone, because leads were forgotten since"
            f" (rows left {', '.join(struck)}); the other rows are the same"
        )
    elif found.rows_gone or found.rows_added:
        found.differences.append(
            f"{found.rows_gone} of {found.rows} rows are not the same any more, and {found.rows_added} rows stand in"
            " their place"
        )
    else:
        found.differences.append("the rows are the same, and stand in another order")


def _compare_predictions(
    tenant: Tenant, found: Reproduced, run: Run, made: MadeBy, data: TrainingSet, advance: Any
) -> None:
    """Fit again, and hold what is predicted of the holdout against that of the run and of the logged model."""
    from pipelines.train.fit import fit_candidates

    if moved := [f"{name} {old} to {new}" for name, old, new in _moved(made.versions)]:
        found.differences.append(f"versions changed since: {', '.join(moved)}")
    candidates = fit_candidates(data, TrainParams.model_validate(made.train), made.threads, advance)
    held = run_table(tenant.settings.tracking_uri, run.run_id, HOLDOUT)
    if held is None:
        found.differences.append(f"the run lost its {HOLDOUT}: there is nothing to compare predictions with")
        return
    ours, theirs = _common(data, held)
    worst = 0.0
    for candidate in candidates:
        gap = _gap(candidate.probabilities[ours], held[f"p_{candidate.kind}"].to_numpy()[theirs])
        if gap:
            found.differences.append(f"{candidate.kind} predicts otherwise, by {gap:.3g} at most")
        worst = max(worst, gap)
    gap = _logged_gap(tenant, run, data, candidates)
    if gap:
        found.differences.append(f"the model that the run logged predicts otherwise, by {gap:.3g} at most")
    found.largest_difference = max(worst, gap) if len(ours) else None
    found.same_predictions = found.same_rows and found.largest_difference == 0.0


def _moved(then: dict[str, str]) -> list[tuple[str, str, str]]:
    now = made_by.versions()
    return [(name, old, now.get(name, "none")) for name, old in then.items() if now.get(name) != old]


def _common(data: TrainingSet, held: pa.Table) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions of equal rows: in today's holdout, and in the run's. Rows that are alike have one probability."""
    rows = data.rows.take(data.parts.holdout)
    mine = made_by.fingerprints(frame(rows, data.features), rows[EVENT_TIME], rows[LABEL])
    other = made_by.fingerprints(frame(held, data.features), held[EVENT_TIME], held[LABEL])
    places = {number: place for place, number in enumerate(other.tolist())}
    pairs = [(place, places[number]) for place, number in enumerate(mine.tolist()) if number in places]
    found = np.array(pairs, dtype=np.intp).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _gap(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    return float(np.abs(a - b).max()) if len(a) else 0.0


def _logged_gap(tenant: Tenant, run: Run, data: TrainingSet, candidates: list[Candidate]) -> float:
    """How far the logged model is from the candidate of its kind."""
    logged = unranked(load(tenant, f"runs:/{run.run_id}/model", f"the model of run {run.short}").estimator)
    X, _ = data.holdout
    mine = next(candidate for candidate in candidates if candidate.kind == logged.kind)
    return _gap(mine.probabilities, logged.expected(X))


def _changed_since(tenant: Tenant, made: MadeBy) -> list[str]:
    """Queries that read otherwise today."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions

    try:
        today = load_definitions(tenant, load_contracts(tenant.contracts_dir))
    except LeadwiseError as error:
        return [f"today's SQL can't be read ({error}); the run's own was used"]
    now = today.hashes(made.target) if made.target in today.labels else {}
    changed = [name for name, old in made.sql.items() if now.get(name) != old]
    return [f"the SQL of {', '.join(changed)} changed since: the run's own was used"] if changed else []
