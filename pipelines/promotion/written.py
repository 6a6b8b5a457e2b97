"""What a verdict leaves: a page of the run, tags of the version, a report of the date."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deliver.files import replacing
from pipelines.promotion.page import page
from pipelines.registry.marks import (
    AGAINST,
    AS_OF,
    CHECK,
    DIGEST,
    GATE,
    ID,
    LINK,
    LONGEST,
    LOOKS,
    REASON,
    STANDING,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.promotion.gate import Verdict
    from pipelines.registry.champion import Champion

_FOLDER = "verdict"


def write_verdict(
    tenant: Tenant, client: MlflowClient, challenger: Champion, verdict: Verdict, interval: Interval, standing: str
) -> dict[str, Any]:
    """Put a verdict on its version and run, and its page among the tenant's reports; the verdict's tag is the last.

    `standing` is the version in force while it was judged, empty where there was none.

    Returns:
        What the ledger keeps of it: its id, where its page is, and every check's outcome.
    """
    facts = {
        "challenger": f"{challenger.tags.get('kind', '')}, run {challenger.run_id[:8]}",
        "judged as of": f"{interval.as_of:%Y-%m-%d %H:%M} UTC",
        "trained as of": challenger.tags["as_of"].replace("T", " ")[:16],
        "verdict": verdict.id,
    }
    html = page(verdict, challenger.name, facts)
    path = f"{_FOLDER}/{verdict.id}"
    with tempfile.TemporaryDirectory(prefix="leadwise-") as folder:
        (Path(folder) / "verdict.html").write_text(html, encoding="utf-8")
        text = json.dumps(verdict.to_dict(), indent=1) + "\n"
        (Path(folder) / "verdict.json").write_text(text, encoding="utf-8")
        client.log_artifacts(challenger.run_id, folder, path)
    with replacing(report_of(tenant, challenger.target, interval)) as (draft,):
        draft.write_text(html, encoding="utf-8")
    experiment = client.get_run(challenger.run_id).info.experiment_id
    link = f"[Verdict](#/experiments/{experiment}/runs/{challenger.run_id}/artifacts/{path}/verdict.html)"
    tags = {f"{CHECK}{one.name}": _told(one.status, one.said, one.figures) for one in verdict.checks}
    for stale in [key for key in challenger.tags if key.startswith(CHECK) and key not in tags]:
        client.delete_model_version_tag(challenger.name, challenger.version, stale)
    tags |= {
        LINK: link,
        ID: verdict.id,
        DIGEST: challenger.digest,
        AGAINST: verdict.against or "",
        AS_OF: interval.as_of.isoformat(),
        STANDING: standing,
        REASON: verdict.reason[:LONGEST],
        LOOKS: str(verdict.looks),
        GATE: "passed" if verdict.passed else "failed",
    }
    for key, value in tags.items():
        client.set_model_version_tag(challenger.name, challenger.version, key, value)
    return {
        "verdict": verdict.id,
        "page": f"runs:/{challenger.run_id}/{path}/verdict.html",
        "against": verdict.against,
        "judged": interval.as_of.isoformat(),
        "looks": verdict.looks,
        "checks": {one.name: one.status for one in verdict.checks},
    }


def report_of(tenant: Tenant, target: str, interval: Interval) -> Path:
    """Where the page of a verdict stands among the tenant's reports."""
    return tenant.reports_dir / interval.label / f"verdict_{target}.html"


def _told(status: str, said: str, figures: Any) -> str:
    """A check as a tag: status, sentence and numbers, as far as they fit."""
    whole = json.dumps({"status": status, "said": said, **figures}, default=str)
    return whole if len(whole) <= LONGEST else json.dumps({"status": status, "said": said[: LONGEST // 2]})
