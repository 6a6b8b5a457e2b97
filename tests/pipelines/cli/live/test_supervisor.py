"""Processes that are watched, revived and ended, with real ones."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines.cli.live.services import Service
from pipelines.cli.live.supervisor import Supervisor
from pipelines.core.errors import LeadwiseError

SLEEP = "import time; time.sleep(60)"
# A parent with a child of its own, which hears no SIGTERM.
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
STUBBORN = f"""
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}])
print(child.pid, flush=True)
child.wait()
"""


def service(code: str, name: str = "one") -> Service:
    return Service(name, (sys.executable, "-c", code))


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(os.environ, tmp_path / "logs", tmp_path / "sessions.json")
    yield made
    made.stop()


def child_of(tmp_path: Path) -> int:
    """The pid that STUBBORN prints."""
    log = tmp_path / "logs" / "one.log"
    deadline = time.monotonic() + 10
    while not (log.is_file() and log.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(log.read_text().split()[0])


def dead(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_stop_ends_descendants_that_do_not_listen(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(service(STUBBORN))
    child = child_of(tmp_path)
    time.sleep(0.3)  # until it ignores SIGTERM
    supervisor.stop()
    assert dead(child)
    assert not (tmp_path / "sessions.json").exists()


def test_what_was_killed_is_started_again_and_its_orphans_are_ended(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.start(service(STUBBORN))
    child = child_of(tmp_path)
    [parent] = [p for p in psutil.Process().children() if p.pid == psutil.Process(child).ppid()]
    parent.send_signal(signal.SIGKILL)
    parent_gone = time.monotonic() + 5
    said: list[str] = []
    while not said and time.monotonic() < parent_gone:
        said = list(supervisor.revive())
        time.sleep(0.05)
    assert said == [f"one ended (killed by SIGKILL) and is started again; its log: {tmp_path / 'logs' / 'one.log'}"]
    assert dead(child)
    assert list(supervisor.revive()) == []


def test_what_dies_again_and_again_is_given_up_with_a_sentence(supervisor: Supervisor) -> None:
    supervisor.start(service("raise SystemExit(3)"))

    def forever() -> None:
        for _ in range(200):
            list(supervisor.revive())
            time.sleep(0.05)

    with pytest.raises(LeadwiseError, match=r"one ended 4 times within 120 s: the last lines of .*one\.log say why"):
        forever()


def test_leftovers_of_a_killed_supervisor_are_found_and_ended(tmp_path: Path) -> None:
    """The whole of a supervisor is killed with -9; the next one on the same folder cleans up."""
    code = f"""
import os, time
from pathlib import Path
from pipelines.cli.live.services import Service
from pipelines.cli.live.supervisor import Supervisor
import sys
made = Supervisor(os.environ, Path({str(tmp_path / "logs")!r}), Path({str(tmp_path / "sessions.json")!r}))
made.start(Service("one", (sys.executable, "-c", {STUBBORN!r})))
time.sleep(60)
"""
    first = subprocess.Popen([sys.executable, "-c", code])
    child = child_of(tmp_path)
    time.sleep(0.3)
    first.kill()
    first.wait()
    assert not dead(child)  # it hears no SIGTERM, and nobody is left to insist
    second = Supervisor(os.environ, tmp_path / "logs", tmp_path / "sessions.json")
    assert second.end_leftovers() >= 1
    assert dead(child)


def test_the_kernel_ends_processes_whose_supervisor_was_killed(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from pipelines.cli.live.services import Service
from pipelines.cli.live.supervisor import Supervisor
made = Supervisor(os.environ, Path({str(tmp_path / "logs")!r}), Path({str(tmp_path / "sessions.json")!r}))
made.start(Service("one", (sys.executable, "-c", "import os; print(os.getpid(), flush=True); {SLEEP}")))
time.sleep(60)
"""
    first = subprocess.Popen([sys.executable, "-c", code])
    child = child_of(tmp_path)
    first.kill()
    first.wait()
    deadline = time.monotonic() + 5
    while not dead(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
