"""Every step, killed with SIGKILL and run again, leaves what an undisturbed run leaves."""

import os
import random
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Impossible
from tests.failure.scenes import Scene
from tests.failure.work import DONE, REFUSED, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

KILLS, SOAK = 20, 200
DRAWN = 2
SEED = int(os.environ.get("KILL_SEED") or time.time_ns() % 1_000_000)
NAMES = [
    *(f"first {step}" for step in ("ingest", "validate", "features", "train", "promote", "score", "monitor")),
    *(f"next {step}" for step in ("ingest", "validate", "features", "train", "promote", "score", "monitor")),
    *(f"again {step}" for step in ("ingest", "validate", "features", "train")),
    *("rewrite", "replay", "forget", "expire", "first simulate", "again simulate", "next market"),
]  # fmt: skip

DISK = 128 * 1024 * 1024
_soaking = pytest.mark.soak

ROOMS = (0, 16_384, 262_144)
WRITING = [
    *(f"next {step}" for step in ("ingest", "validate", "features", "train", "score")),
    "forget",
    *(pytest.param(name, marks=_soaking) for name in ("next promote", "next monitor", "next market")),
    *(pytest.param(name, marks=_soaking) for name in ("rewrite", "replay", "expire")),
]


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=[_soaking] if number >= KILLS else []) for number in range(SOAK)]
)
def test_killed_at_a_random_instant(stage: dict[str, Scene], number: int) -> None:
    """The steps take turns; a kill that comes after the end of its step is made up for by an earlier one."""
    chance = random.Random(f"{SEED} {number}")
    order = random.Random(SEED).sample(NAMES, len(NAMES))
    scene = stage[order[number % len(order)]]
    longest = scene.seconds
    for _ in range(5):
        after = chance.uniform(0.0, longest)
        scene.restore()
        if scene.kill_after(after):
            break
        longest = after
    else:
        pytest.fail(f"{scene.name} was always over before it was killed: KILL_SEED={SEED}")
    scene.finish(f"killed after {after:.3f} s of {scene.seconds:.3f} s, KILL_SEED={SEED}")


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=_soaking)], ids=["some", "every"])
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_a_commit_boundary(stage: dict[str, Scene], name: str, every: bool) -> None:
    """`make test` draws a few of each step, `make soak` takes them all."""
    scene = stage[name]
    numbers = scene.chosen(every)
    if not every:
        numbers = random.Random(f"{SEED} {name}").sample(numbers, min(DRAWN, len(numbers)))
    for number in numbers:
        scene.restore()
        boundary = scene.kill_at(number)
        if every:
            print(f"{name}: killed at {number} of {len(scene.boundaries)}: {boundary}", file=sys.stderr)
        scene.finish(f"killed before boundary {number} ({boundary})")


@pytest.mark.parametrize("name", WRITING)
def test_on_a_full_disk(stage: dict[str, Scene], impossible: Impossible, name: str) -> None:
    """With little room or none a step says so in one sentence; with room again it leaves what it always leaves."""
    scene = stage[name]
    try:
        with scene.on_a_disk_of(DISK) as folder:
            told = [_filled(scene, folder, room) for room in ROOMS]
            assert told[0], f"{name} needs no room at all"
            scene.finish(f"on a disk that was full: {told}")
    except OSError as error:
        impossible(str(error))


def _filled(scene: Scene, folder: Path, room: int) -> str:
    """Run the step with so many bytes left; what it told, empty where that was enough."""
    filler = folder / "filler"
    found = os.statvfs(folder)
    with filler.open("wb") as stream:
        stream.write(bytes(found.f_bavail * found.f_frsize - room))
    job = scene.job()
    code = run(job)
    filler.unlink()
    told = job.told.read_text() if job.told.exists() else ""
    full = any(words in told for words in ("disk is full", "No space left on device"))
    assert code == DONE or (code == REFUSED and full and "\n" not in told), (scene.name, room, told)
    return told if code == REFUSED else ""
