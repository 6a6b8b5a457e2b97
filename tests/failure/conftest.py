"""The scenes of the failure tests."""

from pathlib import Path

import pytest

from tests.failure.scenes import Scene, scenes


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """All scenes by name. They share one folder: one is on stage at a time."""
    home: Path = tmp_path_factory.mktemp("failure")
    return {scene.name: scene for scene in scenes(home)}
