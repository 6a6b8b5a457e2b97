"""Asks a server at given rates, whether it keeps up or not.

`python -m tests.benchmarks.open_loop PORT PATH PLAN < BODY`; PLAN is RATE:SECONDS, one after the other with commas
between. Each request has its time to be sent, and what it takes counts from then on: a server that stalls is not spared
the requests which came meanwhile. Prints a list in JSON, with what became of each part of the plan.
"""

import asyncio
import gc
import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop

_MOST = 500
"""Connections; a worker of ours takes a thousand requests, and counts those of its last turn to them."""

_LEAST = 16
"""Connections that are made before the first request; all of them for more than `_MANY` a second."""

_MANY = 1000

_GOOD_SECONDS, _GOOD_RUN = 0.010, 100
"""A request is good that gets 200 within this time, and a server that gives so many of them without a break."""

_PATIENCE = 10.0
"""Seconds that answers may still take after the last request; those that take longer are lost."""

_SPIN = 0.002
"""Seconds before a request at which the loop stops to sleep: its timers count in milliseconds."""

BROKEN, LOST = -1, -2
"""Instead of a status: the connection ended before the answer; there was none at all."""


@dataclass
class Part:
    """One part of the plan.

    Attributes:
        rate: requests a second.
        seconds: how long.
        began: when its first request was due.
        told: of each request when it was due, what it took from then on, and its status.
        late: seconds from the time that a request was due until it went.
        alone: what those took that got 200, from when they went.
    """

    rate: float
    seconds: float
    began: float = 0.0
    told: list[tuple[float, float, int]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """What became of it."""
        times = sorted(took for _, took, status in self.told if status == 200)
        every = Counter(status for _, _, status in self.told)
        odd = {str(status): count for status, count in every.items() if status not in (200, 429)}
        # Between the first and the last that went; on time it is the rate asked for.
        took = self.seconds + max(0.0, (self.late[-1] if self.late else 0.0))
        return {
            "asked": self.rate,
            "sent": len(self.late) / took,
            "late_p99": _quantile(sorted(self.late), 0.99),
            "accepted": every[200],
            "refused": every[429],
            "odd": odd,
            "p50": _quantile(times, 0.5),
            "p99": _quantile(times, 0.99),
            "longest": times[-1] if times else None,
            "p99_from_sent": _quantile(sorted(self.alone), 0.99),
            "good_after": self._good_after(),
        }

    def _good_after(self) -> float | None:
        """Seconds after which the first unbroken run of good requests begins; None where there is none."""
        run, begins = 0, 0.0
        for due, took, status in sorted(self.told):
            good = status == 200 and took <= _GOOD_SECONDS
            begins = due if good and not run else begins
            run = run + 1 if good else 0
            if run == _GOOD_RUN:
                return begins - self.began
        return None


def _quantile(values: list[float], share: float) -> float | None:
    return values[int(len(values) * share)] if values else None


class Pool:
    """Connections that are kept: the one used last is taken first, so that those nobody needs may end."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port, self.request = port, request
        self.idle: list[Connection] = []
        self._waiting: deque[tuple[Part, float]] = deque()
        self.open = self.busy = 0
        self._opening: set[asyncio.Task[None]] = set()

    def send(self, part: Part, due: float) -> None:
        """Send a request now, or as soon as a connection is free."""
        if self.idle:
            self.idle.pop().send(part, due)
            return
        self._waiting.append((part, due))
        if self.open + len(self._opening) < _MOST:
            task = asyncio.ensure_future(self.connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def connect(self) -> None:
        """One connection more."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        except OSError:
            if self._waiting:
                part, due = self._waiting.popleft()
                part.late.append(time.perf_counter() - due)
                part.told.append((due, time.perf_counter() - due, BROKEN))

    def free(self, connection: "Connection") -> None:
        """Use a connection that has nothing to do."""
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self.idle.append(connection)

    async def end(self) -> None:
        """Wait for what is under way."""
        until = time.perf_counter() + _PATIENCE
        while (self.busy or self._waiting) and time.perf_counter() < until:
            await asyncio.sleep(0.01)


class Connection(asyncio.Protocol):
    """Asks one request after the other."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._asked: tuple[Part, float] | None = None
        self._went = 0.0
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be of use."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._pool.open += 1
        self._pool.free(self)

    def send(self, part: Part, due: float) -> None:
        """Ask, and note how late that is."""
        self._asked = part, due
        self._pool.busy += 1
        self._went = time.perf_counter()
        part.late.append(self._went - due)
        self._transport.write(self._pool.request)

    def data_received(self, data: bytes) -> None:
        """Note an answer when all of it is there."""
        got = self._got = self._got + data if self._got else data
        head = got.find(b"\r\n\r\n")
        if head < 0:
            return
        at = got.find(b"content-length:") + 15
        if len(got) - head - 4 < int(got[at : got.index(b"\r\n", at)]):
            return
        self._got = b""
        self._note(int(got[9:12]))
        if got.find(b"connection: close", 0, head) >= 0:
            self._transport.close()
        else:
            self._pool.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """What was asked is broken; a server may well end what is idle."""
        self._pool.open -= 1
        if self._asked is not None:
            self._note(BROKEN)
        elif self in self._pool.idle:
            self._pool.idle.remove(self)

    def _note(self, status: int) -> None:
        if self._asked is not None:
            part, due = self._asked
            now = time.perf_counter()
            part.told.append((due, now - due, status))
            if status == 200:
                part.alone.append(now - self._went)
            self._asked = None
            self._pool.busy -= 1


async def _keep(pool: Pool, part: Part) -> None:
    """Send the requests of one part, each at its time."""
    count = round(part.rate * part.seconds)
    sent = 0
    while sent < count:
        now = time.perf_counter()
        while sent < count and (due := part.began + sent / part.rate) <= now:
            pool.send(part, due)
            sent += 1
        ahead = part.began + sent / part.rate - now
        # Many a millisecond are sent together: waiting for each would take the processor that they need.
        await asyncio.sleep(0.001 if part.rate > 1 / _SPIN else max(0.0, ahead - _SPIN))


async def main(port: int, path: str, plan: list[Part], body: bytes) -> None:
    """Ask, and print the figures."""
    gc.disable()  # a pause of ours would be taken for one of the server
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    pool = Pool(port, f"{head}\r\n\r\n".encode() + body)
    await asyncio.gather(*(pool.connect() for _ in range(_MOST if plan[0].rate > _MANY else _LEAST)))
    at = time.perf_counter() + 0.5
    for part in plan:
        part.began, at = at, at + part.seconds
        await _keep(pool, part)
    await pool.end()
    for part in plan:
        missing = round(part.rate * part.seconds) - len(part.told)
        part.told += [(part.began, _PATIENCE, LOST)] * missing
    print(json.dumps([part.figures() for part in plan]))


if __name__ == "__main__":
    given = sys.argv[1:]
    parts = [
        Part(float(rate), float(seconds)) for rate, _, seconds in (one.partition(":") for one in given[2].split(","))
    ]
    uvloop.run(main(int(given[0]), given[1], parts, sys.stdin.buffer.read()))
