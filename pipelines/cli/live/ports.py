"""Loopback ports that nobody listens on."""

from __future__ import annotations

import socket

from pipelines.core.errors import ConfigError

HOST = "127.0.0.1"
_TRIES = 50


def free(wanted: int, taken: set[int] | None = None) -> int:
    """The first free port of the loopback address from `wanted` on.

    Args:
        wanted: 1 to 65535.
        taken: ports that are spoken for.

    Raises:
        ConfigError: none of the next fifty is free.
    """
    for port in range(wanted, min(wanted + _TRIES, 65_536)):
        if port not in (taken or set()) and _is_free(port):
            return port
    raise ConfigError(f"no port from {wanted} to {wanted + _TRIES - 1} is free on {HOST}: choose another")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what a stopped server leaves behind is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    # A listener on all addresses may let us bind the loopback one: whoever answers there holds it.
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((HOST, port)) != 0
