"""`leadwise serve`: the application under uvicorn, on loopback."""

import socket
import sys
from contextlib import closing, suppress

from pipelines.core.errors import ConfigError
from pipelines.core.tenant import Tenant


def serve(tenant: Tenant, target: str | None = None, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serve the champion until interrupted.

    Args:
        tenant: whose champion.
        target: what is predicted; None is the tenant's first target.
        host: address to listen on; loopback unless told otherwise.
        port: port to listen on; 0 takes a free one.

    Raises:
        ConfigError: the address is in use or not this machine's; an unknown target.
        NotReady: there is no champion.
    """
    with closing(_listening(host, port)) as listener:
        import uvicorn

        from serving.app import create_app

        app = create_app(tenant, target)
        where = f"[{host}]" if ":" in host else host
        sys.stderr.write(f"serving '{tenant.name}' on http://{where}:{listener.getsockname()[1]} (Ctrl+C ends it)\n")
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket: taken before the model is loaded, so that a port in use is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"can't listen on {host}:{port} ({error.strerror or error}): choose another with --port"
        ) from None
    return listener
