"""One run of a step per tenant at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipelines.core.errors import Busy, ConfigError

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

HOUSEKEEPING = "housekeeping"
"""Name of the lock of whoever needs all steps to stand still for a moment: they wait for it instead of giving up."""

_PATIENCE = 120.0  # seconds


@contextmanager
def exclusive(tenant: "Tenant", step: str, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock of `step` for `tenant`; the operating system frees it when the process dies.

    Args:
        tenant: whose step.
        step: name of the step.
        timeout: seconds to wait for another run.

    Raises:
        Busy: another run holds it.
        ConfigError: the tenant's folder can't be written.
    """
    folder = tenant.home / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the folder {folder} can't be written ({error.strerror}): make room there or set LEADWISE_VAR"
        ) from None
    lock = FileLock(folder / f"{step}.lock")
    housekeeping = not timeout and _held(folder / f"{HOUSEKEEPING}.lock")
    if not _taken(lock, _PATIENCE if housekeeping else timeout):
        raise Busy(
            f"another run of '{step}' for tenant '{tenant.name}' is at work:"
            " wait for it to end, then run this one again"
        )
    try:
        yield
    finally:
        lock.release()


def _taken(lock: FileLock, timeout: float) -> bool:
    """Whether the lock could be had within so many seconds."""
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        return False
    return True


def _held(path: Path) -> bool:
    """Whether somebody holds the lock right now."""
    probe = FileLock(path)
    if _taken(probe, 0):
        probe.release()
        return False
    return True
