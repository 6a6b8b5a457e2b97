"""Every step, killed with SIGKILL and run again, leaves what an undisturbed run leaves."""

import os
import random
import sys
import time

import pytest

from tests.failure.scenes import Scene

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

_soaking = pytest.mark.soak


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
