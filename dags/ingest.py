"""Airflow DAG `<tenant>_ingest`: source files become raw tables, raw rows become clean ones or go to quarantine.

Runs every day on the day that has just ended; a simulated market has a clock of its own, and its first task lets the
market yield the day; a tenant without daily sources is run by hand. To load other days, start a run with the parameters
`from` and `to` (UTC days, `to` excluded), or a backfill. A bad row goes to quarantine with the rule it broke;
a bad batch fails the run and publishes nothing. Either task may run again: a batch replaces itself.
"""

from dags.factory import asset, clock, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

for _tenant in tenants():
    with workflow(_tenant, "ingest", schedule=clock(_tenant), doc=__doc__):

        @step(_tenant)
        def market(tenant: Tenant, interval: Interval) -> Report:
            """Let the simulated market yield these days."""
            from pipelines.collect.simulator.days import market as market_step

            return market_step(tenant, interval)

        @step(_tenant)
        def collect(tenant: Tenant, interval: Interval) -> Report:
            """Read the sources into the raw tables."""
            from pipelines.collect.ingest import ingest

            return ingest(tenant, interval)

        @step(_tenant, outlet=asset(_tenant, "clean"))
        def validate(tenant: Tenant, interval: Interval) -> Report:
            """Map the raw rows, check them against the contracts, publish the good and keep the bad apart."""
            from pipelines.quality.validate import validate as validate_step

            return validate_step(tenant, interval)

        _collected = collect()
        if _tenant.params.simulate is not None:
            market() >> _collected
        _collected >> validate()
