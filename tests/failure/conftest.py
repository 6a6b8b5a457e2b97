"""The scenes of the failure tests, and the soak: many more kills, asked for by `make soak`."""

from pathlib import Path

import pytest

from tests.failure.scenes import Scene, scenes


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the soak out unless the marker is asked for by name."""
    if "soak" in (config.option.markexpr or ""):
        return
    soaking = [item for item in items if item.get_closest_marker("soak")]
    if soaking:
        config.hook.pytest_deselected(items=soaking)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """All scenes by name. They share one folder: one is on stage at a time."""
    home: Path = tmp_path_factory.mktemp("failure")
    return {scene.name: scene for scene in scenes(home)}
