"""Airflow DAG `<tenant>_monitor`: today's features and scores against the champion's training sample.

Starts when there are new scores. The report (HTML and JSON) lies under the tenant's `reports` folder, by date; method
and threshold stand still per kind of column, so that two dates can be compared. At the end what is due is deleted:
personal rows after their retention, versions of tables that no run needs, and files that no version knows.
"""

from dags.factory import asset, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

for _tenant in tenants():
    with workflow(_tenant, "monitor", schedule=[asset(_tenant, "scores")], doc=__doc__):

        @step(_tenant, inlet=asset(_tenant, "scores"))
        def monitor(tenant: Tenant, interval: Interval) -> Report:
            """Judge the drift of features and scores."""
            from pipelines.watch.monitor import monitor as monitor_step

            return monitor_step(tenant, interval)

        @step(_tenant, last=True)
        def expire(tenant: Tenant, interval: Interval) -> Report:
            """Delete old personal rows, versions that nobody needs, and files that nobody knows."""
            from pipelines.privacy.expire import expire as expire_step

            return expire_step(tenant, interval)

        monitor() >> expire()
