"""A challenger in the champion's shadow: scored beside it for some days, then judged by what came of it too."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from models import gate as statistics
from models.gate import Check
from pipelines.registry.ledger import Ledger
from pipelines.registry.tracking import SHADOW, by_alias, connect

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant
    from pipelines.registry.champion import Champion

SINCE = "shadow.since"
"""Tag of a version: the instant, ISO, from which it is scored beside the champion."""

REFUSED_BY = "shadow.refused"
"""Tag of a version: the champion in whose shadow it fell short."""


@dataclass(frozen=True)
class Shadowed:
    """What the shadow means for a challenger.

    Attributes:
        version: to be judged: the challenger, or the one whose time in the shadow is over.
        note: why nothing is judged today; empty where something is.
        begins: how long it has to be scored beside the champion once it passed; empty where it has not to.
        checks: on what came of its scores.
        begun: when that time began.
    """

    version: ModelVersion
    note: str = ""
    begins: str = ""
    checks: list[Check] = field(default_factory=list)
    begun: datetime | None = None

    def refuse(self, client: MlflowClient, challenger: Champion, champion: str) -> None:
        """Remember that it fell short in this champion's shadow: it gets no second one."""
        client.set_model_version_tag(challenger.name, challenger.version, REFUSED_BY, champion)

    def begin(self, client: MlflowClient, challenger: Champion, interval: Interval) -> None:
        """Let `score` score the challenger from now on."""
        client.set_model_version_tag(challenger.name, challenger.version, SINCE, interval.as_of.isoformat())
        client.set_registered_model_alias(challenger.name, SHADOW, challenger.version)


def shadowed(tenant: Tenant, target: str, challenger: ModelVersion, interval: Interval) -> Shadowed:
    """Which version is judged as of the interval's end, and whether it has to be scored beside the champion first.

    Without `promotion.shadow_days`, or a champion, the challenger is judged at once. One at a time is in the shadow: a
    later challenger waits until it is decided on.
    """
    days = tenant.params.promotion.shadow_days
    client, name = connect(tenant), tenant.model_name(target)
    inside = by_alias(client, name, SHADOW)
    current = Ledger(tenant).current(target)
    if inside is not None and (current is None or days == 0 or str(inside.version) == current.version):
        client.delete_registered_model_alias(name, SHADOW)
        inside = None
    if days == 0 or current is None or str(challenger.version) == current.version:
        return Shadowed(challenger)
    if challenger.tags.get(REFUSED_BY) == current.version:
        words = f"version {challenger.version} fell short in the shadow of champion {current.version}"
        return Shadowed(challenger, note=f"{words}, and is not judged again while that one stands")
    if inside is None:
        return Shadowed(challenger, begins=f"{days} days beside champion {current.version} come first")
    begun = datetime.fromisoformat(inside.tags[SINCE])
    grace = tenant.params.promotion.watch.grace_days
    ends = begun + timedelta(days=days + tenant.params.train.targets[target].horizon_days + grace)
    if interval.as_of < ends:
        words = f"version {inside.version} is scored in the champion's shadow until {ends:%Y-%m-%d}"
        return Shadowed(challenger, note=f"{words}, when the outcomes of its {days} days are known")
    found = _outcome(tenant, target, str(inside.version), current.version, interval)
    return Shadowed(inside, checks=[found], begun=begun)


def leave(client: MlflowClient, name: str, version: str) -> None:
    """Take the version out of the shadow, if it is there."""
    found = by_alias(client, name, SHADOW)
    if found is not None and str(found.version) == version:
        client.delete_registered_model_alias(name, SHADOW)


def _outcome(tenant: Tenant, target: str, version: str, champion: str, interval: Interval) -> Check:
    """What came of the challenger's scores, against the champion's on the same events."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.lake.catalog import Lake
    from pipelines.promotion.outcomes import outcomes

    contracts = load_contracts(tenant.contracts_dir)
    definitions, lake = load_definitions(tenant, contracts), Lake(tenant)
    ours = outcomes(tenant, lake, contracts, definitions, target, version, interval, shadow=True)
    theirs = outcomes(tenant, lake, contracts, definitions, target, champion, interval)
    both, other = ours.beside(theirs)
    task = tenant.params.train.targets[target].task
    return statistics.not_worse(
        "shadow",
        both.labels,
        both.predicted,
        other,
        task=task,
        params=tenant.params.promotion.gate,
        clusters=both.clusters,
    )
