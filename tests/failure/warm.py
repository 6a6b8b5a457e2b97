"""Imported by the server of processes: what steps import, so that a child starts in no time. Nothing is run here."""

import os
from importlib import import_module

for name, value in {"MLFLOW_CONFIGURE_LOGGING": "0", "GX_ANALYTICS_ENABLED": "False"}.items():
    os.environ.setdefault(name, value)

import_module("pipelines.quality.quiet").quiet()
import_module("pipelines.features.apply").import_feast()

_LIBRARIES = """
    alembic.command evidently.presets git great_expectations ibis IPython.display lightgbm mlflow.pyfunc
    matplotlib.backends.backend_agg matplotlib.pyplot mlflow.store.model_registry.sqlalchemy_store
    mlflow.store.tracking.sqlalchemy_store phonenumbers.data.region_MX sklearn.linear_model xgboost
    feast.infra.offline_stores.duckdb feast.infra.online_stores.sqlite feast.infra.registry.file feast.repo_operations
"""
_OURS = """
    expectations.custom expectations.odcs feature_repo.feast_objects models.members models.scorer.scorer
    pipelines.cli.steps pipelines.collect.ingest pipelines.collect.simulator.export pipelines.collect.simulator.market
    pipelines.deliver.score pipelines.features.join pipelines.features.materialize pipelines.features.step
    pipelines.features.arrivals pipelines.features.engine.compute pipelines.features.engine.sqlite
    pipelines.privacy.expire pipelines.privacy.forget
    pipelines.quality.docs pipelines.quality.gate pipelines.quality.replay pipelines.promotion.promote
    pipelines.train.data pipelines.train.fit pipelines.train.record pipelines.train.step pipelines.watch.drift
    pipelines.watch.monitor tests.failure.boundaries tests.failure.outcome
"""

for module in f"{_LIBRARIES} {_OURS}".split():
    import_module(module)

import_module("sqlalchemy.orm").configure_mappers()
