"""What a search says: a table, sentences, and values to paste or to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.judges import judge_of
from pipelines.core.report import Report
from pipelines.train.search import write

if TYPE_CHECKING:
    from models.selection import Gain
    from pipelines.core.tenant import Tenant
    from pipelines.core.train_params import Task
    from pipelines.train.search.space import Values

LEVEL = 0.95


@dataclass(frozen=True)
class Found:
    """The outcome of one study.

    Attributes:
        kind: the estimator.
        present: values of `params.yaml`.
        best: values of the best trial; the present ones where none is better.
        loss: of the present values on the folds.
        task: of the target; its judge says what the loss is.
        gain: the best against the present.
        counts: trials by state.
        run_id: of the study in MLflow.
    """

    kind: str
    present: Values
    best: Values
    loss: float
    task: Task
    gain: Gain
    counts: dict[str, int]
    run_id: str

    @property
    def better(self) -> bool:
        """Whether the best is better beyond chance, its choice taken into account."""
        return self.gain.high < 0

    def row(self) -> dict[str, Any]:
        """A row of the table."""
        return {
            "model": self.kind,
            "trials": self.counts["trials"],
            "pruned": self.counts["pruned"],
            "measure": judge_of(self.task).loss,
            "present": round(self.loss, 5),
            "best": round(self.loss + self.gain.difference, 5),
            "best - present": round(self.gain.difference, 5),
            "of that luck": round(-self.gain.optimism, 5),
            "95 % from": round(self.gain.low, 5),
            "to": round(self.gain.high, 5),
            "better": "yes" if self.better else "",
        }


@dataclass
class Outcome:
    """What a search says: the report, each study's finding, and the values to paste."""

    report: Report
    found: list[Found] = field(default_factory=list)
    yaml: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        models = [
            {
                "model": one.kind,
                "present": one.present,
                "best": one.best,
                "better": one.better,
                "measure": judge_of(one.task).loss,
                "loss": {"present": one.loss, "difference": one.gain.difference, "optimism": one.gain.optimism}
                | {"low": one.gain.low, "high": one.gain.high, "level": LEVEL},
                **one.counts,
                "mlflow_run": one.run_id,
            }
            for one in self.found
        ]
        return {**self.report.to_dict(), "models": models, "yaml": self.yaml}


def tell(tenant: Tenant, target: str, outcome: Outcome) -> None:
    """Put the table and the sentences into the report, and the values to paste beside it."""
    report = outcome.report
    report.details += [one.row() for one in outcome.found]
    for one in outcome.found:
        if one.counts["failed"]:
            report.notes.append(f"{one.kind}: {one.counts['failed']} trials failed; their MLflow runs tell why")
        if one.best == one.present:
            report.notes.append(f"{one.kind}: no trial is better than the present values")
            continue
        changed = ", ".join(f"{name} {one.present[name]:g} → {value:g}" for name, value in one.best.items())
        words = judge_of(one.task).words
        sure = "better beyond chance" if one.better else "within chance"
        report.notes.append(f"{one.kind}: {changed} ({one.gain.expected:+.4f} {words} expected, {sure})")
    found = {one.kind: one.best for one in outcome.found if one.best != one.present}
    outcome.yaml = write.as_yaml(tenant.name, found) if found else ""
    others = [name for name in tenant.params.train.targets if name != target]
    if others:
        report.notes.append(f"the same parameters fit the targets {', '.join(others)}: look at them too")


def put(tenant: Tenant, outcome: Outcome, force: bool) -> None:
    """Put into `params.yaml` what has earned it."""
    changed = [one for one in outcome.found if one.best != one.present]
    chosen = {one.kind: one.best for one in changed if force or one.better}
    path = tenant.settings.params
    if chosen:
        write.write(path, tenant.name, chosen)
        outcome.report.notes.append(f"{', '.join(chosen)}: written to {path}, tenants.{tenant.name}.train")
    kept = ", ".join(one.kind for one in changed if one.kind not in chosen)
    if kept:
        outcome.report.notes.append(f"{kept}: not written, within chance; --force writes it all the same")
