"""A person's word on a challenger that passed the gate: `promotion.review: human`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError, LeadwiseError, NotReady
from pipelines.core.locks import exclusive
from pipelines.core.report import Report
from pipelines.promotion.promote import put_to_work
from pipelines.promotion.shadow import leave
from pipelines.registry import marks
from pipelines.registry.champion import load_version
from pipelines.registry.ledger import Ledger
from pipelines.registry.standing import mend, who
from pipelines.registry.tracking import PROMOTED, connect, reached, version_of, versions_with

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant


@dataclass(frozen=True)
class Question:
    """What a person is asked.

    Attributes:
        target: whose model.
        version: that waits.
        subject: one line.
        body: Markdown: the reason, every check, and where to look.
    """

    target: str
    version: str
    subject: str
    body: str


def waiting(tenant: Tenant, target: str) -> ModelVersion | None:
    """The newest version of `target` that passed the gate and waits for a person; None where there is none."""
    if not reached(tenant):
        return None
    found = versions_with(connect(tenant), tenant.model_name(target), PROMOTED[0], marks.WAITING)
    return max(found, key=lambda one: int(one.version), default=None)


def questions(tenant: Tenant, targets: Iterable[str]) -> list[Question]:
    """What is asked of each target that has a version waiting, judged while the present champion was in force."""
    found = []
    for target in targets:
        version, current = waiting(tenant, target), Ledger(tenant).current(target)
        if version is not None and version.tags.get(marks.STANDING, "") == (current.version if current else ""):
            found.append(_question(tenant, target, version))
    return found


def answer(
    tenant: Tenant, target: str, approve: bool, reason: str, version: str | None = None, by: str | None = None
) -> Report:
    """Write a person's word down, and put the version to work where it is a yes.

    Args:
        tenant: whose model.
        target: what it predicts.
        approve: yes or no.
        reason: why; it stays with the version, and with the ledger.
        version: that is meant; None is the one that waits.
        by: who says it; None is the user of this machine.

    Raises:
        NotReady: none waits, the champion changed since it was judged, or its files did.
        ConfigError: no reason, or another version than the one that waits.
        Busy: somebody else decided meanwhile.
    """
    if not reason.strip():
        raise ConfigError(
            f"a decision on '{target}' needs a reason: say it with --reason, or in Airflow clear the task `review` and"
            " answer it again"
        )
    report = Report("approve" if approve else "reject", tenant.name)
    with exclusive(tenant, "promote"):
        report.notes += mend(tenant, [target])
        client, name = connect(tenant), tenant.model_name(target)
        if version is not None and _answered(tenant, target, version, approve, report):
            return report
        found = _waiting(tenant, target, version)
        person = by or who()
        if not approve:
            marks.mark(client, name, str(found.version), marks.REJECTED, reason, person)
            leave(client, name, str(found.version))
            report.notes.append(f"{target}: version {found.version} of {name} is rejected by {person}: {reason}")
            return report
        known = Ledger(tenant).entries(target)
        then, now = found.tags.get(marks.STANDING, ""), known[-1].version if known else ""
        if then != now:
            raise NotReady(
                f"version {found.version} of {name} was judged while the champion was {_named(then)}, which is"
                f" {_named(now)} now: run `leadwise promote --tenant {tenant.name} --target {target}` again"
            )
        challenger = load_version(tenant, target, found, found.tags.get(marks.DIGEST))
        told = {"verdict": marks.ID, "page": marks.LINK, "judged": marks.AS_OF}
        evidence = {"review": "human", **{word: found.tags.get(tag) for word, tag in told.items()}}
        entry = put_to_work(tenant, client, challenger, known, reason, evidence, by=person)
    report.counts[f"{target}: champion"] = entry.version
    report.notes.append(f"{target}: version {entry.version} of {name} is promoted by {person}: {reason}")
    return report


def settle(tenant: Tenant, interval: Interval, answers: Iterable[Mapping[str, Any]]) -> Report:
    """Write down several answers: of each its target, version, approve, reason and by, as `answer` takes them.

    One that can't be carried out does not hold up the others.

    Raises:
        LeadwiseError: what stood in the way of the first such one, when the others are done.
    """
    report = Report("promote", tenant.name, interval)
    hindered: list[LeadwiseError] = []
    for one in answers:
        try:
            if _past(tenant, one["target"], one["version"], one["approve"]):
                words = f"version {one['version']} was decided on elsewhere: nothing changed"
                report.notes.append(f"{one['target']}: {words}")
                continue
            done = answer(tenant, one["target"], one["approve"], one["reason"], one["version"], one["by"])
        except LeadwiseError as error:
            hindered.append(error)
            continue
        report.notes += done.notes
        report.counts |= done.counts
    if hindered:
        raise hindered[0]
    if not report.notes:
        report.notes.append("no model passed the gate: nobody was asked, and nothing changed")
    return report


def _named(version: str) -> str:
    return f"version {version}" if version else "none"


def _answered(tenant: Tenant, target: str, version: str, approve: bool, report: Report) -> bool:
    """Whether this very word stands already: a task that runs again changes nothing."""
    client, name = connect(tenant), tenant.model_name(target)
    tags = version_of(client, name, version).tags
    current = Ledger(tenant).current(target)
    done = current is not None and current.version == version if approve else tags.get(PROMOTED[0]) == marks.REJECTED
    if done:
        if approve and current is not None and tags.get(PROMOTED[0]) != PROMOTED[1]:  # a killed run had not said so
            marks.mark(client, name, version, PROMOTED[1], current.why, current.by)
        word = "the champion" if approve else "rejected"
        report.notes.append(f"{target}: version {version} is {word} already: nothing changed")
    return done


def _past(tenant: Tenant, target: str, version: str, approve: bool) -> bool:
    """Whether a version that was asked about waits no more; an approved one that is in force is no surprise."""
    current = Ledger(tenant).current(target)
    word = version_of(connect(tenant), tenant.model_name(target), version).tags.get(PROMOTED[0])
    return word != marks.WAITING and not (approve and current is not None and current.version == version)


def _waiting(tenant: Tenant, target: str, version: str | None) -> ModelVersion:
    found = waiting(tenant, target)
    if found is None:
        raise NotReady(
            f"no version of '{target}' of tenant '{tenant.name}' waits for a person: `leadwise promote --tenant"
            f" {tenant.name}` judges the challenger first, and promotion.review says whether a person is asked"
        )
    if version is None or version == str(found.version):
        return found
    asked = version_of(connect(tenant), tenant.model_name(target), version)
    if asked.tags.get(PROMOTED[0]) == marks.WAITING:
        return asked
    raise ConfigError(f"version {version} of '{target}' does not wait for a person: version {found.version} does")


def _question(tenant: Tenant, target: str, version: ModelVersion) -> Question:
    tags, ui = version.tags, tenant.settings.mlflow_ui or ""
    checks = {key.removeprefix("gate.check "): json.loads(value) for key, value in tags.items() if "check " in key}
    lines = [f"| {name} | {one['status']} | {one['said'].replace('|', '/')} |" for name, one in checks.items()]
    links = [tags[key].replace("(#", f"({ui}/#") for key in (marks.LINK, "card") if key in tags]
    against = tags.get(marks.AGAINST)
    subject = f"{tenant.model_name(target)}: version {version.version} passed the gate"
    head = f"Against champion {against}" if against else "There is no champion to compare"
    body = "\n".join(
        [
            f"**{head}.** {tags.get(marks.REASON, '')}",
            "",
            "| check | verdict | why |",
            "|---|---|---|",
            *lines,
            "",
            " · ".join(links),
        ]
    )
    # Airflow takes double braces for a template.
    return Question(target, str(version.version), subject, body.replace("{{", "{ {").replace("{%", "{ %"))
