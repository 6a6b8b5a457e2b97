"""Tests of real servers themselves: part of `make test-services`."""

from pathlib import Path

import pytest

from tests.servers import Started


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder to sessions that have servers."""
    return None if config.getoption("--services") else True


@pytest.fixture(autouse=True)
def _asked_for(services: Started | None) -> None:
    if services is None:
        pytest.skip("tests of real servers: give --services")
