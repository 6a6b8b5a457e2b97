"""Rules of the machine: ports, disk, Python and the packages."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pipelines.doctor.rules import Fault, rule
from pipelines.doctor.settings_rules import existing

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.doctor.facts import Facts

PORTS = {8080: "Airflow's UI", 5000: "MLflow's UI", 8000: "`leadwise serve`"}
SCARCE, FULL = 2_000_000_000, 200_000_000  # bytes
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$")


@rule(
    "port-free", "warning", "the usual ports are free",
    why="`leadwise up` then takes the next free one, and `leadwise serve` asks for another",
    mend="end that process if it is not wanted, or name another port (--airflow-port, --mlflow-port, --port)",
)  # fmt: skip
def port_free(facts: Facts) -> Iterator[Fault]:
    """Ports of the loopback address on which somebody listens."""
    for port, use in PORTS.items():
        if _taken(port):
            who = _holder(port)
            by = f" by {who}" if who else ""
            yield Fault(f"127.0.0.1:{port}", f"port {port}, the usual one of {use}, is taken{by}")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.3)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _holder(port: int) -> str | None:
    """Name and id of the process that listens; None where the system does not tell."""
    import psutil

    with suppress(psutil.Error, OSError):
        for held in psutil.net_connections("tcp"):
            if held.laddr and held.laddr.port == port and held.status == psutil.CONN_LISTEN and held.pid:
                return f"{psutil.Process(held.pid).name()} (process {held.pid})"
    return None


@rule(
    "disk-full", "error", f"there are {FULL // 1_000_000} MB free",
    why="a full disk stops every step in the middle of its work",
    mend="make room, or set LEADWISE_VAR to a folder on another disk",
)  # fmt: skip
def disk_full(facts: Facts) -> Iterator[Fault]:
    """Free space where the state lies."""
    place, free = _free(facts)
    if free < FULL:
        yield Fault(str(place), f"{free / 1e6:,.0f} MB are free")


@rule(
    "disk-scarce", "warning", f"there are {SCARCE // 1_000_000_000} GB free",
    why="a demo with all its reports takes about one",
    mend="make room, or set LEADWISE_VAR to a folder on another disk",
)  # fmt: skip
def disk_scarce(facts: Facts) -> Iterator[Fault]:
    """Free space where the state lies."""
    place, free = _free(facts)
    if FULL <= free < SCARCE:
        yield Fault(str(place), f"{free / 1e9:,.1f} GB are free")


def _free(facts: Facts) -> tuple[Path, int]:
    place = existing(facts.settings.var.absolute())
    return place, shutil.disk_usage(place).free


@rule(
    "python-version", "error", "Python is as new as pyproject.toml asks for",
    why="the lock holds no packages for an older one",
    mend="make the environment anew with a newer one: rm -rf .venv, then make setup PYTHON=python3.12",
)  # fmt: skip
def python_version(facts: Facts) -> Iterator[Fault]:
    """The running Python against `requires-python`."""
    import tomllib

    from packaging.specifiers import SpecifierSet

    wanted = tomllib.loads((facts.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    running = ".".join(map(str, sys.version_info[:3]))
    if not SpecifierSet(wanted).contains(running):
        yield Fault(sys.executable, f"this is Python {running}, and {wanted} is needed")


@rule(
    "package-version", "error", "packages are those of requirements.lock",
    why="tests and figures hold for the locked versions alone",
    mend="run make setup",
)  # fmt: skip
def package_version(facts: Facts) -> Iterator[Fault]:
    """Installed distributions against the pins that hold on this machine."""
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    installed = {
        canonicalize_name(one.metadata["Name"]): one.version for one in distributions() if one.metadata["Name"]
    }
    for name, version in _pins(facts.root / "requirements.lock"):
        have = installed.get(canonicalize_name(name))
        if have != version:
            what = f"{name} is {have}" if have else f"{name} is not installed"
            yield Fault("requirements.lock", f"{what}, and {version} is locked")


def _pins(lock: Path) -> Iterator[tuple[str, str]]:
    """(name, version) of each pin whose marker holds here."""
    from packaging.markers import Marker

    for line in lock.read_text(encoding="utf-8").splitlines():
        pin = _PIN.match(line)
        if pin and (pin["marker"] is None or Marker(pin["marker"]).evaluate()):
            yield pin["name"], pin["version"]
