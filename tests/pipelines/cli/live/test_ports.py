"""Free loopback ports."""

import socket
from collections.abc import Iterator

import pytest

from pipelines.cli.live.ports import HOST, free
from pipelines.core.errors import ConfigError


@pytest.fixture(params=[HOST, "0.0.0.0"])
def held(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port that somebody listens on, on loopback or on all addresses."""
    with socket.socket() as listener:
        listener.bind((request.param, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_gives_way_to_the_next(held: int) -> None:
    assert free(held) > held


def test_a_port_that_is_spoken_for_is_not_given_twice() -> None:
    first = free(20_000)
    assert free(first, {first}) > first


def test_no_port_left() -> None:
    with pytest.raises(ConfigError, match="no port from 65535"):
        free(65_535, {65_535})
