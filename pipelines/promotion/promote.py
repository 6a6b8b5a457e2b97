"""The step `promote`: the challenger becomes champion if the gate and, where one is asked for, a person say so."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from models.gate import Check
from models.inputs import InputError
from pipelines.core.errors import NotReady, UnsafeModel
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.promotion.gate import Evidence, Verdict, judge
from pipelines.promotion.segments import declared, with_segments
from pipelines.promotion.shadow import Shadowed, leave, shadowed
from pipelines.promotion.written import report_of, write_verdict
from pipelines.registry import marks
from pipelines.registry.champion import Champion, load_entry, load_version
from pipelines.registry.ledger import Ledger
from pipelines.registry.standing import decide, mend
from pipelines.registry.tracking import (
    CHALLENGER,
    HOLDOUT,
    PROMOTED,
    by_alias,
    connect,
    run_table,
    version_link,
    versions_with,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.registry.ledger import Entry


def promote(tenant: Tenant, interval: Interval, target: str | None = None) -> Report:
    """Judge the challenger of each target by the gate, and put it to work where it passes.

    It is judged on rows that neither it nor the champion learnt from: see `pipelines.promotion.gate`. The verdict is a
    page of the challenger's run, tags of its version and a report of the date. With `promotion.review: human` one that
    passes waits for a person (`pipelines.promotion.review`); with `promotion.shadow_days` it is scored beside the
    champion first (`pipelines.promotion.shadow`). A refused one stays the challenger. Running again changes nothing.

    Where several days were trained on before any was judged, each run judges the version of its own day.

    Args:
        tenant: whose models.
        interval: of the run; where a version was trained as of its end, that one is judged, else the alias'.
        target: one target; None is all. Then one without a challenger is left out with a note, but not the first.

    Raises:
        NotReady: `target` or the first one has no challenger, or the holdout of its run is gone.
        Busy: somebody else promoted or rolled back meanwhile.
        ConfigError: an unknown target.
    """
    report = Report("promote", tenant.name, interval)
    with exclusive(tenant, "promote"):
        targets = tenant.target(target)
        report.notes += mend(tenant, targets)
        for name in targets:
            with progress(f"promote: {name}"):
                _promote(tenant, name, interval, report, needed=name == targets[0])
    return report


def challenger_of(tenant: Tenant, target: str, interval: Interval) -> ModelVersion | None:
    """The version that was trained as of the interval's end, or else what bears the alias."""
    client, name, as_of = connect(tenant), tenant.model_name(target), interval.as_of.isoformat()
    named = by_alias(client, name, CHALLENGER)
    if named is None or named.tags["as_of"] == as_of:
        return named
    trained = versions_with(client, name, "as_of", as_of)
    return max(trained, key=lambda one: int(one.version), default=named)


def _promote(tenant: Tenant, target: str, interval: Interval, report: Report, needed: bool) -> None:
    client, name = connect(tenant), tenant.model_name(target)
    known = Ledger(tenant).entries(target)
    version = challenger_of(tenant, target, interval)
    if version is None:
        sentence = f"tenant '{tenant.name}' has no challenger for '{target}' yet"
        if not needed:
            report.notes.append(sentence)
            return
        raise NotReady(f"{sentence}: run `leadwise train --tenant {tenant.name}` first")
    standing = known[-1].version if known else None
    report.counts[f"{target}: champion"] = standing or "none"
    waiting = shadowed(tenant, target, version, interval)
    version = waiting.version
    report.links[f"challenger of {target}"] = version_link(name, str(version.version))
    if waiting.note:
        report.notes.append(f"{target}: {waiting.note}")
        return
    if str(version.version) == standing:
        _settled(client, name, known[-1])
        report.notes.append(f"{target}: version {standing} of {name} is the champion already: nothing changed")
        return
    if version.tags.get(PROMOTED[0]) == marks.REJECTED:
        by, why = (version.tags.get(f"{PROMOTED[0]}.{key}", "") for key in ("by", "reason"))
        report.notes.append(f"{target}: version {version.version} of {name} was rejected by {by}: {why}")
        return
    verdict, evidence, challenger = judged(tenant, target, version, interval, known, waiting, report)
    if not verdict.passed:
        _say(client, challenger, marks.REFUSED, verdict.reason, report)
        if standing is not None and any(one.status == "failed" for one in waiting.checks):
            waiting.refuse(client, challenger, standing)
        leave(client, name, challenger.version)
    elif waiting.begins:
        waiting.begin(client, challenger, interval)
        _say(client, challenger, marks.SHADOWED, f"{waiting.begins}: {verdict.reason}", report)
    elif tenant.params.promotion.review == "human":
        _say(client, challenger, marks.WAITING, verdict.reason, report)
        report.notes.append(
            f"{target}: a person decides: `leadwise approve --tenant {tenant.name} --target {target} --reason …`,"
            " `leadwise reject …`, or in Airflow"
        )
    else:
        entry = put_to_work(tenant, client, challenger, known, verdict.reason, evidence)
        report.counts[f"{target}: champion"] = entry.version
        report.notes.append(f"{target}: version {entry.version} of {name} is promoted: {verdict.reason}")


