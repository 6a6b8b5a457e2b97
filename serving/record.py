"""Served scores on their way to `deliver.scores_online`: a worker puts them into files, beside the requests."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from serving.logs import described

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from serving.bundle import Bundle
    from serving.requests import Asked

log = logging.getLogger("leadwise.serving")

MOST = 20_000
"""Rows that wait for the disk; more of them are lost, and counted."""

FLUSH_SECONDS = 1.0
"""How often they are written: what a killed worker held is lost."""

READY = ".jsonl"
"""Ending of a file that is whole."""


class Served(msgspec.Struct, frozen=True):
    """A score that was served.

    Attributes:
        request_id: of the answer it was in.
        position: in that answer, from 0.
        entity_id: None where features were handed over, and of a cold score: nobody knows what was sent as its id.
        served_at: naive UTC.
        moment: that was asked about, naive UTC.
        prediction: probability or value.
        lower: end of the 90 % range; None where the model knows none.
        upper: the other end.
        tier: of a binary target.
        cold: whether nothing was known of the lead.
        features_age: seconds; None where nothing was looked up.
    """

    request_id: str
    position: int
    entity_id: str | None
    served_at: datetime
    moment: datetime
    prediction: float
    lower: float | None
    upper: float | None
    tier: str | None
    cold: bool
    features_age: float | None


class Segment(msgspec.Struct, frozen=True):
    """Scores of one champion that were served within a second or so: a line of a file."""

    target: str
    model_name: str
    model_version: str
    scores: list[Served]


class Record:
    """Takes scores of one worker; never waits, and counts what it loses."""

    def __init__(self, folder: Path, lost: Callable[[int], None]) -> None:
        """Begin.

        Args:
            folder: for the files; made when the first is written.
            lost: is told of rows that were lost.
        """
        self._folder, self._lost = folder, lost
        self._rows: deque[tuple[tuple[str, str, str], Served]] = deque()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Write from now on."""
        self._task = asyncio.ensure_future(self._run())

    async def close(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self.flush)

    def add(self, number: str, bundle: Bundle, asked: Sequence[Asked], scores: Sequence[Mapping[str, Any]]) -> None:
        """Take the scores of an answer.

        Args:
            number: id of its request.
            bundle: the champion that answered.
            asked: what was asked.
            scores: what was answered, in order.
        """
        if len(self._rows) + len(scores) > MOST:
            self._lost(len(scores))
            return
        now = datetime.now(UTC).replace(tzinfo=None)
        about = bundle.target, bundle.name, bundle.version
        for place, (one, told) in enumerate(zip(asked, scores, strict=True)):
            ends = told.get("interval") or (None, None)
            cold = bool(told.get("cold", False))
            served = Served(
                request_id=number,
                position=place,
                entity_id=None if cold else one.id,
                served_at=now,
                moment=one.moment,
                prediction=told["probability"] if "probability" in told else told["value"],
                lower=ends[0],
                upper=ends[1],
                tier=told.get("tier"),
                cold=cold,
                features_age=told.get("features_age"),
            )
            self._rows.append((about, served))

    def flush(self) -> None:
        """Write the rows that wait, whole or not at all."""
        rows = [self._rows.popleft() for _ in range(len(self._rows))]
        if not rows:
            return
        groups: dict[tuple[str, str, str], list[Served]] = {}
        for about, row in rows:
            groups.setdefault(about, []).append(row)
        lines = [msgspec.json.encode(Segment(*about, found)) for about, found in groups.items()]
        name = f"{time.time_ns()}-{os.getpid()}"
        draft = self._folder / f".{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            draft.write_bytes(b"\n".join(lines) + b"\n")
            draft.replace(self._folder / f"{name}{READY}")
        except OSError as error:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            self._lost(len(rows))
            log.error("served scores can't be recorded", extra={"rows": len(rows), **described(error)})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await asyncio.to_thread(self.flush)
