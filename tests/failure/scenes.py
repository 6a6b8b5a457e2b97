"""States of tenants right before a step, copied for every kill, and what the step makes of them undisturbed."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from pipelines.core.settings import ROOT
from tests.failure import shop
from tests.failure.work import DONE, Job, ready, run, start

Outcome = dict[str, list[str]]

_MARKET_START = date(2026, 1, 1)
_MARKET_DAYS = 4
_CHAIN = ("ingest", "validate", "features", "train", "promote", "score", "monitor")
_MINTING = ("validate", "replay")
"""Steps that give new leads random ids."""


@dataclass(frozen=True)
class Scene:
    """A step about to be run.

    Attributes:
        name: of the scene.
        step, tenant, days: what is run.
        home: folder that holds the state in force, `var`.
        base: copy of that state before the step.
        environment: of the process.
        options: of the step.
        want: what is there after an undisturbed run.
        seconds: that took.
        boundaries: that were met.
    """

    name: str
    step: str
    tenant: str
    days: tuple[date, date]
    home: Path
    base: Path
    environment: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    want: Outcome = field(default_factory=dict, repr=False)
    seconds: float = 0.0
    boundaries: list[str] = field(default_factory=list, repr=False)

    def restore(self) -> None:
        """Bring the state before the step back, to the same path: Iceberg's files name their places in full."""
        shutil.rmtree(self.home / "var", ignore_errors=True)
        shutil.copytree(self.base, self.home / "var", symlinks=True)

    @contextmanager
    def on_a_disk_of(self, size: int) -> Iterator[Path]:
        """The state before the step on a file system of so many bytes, gone afterwards; yields its folder.

        Raises:
            OSError: none can be mounted here.
        """
        folder = self.home / "var"
        self.restore()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        mounted = subprocess.run(command, check=False, capture_output=True, text=True)
        if mounted.returncode:
            raise OSError(f"no file system can be mounted here: {mounted.stderr.strip()}")
        try:
            shutil.copytree(self.base, folder, symlinks=True, dirs_exist_ok=True)
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    def job(self, **changes: Any) -> Job:
        """The step as a process runs it."""
        told = self.home / "told"
        told.unlink(missing_ok=True)
        return Job(self.step, self.tenant, self.days, self.environment, told, options=self.options, **changes)

    def outcome(self) -> Outcome:
        """What is there now."""
        job = replace(self.job(), step="outcome")
        assert run(job) == DONE, job.told.read_text()
        found: Outcome = json.loads(job.told.read_text())
        return found

    def finish(self, how: str) -> None:
        """Run the step to its end and hold what is there against an undisturbed run; `how` it was disturbed before."""
        job = self.job()
        code = run(job)
        assert code == DONE, f"{self.name} {how}, and run again: {job.told.read_text()[-3000:]}"
        self.hold(f"{how}, and run again")

    def hold(self, how: str) -> None:
        """Hold what is there against an undisturbed run."""
        found = self.outcome()
        different = {name: _difference(found.get(name), self.want.get(name)) for name in {*found, *self.want}}
        different = {name: one for name, one in different.items() if one}
        assert not different, f"{self.name} {how}: {json.dumps(different, indent=1)[:4000]}"

    def kill_after(self, seconds: float) -> bool:
        """Start the step and kill all its processes after a time; returns whether it was still at work."""
        process = start(self.job())
        time.sleep(seconds)
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it is over, or not yet the leader of its group
            process.kill()
        process.join(30)
        return process.exitcode == -signal.SIGKILL

    def kill_at(self, number: int) -> str:
        """Run the step up to a boundary, and return which one that was."""
        trace = self.home / "trace"
        code = run(self.job(stop=number, trace=trace))
        assert code == -signal.SIGKILL, f"{self.name} ended with {code} before boundary {number}"
        return trace.read_text(encoding="utf-8").splitlines()[-1]

    def chosen(self, every: bool) -> list[int]:
        """Numbers of the boundaries to die at: all, or all commits, and of files of one folder the first and last."""
        numbers = range(1, len(self.boundaries) + 1)
        if every:
            return list(numbers)
        found: set[int] = set()
        for _, alike in groupby(numbers, key=lambda number: _place(self.boundaries[number - 1])):
            stretch = list(alike)
            commits = self.boundaries[stretch[0] - 1].startswith("sqlite")
            found |= set(stretch) if commits else {stretch[0], stretch[-1]}
        return sorted(found)


