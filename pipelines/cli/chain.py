"""The DAGs in their order, and a runner that walks them without Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pipelines.cli.steps import call

if TYPE_CHECKING:
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant

# Each DAG and its tasks, by the names of the steps.
CHAIN: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "validate"),
    "features": ("features",),
    "train": ("train", "promote"),
    "score": ("score",),
    "monitor": ("monitor", "expire"),
}


def steps_of(tenant: Tenant, dag: str) -> tuple[str, ...]:
    """The steps of one DAG; a simulated market yields its days first."""
    simulated = dag == "ingest" and tenant.params.simulate is not None
    return ("market", *CHAIN[dag]) if simulated else CHAIN[dag]


class Runner(Protocol):
    """Something that runs the DAG `dag` for the days of `interval` and returns the reports of its steps."""

    def run(self, dag: str, interval: Interval) -> list[dict[str, Any]]:
        """Run one DAG; raises what its failed task raised."""
        ...


class PlainRunner:
    """The steps one after the other, in this process."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant

    def run(self, dag: str, interval: Interval) -> list[dict[str, Any]]:
        """Run the steps of one DAG."""
        return [call(step, self.tenant, interval).to_dict() for step in steps_of(self.tenant, dag)]
