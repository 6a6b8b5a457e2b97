"""One run of a step per tenant at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipelines.core.errors import Busy, ConfigError

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant


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
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise Busy(
            f"another run of '{step}' for tenant '{tenant.name}' is at work:"
            " wait for it to end, then run this one again"
        ) from None
    try:
        yield
    finally:
        lock.release()
