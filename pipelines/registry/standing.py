"""What is in force: the ledger says it, and MLflow's alias shows it.

A decision is written to the ledger first, then the alias is moved, then the registered model is told the number of the
decision that it shows (tag `ledger`). A lower number there is a move that was cut short: `mend` ends it. The same
number with an alias elsewhere is a hand that moved it: the alias is not followed, and `Standing.problem` says so.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.core import origin
from pipelines.core.errors import NotReady
from pipelines.registry.ledger import Ledger, entry_of
from pipelines.registry.tracking import CHAMPION, connect, reached, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlflow import MlflowClient

    from pipelines.core.tenant import Tenant
    from pipelines.registry.ledger import Action, Entry

SHOWN = "ledger"
"""Tag of a registered model: number of the decision that its alias shows."""


@dataclass(frozen=True)
class Standing:
    """What ledger and alias say of one target.

    Attributes:
        target: whose.
        entry: the decision in force; None where none was made.
        alias: version that bears the alias; None where none does.
        shown: number of the decision that the alias was moved for.
    """

    target: str
    entry: Entry | None
    alias: str | None
    shown: int

    @property
    def unfinished(self) -> bool:
        """Whether a move was cut short between ledger and alias."""
        return self.entry is not None and self.shown < self.entry.seq

    def problem(self, tenant: Tenant) -> str | None:
        """Where alias and ledger disagree: one sentence with the way out; else None."""
        if self.entry is None and self.alias is None:
            return None
        ruling = self.entry.version if self.entry else None
        if self.unfinished:
            return (
                f"'{self.target}': a decision for version {ruling} was cut short before the alias was moved:"
                " the next promote, rollback, score or monitor ends it"
            )
        if ruling == self.alias:
            return None
        way = f"`leadwise rollback --tenant {tenant.name} --target {self.target} --reason … --to"
        if ruling is None:
            return (
                f"'{self.target}': version {self.alias} bears the alias '{CHAMPION}' without a row of the ledger, and"
                f" is not loaded: put it to work with {way} {self.alias}`, or promote one"
            )
        found = f"version {self.alias} bears" if self.alias else "no version bears"
        return (
            f"'{self.target}': {found} the alias '{CHAMPION}', and the ledger knows version {ruling}, which is the one"
            f" that is loaded: put the alias back with {way} {ruling}`"
        )


def standing(tenant: Tenant, target: str, client: MlflowClient | None = None) -> Standing:
    """What is in force. Nothing is created or changed."""
    entry = Ledger(tenant).current(target)
    if client is None and not reached(tenant):
        return Standing(target, entry, None, entry.seq if entry else 0)
    alias, shown = _shown(client or connect(tenant), tenant.model_name(target))
    return Standing(target, entry, alias, shown)


def in_force(tenant: Tenant) -> dict[str, Entry]:
    """The decision in force of each target that has one."""
    ledger = Ledger(tenant)
    found = {target: ledger.current(target) for target in tenant.target()}
    return {target: entry for target, entry in found.items() if entry is not None}


def mend(tenant: Tenant, targets: Iterable[str]) -> list[str]:
    """End moves that were cut short, and say of each target what is wrong with its alias.

    Returns:
        A sentence for each thing mended or found.
    """
    told = []
    for target in targets:
        found = standing(tenant, target)
        if found.unfinished and found.entry is not None:
            if not exists(connect(tenant), tenant.model_name(target), found.entry.version):
                told.append(
                    f"'{target}': MLflow has no version {found.entry.version}, which the ledger knows as champion: put"
                    f" another one to work with `leadwise rollback --tenant {tenant.name} --target {target} --to …`"
                )
                continue
            show(tenant, found.entry)
            told.append(f"'{target}': the alias of version {found.entry.version} was moved, which had been cut short")
        elif said := found.problem(tenant):
            told.append(said)
    return told


def decide(
    tenant: Tenant,
    target: str,
    known: list[Entry],
    version: str,
    action: Action,
    *,
    why: str,
    digest: str,
    as_of: str,
    evidence: Mapping[str, Any],
    by: str | None = None,
) -> Entry:
    """Put a version to work: the ledger's row, then the alias.

    Args:
        tenant: whose.
        target: whose model.
        known: the ledger as it was when the decision was made; where it has grown since, nothing is done.
        version: that is in force from now on.
        action: what is done.
        why: one sentence.
        digest: of the version's files.
        as_of: the instant whose knowledge it was trained on, ISO.
        evidence: what it rests on.
        by: who; None is who runs this process, or the DAG run that does.

    Raises:
        Busy: somebody else decided meanwhile.
    """
    made = entry_of(
        target, known, version, action, by=by or who(), why=why, digest=digest, as_of=as_of, evidence=evidence
    )
    entry = Ledger(tenant).append(made)
    show(tenant, entry)
    return entry


def who() -> str:
    """Who is at work: the DAG run, or the user of this machine."""
    started = origin.current()
    if started is not None:
        return f"{started.kind}: {started.name}"
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"


def show(tenant: Tenant, entry: Entry) -> None:
    """Move the alias, then say for which decision; again where a later one was made meanwhile, so that it is shown."""
    client, name, ledger = connect(tenant), tenant.model_name(entry.target), Ledger(tenant)
    shown: Entry | None = entry
    while shown is not None:
        client.set_registered_model_alias(name, CHAMPION, shown.version)
        client.set_registered_model_tag(name, SHOWN, str(shown.seq))
        now = ledger.current(entry.target)
        shown = now if now is not None and now.seq > shown.seq else None


def exists(client: MlflowClient, name: str, version: str) -> bool:
    """Whether MLflow still has that version of a registered model."""
    try:
        version_of(client, name, version)
    except NotReady:
        return False
    return True


def _shown(client: MlflowClient, name: str) -> tuple[str | None, int]:
    """The version that bears the alias, and the number of the decision it was moved for."""
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None, 0
        raise
    alias = dict(model.aliases).get(CHAMPION)
    number = str(dict(model.tags).get(SHOWN, "0"))
    return (None if alias is None else str(alias)), int(number) if number.isdecimal() else 0
