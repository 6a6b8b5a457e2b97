"""Trainings of made-up rows, as the registry's tests have them."""

import pytest

from tests.pipelines.registry.conftest import empty_mlflow, recorder, tenant, unpictured  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _unpictured(unpictured: None) -> None:  # noqa: F811
    """No test of a decision looks at a training's pictures."""