def judged(
    tenant: Tenant,
    target: str,
    version: ModelVersion,
    interval: Interval,
    known: list[Entry],
    waiting: Shadowed,
    report: Report,
) -> tuple[Verdict, dict[str, Any], Champion]:
    """The verdict on a version, written on it; what the ledger keeps of it; and the model."""
    client = connect(tenant)
    challenger = load_version(tenant, target, version)
    holdout = run_table(challenger.tracking_uri, challenger.run_id, HOLDOUT)
    if holdout is None:
        raise NotReady(
            f"the run {challenger.run_id} of the challenger of '{target}' lost its {HOLDOUT}:"
            f" run `leadwise train --tenant {tenant.name}` again"
        )
    champion, hindrance, found = _champion(tenant, known, challenger, holdout.schema.names)
    if hindrance:
        report.notes.append(f"{target}: {hindrance}")
    ledger, columns = Ledger(tenant), declared(tenant, target)
    evidence = Evidence(
        interval=interval,
        known=known,
        looks=ledger.looks(target),
        segments=list(columns),
        more=[*found, *waiting.checks],
        hindrance=hindrance,
        begun=waiting.begun,
    )
    holdout = with_segments(tenant, holdout, columns, datetime.fromisoformat(challenger.tags["as_of"]))
    verdict = judge(tenant, challenger, champion, holdout, evidence)
    kept = write_verdict(tenant, client, challenger, verdict, interval, known[-1].version if known else "")
    if verdict.look is not None:
        ledger.looked(target, verdict.look)
    report.details += [{"target": target, **row} for row in verdict.rows]
    report.links[f"verdict of {target}"] = str(report_of(tenant, target, interval).relative_to(tenant.home))
    return verdict, kept, challenger


def _champion(
    tenant: Tenant, known: list[Entry], challenger: Champion, columns: list[str]
) -> tuple[Champion | None, str, list[Check]]:
    """The champion, or why it can't be compared; and a failed check where its files are not what was promoted."""
    if not known:
        return None, "", []
    try:
        champion = load_entry(tenant, known[-1])
    except InputError as error:
        return None, f"champion {known[-1].version} can't be read ({error})", []
    except (UnsafeModel, NotReady) as error:
        return None, "", [Check("champion", "failed", str(error), {})]
    if champion.task != challenger.task:
        return None, f"champion {champion.version} predicts something else ({champion.task})", []
    gone = [name for name, _ in champion.features if name not in columns]
    if gone:
        return None, f"champion {champion.version} reads '{gone[0]}', which no longer exists", []
    return champion, "", []


def put_to_work(
    tenant: Tenant,
    client: MlflowClient,
    challenger: Champion,
    known: list[Entry],
    why: str,
    evidence: dict[str, Any],
    by: str | None = None,
) -> Entry:
    """Make a judged challenger the champion: the ledger, the alias, then the words on the version."""
    entry = decide(
        tenant,
        challenger.target,
        known,
        challenger.version,
        "promote",
        why=why,
        digest=challenger.digest,
        as_of=challenger.tags["as_of"],
        evidence=evidence,
        by=by,
    )
    marks.mark(client, challenger.name, challenger.version, PROMOTED[1], why, by)
    for other in versions_with(client, challenger.name, PROMOTED[0], marks.WAITING):
        said = f"version {entry.version} was promoted while it waited for a person"
        marks.mark(client, challenger.name, str(other.version), marks.SUPERSEDED, said)
    leave(client, challenger.name, challenger.version)
    return entry


def _settled(client: MlflowClient, name: str, entry: Entry) -> None:
    """Write on the champion's version what a killed run had not written."""
    if client.get_model_version(name, entry.version).tags.get(PROMOTED[0]) != PROMOTED[1]:
        marks.mark(client, name, entry.version, PROMOTED[1], entry.why)


def _say(client: MlflowClient, challenger: Champion, word: str, reason: str, report: Report) -> None:
    """Write on a version that was not promoted what became of it; what once was champion keeps its reasons."""
    if challenger.tags.get(PROMOTED[0]) != PROMOTED[1]:
        marks.mark(client, challenger.name, challenger.version, word, reason)
    words = {
        marks.WAITING: "passed the gate and waits for a person",
        marks.SHADOWED: "is scored in the champion's shadow",
    }
    said = words.get(word, f"is {word}")
    report.notes.append(f"{challenger.target}: version {challenger.version} of {challenger.name} {said}: {reason}")
