"""The closing summary of a run, and the tables of `leadwise status`."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.cli import show as display

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.core.tenant import Tenant

Reports = Sequence[Mapping[str, Any]]


def as_dict(tenant: Tenant, reports: Reports, state: Mapping[str, Any]) -> dict[str, Any]:
    """The run for a program: reports in order, the state after it, and where to look."""
    return {"reports": list(reports), "status": state, "where": where(tenant)}


def show(tenant: Tenant, reports: Reports, state: Mapping[str, Any], seconds: float) -> None:
    """Print what the run led to."""
    out = display.console()
    out.print()
    for table in tables(state, _last(reports, "train")):
        out.print(table)
    places = display.table(["where to look", ""])
    places.columns[1].justify = "left"
    places.columns[1].overflow = "fold"
    for name, place in where(tenant).items():
        places.add_row(name, place)
    out.print(places)
    out.print(f"[bold green]Done[/bold green] in {_minutes(seconds)}, at most {peak_gib():.1f} GiB of memory.")


def tables(state: Mapping[str, Any], candidates: Reports = ()) -> list[Table]:
    """The state as tables for a person; `candidates` are those of the last training, where it is at hand."""
    made = [
        display.records(_named(state["tables"], "table"), "Tables"),
        display.records(_named(state["features"], "feature view"), "Features"),
    ]
    if candidates:
        made += display.alike(candidates, "Candidates, on the holdout of the last training")
    models = [_model(target, model) for target, model in state["models"].items()]
    made += display.alike(models or [{"target": "–", "champion": "none yet: leadwise train"}], "Models")
    scores, drift = state["scores"], state["drift"]
    flat = {"as of": scores["as_of"], "model": scores["model_version"], "rows": scores["rows"], **scores["tiers"]}
    made.append(display.records([flat], "Scores per tier"))
    drifted = {"share of columns": drift["share"], "drifted": ", ".join(drift["columns"]) or None}
    made.append(display.records([drifted], "Drift against the training sample"))
    return made


def where(tenant: Tenant) -> dict[str, str]:
    """Where the results lie."""
    settings = tenant.settings
    return {
        "audience": _newest(tenant.audience_dir, "*"),
        "data docs": _newest(tenant.docs_dir, "**/index.html"),
        "drift report": _newest(tenant.reports_dir, "*/drift*.html"),
        "verdict on models": _newest(tenant.reports_dir, "*/verdict_*.html"),
        "models": f"mlflow ui --backend-store-uri {settings.tracking_shown}",
        "a score by HTTP": f"leadwise serve --tenant {tenant.name}",
    }


def peak_gib() -> float:
    """The most memory this process has held, in GiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**30 if sys.platform == "darwin" else 2**20)


def _newest(folder: Any, pattern: str) -> str:
    """The last match by name, or the folder where there is none."""
    found = sorted(folder.glob(pattern), key=lambda path: (-len(path.parts), str(path))) if folder.is_dir() else []
    return str(found[-1] if found else folder)


def _named(values: Mapping[str, Mapping[str, Any]], title: str) -> list[dict[str, Any]]:
    return [{title: name, **_readable(value)} for name, value in values.items()]


def _readable(value: Mapping[str, Any]) -> dict[str, Any]:
    """A snapshot is a name, not a number."""
    return {key: str(item) if key == "snapshot_id" and item is not None else item for key, item in value.items()}


def _model(target: str, model: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "target": target,
        "model": f"{model['name']} v{model['version']} ({model['alias']})",
        **model["metrics"],
        "train rows": model["train_rows"],
        **{key.replace("_", " "): model[key] for key in ("train_base_rate", "train_mean") if key in model},
        "holdout rows": model["holdout_rows"],
    }


def _last(reports: Reports, step: str) -> Reports:
    """Details of the last report of `step` that has some."""
    found = [report["details"] for report in reports if report["step"] == step and report["details"]]
    return found[-1] if found else ()


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{seconds:.1f} s"
