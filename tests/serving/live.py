"""A server of ours as a process, and clients that keep asking it."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import psutil

from pipelines.core.settings import ROOT

START = """
import sys
from pipelines.core.tenant import Tenant
from serving.server import serve
serve(Tenant.load("demo"), port=int(sys.argv[1]), workers=2)
"""


@dataclass(frozen=True)
class Running:
    """A server of ours with two workers."""

    port: int
    process: psutil.Process
    log: IO[str]

    def said(self) -> list[dict[str, Any]]:
        """Lines of its log."""
        self.log.seek(0)
        return [json.loads(line) for line in self.log.read().splitlines() if line.startswith("{")]

    def workers(self) -> list[psutil.Process]:
        """Its processes that answer."""
        living = [one for one in self.process.children() if one.status() != psutil.STATUS_ZOMBIE]
        return [one for one in living if "spawn_main" in " ".join(one.cmdline())]


@contextmanager
def started(ending: signal.Signals = signal.SIGINT) -> Iterator[Running]:
    """A server of the tenant `demo` of this environment; it has to end well when asked, and to leave nobody behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    with tempfile.TemporaryFile("w+") as log:  # a pipe that nobody reads would stop the workers
        process = subprocess.Popen([sys.executable, "-c", START, str(number)], cwd=ROOT, stderr=log, text=True)
        try:
            _wait(process, number, log)
            yield Running(number, psutil.Process(process.pid), log)
        finally:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(ending)
            process.wait(timeout=40)
        log.seek(0)
        said = log.read()
    assert len(family) >= 3
    _, left = psutil.wait_procs(family, timeout=5)
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]
    assert process.returncode == 0, said
    assert "serving 'demo' on http://127.0.0.1:" in said
    assert "Traceback" not in said


def _wait(process: "subprocess.Popen[str]", port: int, log: IO[str]) -> None:
    """Until the server answers."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=60):
                return
        except OSError:
            time.sleep(0.2)
    log.seek(0)
    raise AssertionError(f"the server did not start: {log.read()}")


@contextmanager
def asking(port: int, leads: list[dict[str, Any]], key: str | None = None) -> Iterator[list[Any]]:
    """Four clients that ask for these leads all the time; what they were told, in order, or what went wrong."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    body = json.dumps({"leads": leads})
    told: list[Any] = []
    ending = threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while not ending.is_set():
            try:
                connection.request("POST", "/v1/score", body, headers)
                answer = connection.getresponse()
                told.append((answer.status, json.loads(answer.read())))
            except (OSError, http.client.HTTPException) as error:
                told.append((0, error))
                connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait, but not for ever."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
