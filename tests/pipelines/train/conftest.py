"""A fresh MLflow database, made once and copied."""

from pathlib import Path

import pytest

from tests.pipelines.registry.conftest import empty_mlflow  # noqa: F401 - a fixture


@pytest.fixture(autouse=True)
def _ready_mlflow(request: pytest.FixtureRequest, empty_mlflow: Path) -> None:  # noqa: F811
    """Put the database where a tenant of the test looks for it."""
    if "var" in request.fixturenames:
        folder: Path = request.getfixturevalue("var") / "mlflow"
        folder.mkdir(parents=True)
        (folder / "mlflow.db").write_bytes(empty_mlflow.read_bytes())
