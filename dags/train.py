"""Airflow DAG `<tenant>_train`: candidates are trained on what is known by then, and the better model is champion.

Starts when features have new rows. `train` registers the best candidate as `challenger`; `promote` compares it with
the champion, and with the base rate, on the same holdout, and writes its reasons on the version.
"""

from dags.factory import asset, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

for _tenant in tenants():
    with workflow(_tenant, "train", schedule=[asset(_tenant, "features")], doc=__doc__):

        @step(_tenant, inlet=asset(_tenant, "features"))
        def train(tenant: Tenant, interval: Interval) -> Report:
            """Fit every candidate of every target and register the challenger."""
            from pipelines.train.step import train as train_step

            return train_step(tenant, interval)

        @step(_tenant, inlet=asset(_tenant, "features"), outlet=asset(_tenant, "champion"))
        def promote(tenant: Tenant, interval: Interval) -> Report:
            """Move the alias `champion` if the challenger earned it."""
            from pipelines.registry.promote import promote as promote_step

            return promote_step(tenant, interval)

        train() >> promote()
