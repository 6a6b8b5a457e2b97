"""A client of the endpoint, for applications in Python: typed answers, timeouts, and another try where that helps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from pipelines.core.errors import LeadwiseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from types import TracebackType

_AGAIN = (429, 502, 503, 504)
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds


class ScoreRefused(LeadwiseError):
    """The endpoint gave no scores.

    Attributes:
        status: HTTP status; None where it could not be reached.
    """

    def __init__(self, sentence: str, status: int | None) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Score:
    """The answer for one lead.

    Attributes:
        id: of the lead; None where features were given.
        probability: of a binary target, in [0, 1].
        tier: A to D, of a binary target.
        value: of a regression, or a rank from 0 to 100.
        interval: lower and upper end of the 90 % range; None where the model knows none.
        reasons: features that moved it most and by how much, on the raw scale, as far as they were asked for.
        model_version: that said so.
        features_age: seconds from the instant up to which features are online to the moment that was asked about.
        cold: whether nothing was known of the lead.
    """

    id: str | None
    probability: float | None
    tier: str | None
    value: float | None
    interval: tuple[float, float] | None
    reasons: tuple[tuple[str, float], ...]
    model_version: str
    features_age: float | None
    cold: bool


class Client:
    """Asks one endpoint, over connections that are kept. Use as a context manager, or `close` it."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        entity: str = "lead_id",
        timeout: float = 2.0,
        tries: int = 4,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: of the endpoint.
            key: as `leadwise keys create` gave it.
            entity: name of the id, as in the use case's SQL.
            timeout: seconds for one try.
            tries: how often an endpoint is asked that is away or has too much to do.
        """
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._entity, self._tries = entity, tries

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def score(
        self,
        leads: Sequence[str | Mapping[str, Any]],
        *,
        event_time: datetime | None = None,
        reasons: int = 0,
    ) -> list[Score]:
        """Scores of leads, in order.

        Args:
            leads: ids, or features by name of leads that are not looked up.
            event_time: the moment of all of them; naive is UTC, None is now.
            reasons: how many are wanted of each.

        Raises:
            ScoreRefused: the endpoint refused, or could not be reached in so many tries.
        """
        context = {} if event_time is None else {"context": {"event_time": event_time.isoformat()}}
        named = [{self._entity: one} if isinstance(one, str) else {"features": dict(one)} for one in leads]
        body = {"leads": [{**one, **context} for one in named], "reasons": reasons}
        return [self._score(one) for one in self._asked(body)["scores"]]

    def _asked(self, body: dict[str, Any]) -> dict[str, Any]:
        wait = _FIRST_WAIT
        for left in reversed(range(self._tries)):
            try:
                answer = self._http.post("/v1/score", json=body)
            except httpx.TransportError as error:
                if not left:
                    raise ScoreRefused(f"the endpoint can't be reached: {type(error).__name__}", None) from None
            else:
                if answer.is_success:
                    found: dict[str, Any] = answer.json()
                    return found
                if answer.status_code not in _AGAIN or not left:
                    raise ScoreRefused(_sentence(answer), answer.status_code)
                wait = max(wait, _told(answer))
            time.sleep(min(wait, _LONGEST_WAIT))
            wait *= 2
        raise ScoreRefused("the endpoint was never asked: give it a try at least", None)

    def _score(self, told: Mapping[str, Any]) -> Score:
        interval = told.get("interval")
        return Score(
            id=told.get(self._entity),
            probability=told.get("probability"),
            tier=told.get("tier"),
            value=told.get("value"),
            interval=None if interval is None else (interval[0], interval[1]),
            reasons=tuple((one["feature"], one["moved"]) for one in told.get("reasons", ())),
            model_version=told["model_version"],
            features_age=told.get("features_age"),
            cold=told.get("cold", False),
        )


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"the endpoint answered with status {answer.status_code}"


def _told(answer: httpx.Response) -> float:
    """Seconds that the endpoint wants to be left alone; 0 where it does not say."""
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else 0.0
