"""Airflow DAG `<tenant>_score`: the champion scores the candidates, and the audience is written.

Starts when the champion has been decided, whether or not it changed. The scores of a date replace those of the same
date; the audience (Parquet and CSV) leaves out who opted out or gave no consent, and holds no phone numbers.
"""

from dags.factory import asset, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

for _tenant in tenants():
    with workflow(_tenant, "score", schedule=[asset(_tenant, "champion")], doc=__doc__):

        @step(_tenant, inlet=asset(_tenant, "champion"), outlet=asset(_tenant, "scores"))
        def score(tenant: Tenant, interval: Interval) -> Report:
            """Score the candidates and write the audience."""
            from pipelines.deliver.score import score as score_step

            return score_step(tenant, interval)

        score()
