"""`leadwise serve`: workers on one socket, and the keeper beside them."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.errors import ConfigError, LeadwiseError
from pipelines.core.report import progress
from serving import metrics
from serving.control import FOLDER, Control
from serving.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.core.tenant import Tenant

DRAIN_SECONDS = 10
"""What requests under way get to end when the endpoint does."""

_AGAIN_SECONDS = 1.0
_CONNECTIONS = 2000
"""Open connections and tasks of a worker, done ones of this turn included, so that about a thousand clients can be
served at once; whoever comes beyond is turned away, so that files can be opened still."""


def serve(
    tenant: Tenant, target: str | None = None, host: str = "127.0.0.1", port: int = 8000, workers: int = 1
) -> None:
    """Serve the champion until interrupted; another one that is put to work meanwhile takes over within seconds.

    Args:
        tenant: whose champion.
        target: what is predicted; None is the tenant's first target.
        host: address to listen on; loopback unless told otherwise.
        port: port to listen on; 0 takes a free one.
        workers: processes that answer; one that dies is started again.

    Raises:
        ConfigError: the address is in use or not this machine's, or is open to others and there is no key; an unknown
            target.
        LeadwiseError: there is no champion, or no feature online; the sentence says which.
    """
    name = tenant.target(target)[0]
    _refuse_open(tenant, host)
    with closing(_listening(host, port)) as listener, tempfile.TemporaryDirectory(prefix="leadwise-serve-") as folder:
        control = Control(Path(folder))
        figures = control.folder / "metrics"
        figures.mkdir()
        where = f"[{host}]" if ":" in host else host
        said = f"serving '{tenant.name}' on http://{where}:{listener.getsockname()[1]} (Ctrl+C ends it)\n"
        with _told({FOLDER: folder, metrics.FOLDER: str(figures)}), _keeper(tenant.name, name, control) as ending:
            _run(listener, workers, control, said, ending)


@contextmanager
def _told(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of the processes that are started within."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _refuse_open(tenant: Tenant, host: str) -> None:
    """Raise ConfigError where others than this machine could ask without a key."""
    try:
        alone = ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = host == "localhost"
    if not alone and not Keys(tenant).hashes():
        raise ConfigError(
            f"{host} can be reached from elsewhere, and tenant '{tenant.name}' has no key yet: make one with"
            f" `leadwise keys create NAME --tenant {tenant.name}`, or listen on 127.0.0.1"
        )


def _run(listener: socket.socket, workers: int, control: Control, said: str, ending: threading.Event) -> None:
    """Run the workers until the endpoint is told to end.

    Raises:
        LeadwiseError: a worker could not start: another one in its place would fail too.
    """
    import uvicorn
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    def tell() -> None:
        while not control.begun():
            if ending.wait(0.05):
                return
        sys.stderr.write(said)
        sys.stderr.flush()

    threading.Thread(target=tell, name="begun", daemon=True).start()
    config = uvicorn.Config(
        "serving.worker:create",
        factory=True,
        workers=workers,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    supervisor = Multiprocess(config, sockets=[listener])
    supervisor.run()
    if any(one.exitcode == STARTUP_FAILURE for one in supervisor.processes):
        raise LeadwiseError("a worker could not start, and the endpoint has ended: what it said stands above")


@contextmanager
def _keeper(tenant: str, target: str, control: Control) -> Iterator[threading.Event]:
    """The keeper, once it knows what is served; started again where it dies, and ended with the block.

    Raises:
        LeadwiseError: what it could not do.
    """
    command = [sys.executable, "-m", "serving.keeper", tenant, target, str(os.getpid())]
    running = [_started(command)]
    ending = threading.Event()

    def watch() -> None:
        while not ending.wait(_AGAIN_SECONDS):
            if running[0].poll() is not None:
                running[0] = _started(command)

    thread = threading.Thread(target=watch, name="keeper", daemon=True)
    try:
        with progress(f"load the champion of '{target}'"):
            while control.said() is None:
                if running[0].poll() is not None:
                    raise LeadwiseError(control.failed() or "the champion can't be loaded: what was said stands above")
                time.sleep(0.05)
        thread.start()
        yield ending
    finally:
        ending.set()
        if thread.is_alive():
            thread.join()
        running[0].terminate()
        try:
            running[0].wait(DRAIN_SECONDS + 5)
        except subprocess.TimeoutExpired:
            running[0].kill()
            running[0].wait()


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    """A process that Ctrl-C does not reach: it ends after the workers."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own command


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket: taken before the model is loaded, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"can't listen on {host}:{port} ({error.strerror or error}): choose another with --port"
        ) from None
    return listener
