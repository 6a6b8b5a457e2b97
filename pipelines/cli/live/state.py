"""Which Airflow lives on a folder: one at a time, and where it answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.locks import exclusive
from pipelines.core.tenant import Tenant

if TYPE_CHECKING:
    from pipelines.core.settings import Settings


def told(settings: Settings) -> dict[str, Any]:
    """What the living Airflow of this folder wrote about itself; {} when there is none."""
    lock = FileLock(settings.airflow_dir / "up.lock")
    if not settings.airflow_dir.is_dir():
        return {}
    try:
        lock.acquire(timeout=0)
    except Timeout:
        try:
            found: dict[str, Any] = json.loads((settings.airflow_dir / "up.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"airflow": "an address it has yet to choose"}
        return found
    lock.release()
    return {}


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the only `leadwise up` on this folder, with no `leadwise run` of any tenant beside it.

    Both work on one Airflow database, and would take each other's tasks.

    Raises:
        NotReady: another one lives, or a `leadwise run` is at work.
        ConfigError: the folder can't be written.
    """
    home = settings.airflow_dir
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {home} can't be written ({error.strerror}): make room there or set LEADWISE_VAR"
        ) from None
    lock = FileLock(home / "up.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise NotReady(
            f"Airflow is up already on {settings.var.absolute()},"
            f" at {told(settings).get('airflow', 'another terminal')}: use that one, or stop it first"
            " (Ctrl-C where it was started)"
        ) from None
    with ExitStack() as stack:
        stack.callback(lock.release)
        stack.callback((home / "up.json").unlink, missing_ok=True)
        for tenant in Tenant.all(settings):
            stack.enter_context(exclusive(tenant, "run"))
        yield


def tell(settings: Settings, what: dict[str, Any]) -> None:
    """Write down where it answers, for other commands and scripts."""
    (settings.airflow_dir / "up.json").write_text(json.dumps(what) + "\n", encoding="utf-8")
