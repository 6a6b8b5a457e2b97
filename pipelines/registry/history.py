"""Which model was in production when, and the way back to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.core.errors import Busy, ConfigError, NotReady
from pipelines.core.lean import go_without
from pipelines.core.report import Report
from pipelines.registry.ledger import Ledger
from pipelines.registry.loading import verify
from pipelines.registry.marks import TAKEN_BACK, mark
from pipelines.registry.rulings import withdrawn
from pipelines.registry.standing import decide, exists, mend, show, standing
from pipelines.registry.tracking import PROMOTED, connect, version_link, version_of

if TYPE_CHECKING:
    from datetime import datetime

    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.tenant import Tenant
    from pipelines.registry.ledger import Entry

_UNUSED = ("matplotlib", "pandas", "polars", "pyarrow", "scipy", "sklearn")
"""What MLflow looks for when it is imported, and its registry does without, as in its slim distribution."""


def history(tenant: Tenant, target: str | None = None, at: datetime | None = None) -> list[Entry]:
    """The decisions of the ledger, the oldest first; those in force at an instant where one is given.

    Args:
        tenant: whose.
        target: one target; None is all.
        at: naive UTC instant of the wall clock.

    Raises:
        ConfigError: an unknown target.
        LeadwiseError: the ledger was changed by hand.
    """
    ledger = Ledger(tenant)
    found = {name: ledger.entries(name) for name in tenant.target(target)}
    if at is None:
        return sorted((entry for some in found.values() for entry in some), key=lambda entry: (entry.at, entry.target))
    last = {name: [entry for entry in some if entry.at <= at][-1:] for name, some in found.items()}
    return [entry for some in last.values() for entry in some]


def rollback(
    tenant: Tenant,
    target: str,
    reason: str,
    to: str | None = None,
    by: str | None = None,
    evidence: object = None,
    seen: int | None = None,
) -> Report:
    """Put an earlier version back to work: its row in the ledger, then the alias.

    No lock is taken: the ledger takes one of two decisions, so that a long promotion does not stand in the way.

    Args:
        tenant: whose model.
        target: what it predicts.
        reason: why.
        to: the version; None is the one that was in force before the present one and was not taken back itself. The
            present one puts an alias back that was moved by hand. A version that never was in force may be named too.
        by: who; None is who runs this process.
        evidence: what it rests on, JSON-ready.
        seen: number of the decision that is taken back; None is the present one, whichever it is.

    Raises:
        NotReady: there is no earlier version, or no such version.
        ConfigError: no reason.
        UnsafeModel: the version's files are not those it was promoted with.
        Busy: somebody else decided at the same moment.
    """
    if not reason.strip():
        raise ConfigError("a rollback needs a reason: say it with --reason")
    report = Report("rollback", tenant.name)
    if to is None or any(entry.version == to for entry in Ledger(tenant).entries(target)):
        go_without(*_UNUSED)  # nothing is loaded, and MLflow comes in much sooner
    name, client = tenant.model_name(target), connect(tenant)
    report.notes += [said for said in mend(tenant, [target]) if "cut short" in said]
    known = Ledger(tenant).entries(target)
    current = known[-1] if known else None
    if seen is not None and (current is None or current.seq != seen):
        raise Busy(f"somebody decided on '{target}' of tenant '{tenant.name}' meanwhile: nothing was changed")
    version = str(version_of(client, name, to).version) if to else _before(tenant, target, known)
    if current is not None and version == current.version:
        return _the_same(tenant, current, report)
    found = version_of(client, name, version)
    entry = decide(
        tenant,
        target,
        known,
        version,
        "rollback",
        why=reason,
        digest=_sound(tenant, target, found, known),
        as_of=found.tags["as_of"],
        evidence={} if evidence is None else {"evidence": evidence},
        by=by,
    )
    if entry.previous in withdrawn([*known, entry]) and exists(client, name, entry.previous):
        mark(client, name, entry.previous, TAKEN_BACK, reason, entry.by)
    mark(client, name, version, PROMOTED[1], reason, entry.by)
    report.counts[f"{target}: champion"] = version
    report.links[f"champion of {target}"] = version_link(name, version)
    left = f", and version {entry.previous} is out of work" if entry.previous else ""
    report.notes.append(f"{target}: version {version} of {name} is the champion again{left}: {reason}")
    return report


def _the_same(tenant: Tenant, current: Entry, report: Report) -> Report:
    """The version in force was named: its alias is put back if somebody moved it, else nothing changes."""
    target, version = current.target, current.version
    report.counts[f"{target}: champion"] = version
    if standing(tenant, target).alias == version:
        name = tenant.model_name(target)
        report.notes.append(f"{target}: version {version} of {name} is the champion already: nothing changed")
    else:
        show(tenant, current)
        report.notes.append(f"{target}: the alias is back at version {version}, which the ledger knows as champion")
    return report


def _sound(tenant: Tenant, target: str, found: ModelVersion, known: list[Entry]) -> str:
    """Digest of a version's files, which are those it was put to work with; one that never was is loaded to see."""
    held = next((entry.digest for entry in reversed(known) if entry.version == str(found.version)), None)
    if held is None:
        from pipelines.registry.champion import load_version

        return load_version(tenant, target, found).digest
    name = tenant.model_name(target)
    verify(tenant, f"models:/{name}/{found.version}", f"version {found.version} of {name}", held)
    return held


def _before(tenant: Tenant, target: str, known: list[Entry]) -> str:
    """The version that was in force before the present one and was not taken back."""
    gone = withdrawn(known)
    if known:
        for entry in reversed(known[:-1]):
            if entry.version != known[-1].version and entry.version not in gone:
                return entry.version
    raise NotReady(
        f"tenant '{tenant.name}' has no earlier champion of '{target}' to go back to:"
        f" `leadwise history --tenant {tenant.name}` lists them, and --to names any version"
    )
