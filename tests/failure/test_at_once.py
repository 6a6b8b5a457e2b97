"""Two processes at once: one wins and the other says so in one sentence, or both end well; never a mixture."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.failure import shop
from tests.failure.scenes import Scene
from tests.failure.work import DONE, REFUSED, Job, run, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TWICE = (
    *(f"next {step}" for step in ("ingest", "validate", "features", "train", "promote", "score", "monitor")),
    *("rewrite", "replay", "forget", "first simulate", "next market"),
)  # fmt: skip


def together(*jobs: Job) -> list[tuple[int, str]]:
    """Run jobs that begin at the same moment; the exit code of each, and what it told."""
    moment = time.time() + 0.3
    jobs = tuple(replace(job, at=moment, told=job.told.with_name(f"told{number}")) for number, job in enumerate(jobs))
    for job in jobs:
        job.told.unlink(missing_ok=True)
    processes = [start(job) for job in jobs]
    for process in processes:
        process.join(120)
    return [
        (int(process.exitcode or 0), job.told.read_text() if job.told.exists() else "")
        for process, job in zip(processes, jobs, strict=True)
    ]


def check(ended: Sequence[tuple[int, str]]) -> None:
    """Somebody ended well; who did not was refused because another was at work."""
    assert any(code == DONE for code, _ in ended), ended
    for code, told in ended:
        assert code == DONE or (code == REFUSED and told.startswith("Busy: another run of ")), told
        assert "\n" not in told


@pytest.mark.parametrize("name", TWICE)
def test_one_step_twice(stage: dict[str, Scene], name: str) -> None:
    scene = stage[name]
    scene.restore()
    check(together(scene.job(), scene.job()))
    scene.hold("twice at once")


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("next validate", "again ingest"),
        ("next validate", "replay"),
        ("next features", "again validate"),
        ("next train", "again features"),
        ("next score", "again validate"),
        ("next monitor", "next score"),
    ],
)
def test_a_step_beside_another_that_is_run_again(stage: dict[str, Scene], name: str, beside: str) -> None:
    """What is run beside changes no content: afterwards there is what either leaves alone."""
    scene, other = stage[name], stage[beside]
    scene.restore()
    # By the rules of now: those that the scene of `replay` is about would let rows pass that are held back.
    ended = together(scene.job(), replace(other.job(), environment=scene.job().environment))
    check(ended)
    assert not (len(ended) == 2 and ended[0][0] == REFUSED and ended[1][0] == REFUSED)
    if ended[0][0] == REFUSED:
        scene.finish(f"beside {beside}")
    else:
        scene.hold(f"beside {beside}")


def test_scores_are_of_one_model_while_the_champion_changes(stage: dict[str, Scene]) -> None:
    scene = stage["next promote"]
    scene.restore()
    [(promoted, _), (scored, told)] = together(scene.job(), stage["next score"].job())
    assert (promoted, scored) == (DONE, DONE), told
    rows = [line for line in scene.outcome()["table deliver.scores"] if str(shop.END.day - 1) in line]
    assert len({part for line in rows for part in line.split(", ") if part.startswith("'model_version'")}) == 1


def test_two_tenants_from_nothing(tmp_path: Path) -> None:
    """They share MLflow and its database, which neither has made yet."""
    tenants = ("shop", "mall")
    environment = {**shop.settle(tmp_path, tenants), "PLAIN_IDS": "1"}
    jobs = [Job("", tenant, (shop.FIRST, shop.CUT), environment, tmp_path / "told") for tenant in tenants]
    for step in ("ingest", "validate", "features", "train", "promote", "score"):
        ended = together(*(replace(job, step=step) for job in jobs))
        assert [code for code, _ in ended] == [DONE, DONE], (step, ended)
    found = []
    for job in jobs:
        assert run(replace(job, step="outcome")) == DONE, job.told.read_text()
        found.append(json.loads(job.told.read_text()))
    shared = (
        "identities",
        "table raw.visits",
        "table raw.members",
        "table clean",
        "table quarantine",
        "table features",
    )
    tables = [{name: rows for name, rows in one.items() if name.startswith(shared)} for one in found]
    assert len(tables[0]) > len(shared)
    assert tables[0] == tables[1]
    for one in found:
        assert [line.split()[1] for line in one["registry"] if not line.startswith("run")] == ["1"]
        assert "champion" in " ".join(one["registry"])