def scenes(home: Path) -> Iterator[Scene]:
    """Make all scenes below `home`, each after the one before it."""
    environment = shop.settle(home)
    ready()  # else the first step would be timed with all imports
    yield from _chain(home, environment, "first", (shop.FIRST, shop.CUT))
    shop.add_members(home / "var" / shop.TENANT / "in", 3)
    yield from _chain(home, environment, "next", (shop.CUT, shop.END))
    yield from _chain(home, environment, "again", (shop.CUT, shop.END), ("ingest", "validate", "features", "train"))
    shop.write_rules(home / "changed", changed=True)
    changed = {**environment, "LEADWISE_FEATURE_REPO": str(home / "changed" / "feature_repo")}
    rewrite = _scene(home, changed, "rewrite", "features", shop.TENANT, (shop.FIRST, shop.END), {"rewrite": True})
    yield rewrite
    rewrite.restore()  # nobody else knows the changed SQL
    shop.write_rules(home / "mended", mended=True)
    mended = {**environment, "LEADWISE_EXPECTATIONS": str(home / "mended" / "expectations")}
    yield _scene(home, mended, "replay", "replay", shop.TENANT, (shop.FIRST, shop.END))
    asked = Job("lead", shop.TENANT, (shop.FIRST, shop.END), environment, home / "lead", options={"phone": shop.GONE})
    assert run(asked) == DONE, asked.told.read_text()
    gone = {"lead": asked.told.read_text(), "phone": shop.GONE}
    yield _scene(home, environment, "forget", "forget", shop.TENANT, (shop.FIRST, shop.END), gone)
    yield _scene(home, environment, "expire", "expire", shop.TENANT, (shop.CUT, shop.END))
    shutil.rmtree(home / "var")
    (home / "var").mkdir()
    yield from _market(home)


def _chain(
    home: Path, environment: dict[str, str], name: str, days: tuple[date, date], steps: tuple[str, ...] = _CHAIN
) -> Iterator[Scene]:
    for step in steps:
        yield _scene(home, environment, f"{name} {step}", step, shop.TENANT, days)


def _market(home: Path) -> Iterator[Scene]:
    """The simulated market: its export, the same over an earlier one, and a day that was drawn ahead."""
    common = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    demo = common["tenants"]["demo"]
    demo["simulate"] |= {"leads": 40, "days": _MARKET_DAYS, "ahead_days": 2}
    common["tenants"] = {"demo": demo}
    (home / "market.yaml").write_text(yaml.safe_dump(common, sort_keys=False), encoding="utf-8")
    environment = {"LEADWISE_VAR": str(home / "var"), "LEADWISE_PARAMS": str(home / "market.yaml")}
    end = _MARKET_START + timedelta(days=_MARKET_DAYS)
    yield _scene(home, environment, "first simulate", "simulate", "demo", (_MARKET_START, end))
    yield _scene(home, environment, "again simulate", "simulate", "demo", (_MARKET_START, end))
    yield _scene(home, environment, "next market", "market", "demo", (end, end + timedelta(days=1)))


def _scene(
    home: Path,
    environment: dict[str, str],
    name: str,
    step: str,
    tenant: str,
    days: tuple[date, date],
    options: dict[str, Any] | None = None,
) -> Scene:
    base = home / "bases" / name.replace(" ", "-")
    shutil.copytree(home / "var", base, symlinks=True)
    if step in _MINTING:
        environment = {**environment, "PLAIN_IDS": "1"}
    scene = Scene(name, step, tenant, days, home, base, environment, options or {})
    trace = home / "trace"
    job = scene.job(trace=trace)
    began = time.time()
    code = run(job, timeout=300)
    seconds = time.time() - began
    assert code == DONE, f"{name}: {job.told.read_text()}"
    boundaries = trace.read_text(encoding="utf-8").splitlines()
    return replace(scene, want=scene.outcome(), seconds=seconds, boundaries=boundaries)


def _place(boundary: str) -> str:
    """What a file has in common with its like: what happens to it, and in which folder."""
    kind, _, place = boundary.partition(" ")
    return f"{kind} {place.rpartition('/')[0]}"


def _difference(found: list[str] | None, want: list[str] | None) -> list[str]:
    if found == want:
        return []
    have, need = found or [], want or []
    more = [f"+ {line}" for line in have if line not in need]
    less = [f"- {line}" for line in need if line not in have]
    return [*more[:3], *less[:3]] or [f"{len(have)} instead of {len(need)} rows"]
