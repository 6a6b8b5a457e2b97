"""Who may ask, and how often: API keys, and a rate limit for each."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from serving.keys import opens

if TYPE_CHECKING:
    from starlette.types import Scope

    from serving.keys import Hashes

log = logging.getLogger("leadwise.serving")

_QUIET_SECONDS = 60.0
_AGAIN_SECONDS = 5.0
"""How long a Redis that did not answer is left alone: waiting for it would cost each request a second."""


class Rates:
    """How often each key may ask. It outlives a change of keys and of the champion."""

    def __init__(self, rate: str, tenant: str, redis: str | None = None) -> None:
        """Count from now on.

        Args:
            rate: such as "600/minute".
            tenant: whose keys.
            redis: address of the Redis in which all workers count together; without one each counts by itself.
        """
        from limits import parse
        from limits.aio.storage import MemoryStorage, RedisStorage
        from limits.aio.strategies import SlidingWindowCounterRateLimiter

        self._item, self._tenant = parse(rate), tenant
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._together = self._alone
        self._told = self._failed = -math.inf
        if redis is not None:
            waits: Any = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
            storage = RedisStorage(f"async+{redis}", implementation="redispy", key_prefix="leadwise-rates", **waits)
            self._together = SlidingWindowCounterRateLimiter(storage)

    async def wait(self, key: str) -> int:
        """Count a request of a key; whole seconds until it may ask again, 0 where it may now."""
        if time.monotonic() - self._failed < _AGAIN_SECONDS:
            return await self._wait(self._alone, key)
        try:
            return await self._wait(self._together, key)
        except Exception as error:  # whichever way the library says that Redis is away
            self._failed = time.monotonic()
            if time.monotonic() - self._told >= _QUIET_SECONDS:
                self._told = time.monotonic()
                log.warning("rates are counted by each worker alone: Redis does not answer (%s)", type(error).__name__)
            return await self._wait(self._alone, key)

    async def _wait(self, limiter: Any, key: str) -> int:
        if await limiter.hit(self._item, self._tenant, key):
            return 0
        window = await limiter.get_window_stats(self._item, self._tenant, key)
        return max(1, math.ceil(float(window.reset_time) - time.time()))


class Door:
    """Asks for a key, and counts its requests."""

    def __init__(self, keys: Hashes | None = None, rates: Rates | None = None) -> None:
        """Keep what decides.

        Args:
            keys: that open; None is everybody.
            rates: of each key; None is no limit.
        """
        self._keys, self._rates = keys, rates

    @property
    def asks(self) -> bool:
        """Whether a key is wanted."""
        return self._keys is not None

    def key(self, scope: Scope, page: bool = False) -> str | None:
        """The id of the key that a request bears; empty where none is wanted, None where it may not ask.

        Args:
            scope: of the request.
            page: a person's browser asks: it may send the key as a password.
        """
        if self._keys is None:
            return ""
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
        kind, _, key = given.partition(" ")
        if page and kind.lower() == "basic":
            return opens(_password(key), self._keys)
        return opens(key.strip(), self._keys) if kind.lower() == "bearer" else None

    async def wait(self, key: str) -> int:
        """Seconds until the key may ask again; 0 where it may now. This counts as asking."""
        return await self._rates.wait(key) if key and self._rates is not None else 0


def _password(coded: str) -> str:
    """Of a header as browsers send it; empty where it is none."""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
