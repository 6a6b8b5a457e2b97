"""Trainings of made-up rows, as the registry's tests have them."""

from tests.pipelines.registry.conftest import empty_mlflow, recorder, tenant  # noqa: F401 - fixtures
