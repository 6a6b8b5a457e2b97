"""The endpoint at a steady rate, and at four times what it can do: one worker, requests sent at their times."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.measure import Row

_STEADY = 100
_STEADY_SECONDS = 60
_TIMES = 4
_OVERLOAD_SECONDS, _AFTER_SECONDS = 30, 10
_CONNECTIONS, _CLOSED_SECONDS = 8, 5.0


@dataclass(frozen=True)
class Asked:
    """Requests as they are sent: `rows` leads with their features in each `body`."""

    port: int
    body: str
    rows: int

    def closed(self, connections: int, seconds: float) -> dict[str, float]:
        """Figures of connections that ask as soon as they are answered."""
        return dict(self._client("load", str(connections), str(seconds)))

    def plan(self, *parts: tuple[float, float]) -> list[dict[str, Any]]:
        """Figures of each part: a rate, and the seconds that it lasts."""
        return list(self._client("open_loop", ",".join(f"{rate:.3f}:{seconds}" for rate, seconds in parts)))

    def _client(self, name: str, *words: str) -> Any:
        command = [sys.executable, "-m", f"tests.benchmarks.{name}", str(self.port), "/v1/score", *words]
        done = subprocess.run(command, input=self.body.encode(), stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)


def steady(asked: Asked) -> list[Row]:
    """A minute at a hundred requests a second."""
    (found,) = asked.plan((_STEADY, _STEADY_SECONDS))
    what = f"{_STEADY} requests/s for {_STEADY_SECONDS} s"
    told = f"open loop, 1 worker, from when each was due; sent {found['sent']:.1f}/s"
    longest = f"the longest took {_ms(found['longest']):.1f}; reach: under 10"
    return [
        Row.of(f"{what}, p50", _ms(found["p50"]), None, "ms", told),
        Row.of(f"{what}, p99", _ms(found["p99"]), None, "ms", longest),
        Row.of(f"{what}, errors", found["refused"] + _odd(found), None, "requests", f"{_said(found)}; reach: 0"),
    ]


def overload(asked: Asked) -> list[Row]:
    """Half a minute at four times of what a closed loop gets, then a hundred a second again."""
    capacity = asked.closed(_CONNECTIONS, _CLOSED_SECONDS)["rate"]
    rate = _TIMES * capacity
    under, after = asked.plan((rate, _OVERLOAD_SECONDS), (_STEADY, _AFTER_SECONDS))
    every = under["accepted"] + under["refused"] + _odd(under)
    sent = f"{asked.rows} rows each, for {_OVERLOAD_SECONDS} s: {_TIMES} x capacity is {rate:.0f}"
    late = f"99 % went within {_ms(under['late_p99']):.0f} ms of their time"
    p99 = f"from when due; {_ms(under['p99_from_sent']):.0f} from when sent; reach: under 250"
    kept = under["accepted"] / _OVERLOAD_SECONDS
    well = "until a second of 200s within 10 ms begins, at 100 a second; reach: within 2"
    return [
        Row.rate("capacity of one worker", capacity, None, "req/s", f"closed loop, {_CONNECTIONS} connections"),
        Row.rate("overload, truly sent", under["sent"], rate, "req/s", f"{sent}; {late}"),
        Row.rate("overload, accepted", kept, capacity, "req/s", "beside the capacity"),
        Row.of("overload, p99 of the accepted", _ms(under["p99"]), None, "ms", p99),
        Row.of("overload, share refused", 100 * under["refused"] / every, None, "%", "429"),
        Row.of(
            "overload, neither 200 nor 429", _odd(under) + _odd(after), None, "requests", f"{_said(under)}; reach: 0"
        ),
        Row.of("overload, well again after", _seconds(after["good_after"]), None, "s", well),
    ]


def _ms(seconds: float | None) -> float:
    """Milliseconds, in which one reads what a request takes."""
    return 1000 * _seconds(seconds)


def _seconds(found: float | None) -> float:
    """What was never reached took for ever."""
    return math.inf if found is None else found


def _odd(found: dict[str, Any]) -> int:
    """Requests that got neither 200 nor 429."""
    return sum(int(count) for count in found["odd"].values())


def _said(found: dict[str, Any]) -> str:
    names = {"-1": "broken", "-2": "never answered"}
    odd = ", ".join(f"{count} {names.get(status, status)}" for status, count in found["odd"].items())
    return odd or f"{found['accepted']} got 200"
