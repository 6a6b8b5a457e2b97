"""Airflow DAG `<tenant>_features`: features as of each midnight, stored and brought online.

Starts when the clean tables have new days, and works on those. Each view's SQL sees only what had arrived by the
instant it is computed for, so running it again, late or over many days gives the same rows.
"""

from dags.factory import asset, step, tenants, workflow
from pipelines.core.interval import Interval
from pipelines.core.report import Report
from pipelines.core.tenant import Tenant

for _tenant in tenants():
    with workflow(_tenant, "features", schedule=[asset(_tenant, "clean")], doc=__doc__):

        @step(_tenant, inlet=asset(_tenant, "clean"), outlet=asset(_tenant, "features"))
        def features(tenant: Tenant, interval: Interval) -> Report:
            """Compute the feature rows, apply Feast's definitions, materialize."""
            from pipelines.features.step import features as features_step

            return features_step(tenant, interval)

        features()
