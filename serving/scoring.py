"""Scores of leads with one champion: features looked up or given, the moment's columns, the model, the tier."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import INTERVAL
from models.inputs import InputError
from pipelines.core.tiers import tiers_of
from serving import tracing
from serving.cache import Cache
from serving.online import Found, StoreDown
from serving.requests import Asked, BadRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.inputs import Floats
    from serving.bundle import Bundle
    from serving.online import Mark, OnlineStore, Row
    from serving.tracing import Tracing

_AT_ONCE = 32
"""Rows that are predicted where they are asked; more of them go to a thread, so that others are answered meanwhile."""


class UnknownLead(LookupError):
    """There are no features of an asked lead.

    Attributes:
        position: its place in the request, from 0.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class Scorer:
    """Scores with one champion from one store."""

    def __init__(
        self,
        bundle: Bundle,
        store: OnlineStore,
        mark: Mark,
        cold: bool = False,
        cache: Cache | None = None,
        traces: Tracing = tracing.OFF,
    ) -> None:
        """Keep what is needed.

        Args:
            bundle: the champion.
            store: where features are looked up.
            mark: up to when they are there.
            cold: score a lead from its context alone where it is not known or the store is away, instead of refusing.
            cache: keeps answers for leads that are asked for by their ids.
            traces: makes spans of the parts.
        """
        self.bundle, self._store, self._mark, self._cold = bundle, store, mark, cold
        self._cache, self._traces = cache or Cache(0), traces
        derived = {name for _, name in bundle.clock.times}
        derived |= {"local_hour", "local_weekday"} if bundle.clock.timezone else set()
        self._given = {*bundle.features, *bundle.layout.features}
        self._blank: Row = dict.fromkeys(self._given - derived)

    @property
    def step(self) -> int:
        """Seconds of which "now" is a whole multiple, so that answers can be kept."""
        return self._cache.seconds

    async def warm_up(self) -> None:
        """Read the store and ask the model once, so that the first request is not the slow one.

        Raises:
            StoreDown: the store does not answer.
        """
        await self._store.read([0 if self.bundle.layout.whole else ""])
        self._predicted([dict.fromkeys(self.bundle.features)], 0)

    def age(self) -> float | None:
        """Seconds since the instant up to which features are online; None where nobody said."""
        until = self._mark.until()
        return None if until is None else (datetime.now(UTC).replace(tzinfo=None) - until).total_seconds()

    async def close(self) -> None:
        """Let go of the store."""
        await self._store.close()

    async def score(self, asked: Sequence[Asked], reasons: int = 0) -> list[dict[str, Any]]:
        """The answer for each of `asked`, in order, with its strongest `reasons`.

        Raises:
            UnknownLead: nothing is known of one of them, and cold scores are not wanted.
            BadRequest: given features are no features of the model, or of another kind.
            StoreDown: the store does not answer.
        """
        version = self._mark.version()
        kept = [self._cache.get(one, reasons, version) for one in asked]
        missing = [place for place, answer in enumerate(kept) if answer is None]
        if missing:
            fresh, whole = await self._scored([asked[place] for place in missing], missing, reasons)
            for place, answer in zip(missing, fresh, strict=True):
                kept[place] = answer
                if whole:
                    self._cache.put(asked[place], reasons, version, answer)
        return [answer for answer in kept if answer is not None]

    async def _scored(
        self, asked: Sequence[Asked], places: Sequence[int], reasons: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Answers for those at these places of the request, and whether the store took part."""
        with self._traces.part("features", rows=len(asked)):
            found, whole = await self._looked_up(asked, places)
        rows = [self._row(place, one, known) for place, one, known in zip(places, asked, found, strict=True)]
        with self._traces.part("predict", rows=len(rows)):
            if len(rows) <= _AT_ONCE:
                answers = self._predicted(rows, reasons)
            else:
                answers = await asyncio.to_thread(self._predicted, rows, reasons)
        told = [self._answer(one, known, answer) for one, known, answer in zip(asked, found, answers, strict=True)]
        return told, whole

    async def _looked_up(self, asked: Sequence[Asked], places: Sequence[int]) -> tuple[list[Found | None], bool]:
        """What the store holds of each one that is asked by its id, and whether it answered."""
        ids = [self._key(place, one.id) for place, one in zip(places, asked, strict=True) if one.id is not None]
        whole = True
        try:
            held = iter(await self._store.read(ids) if ids else [])
        except StoreDown:
            if not self._cold:
                raise
            whole = False
            held = iter([Found(dict.fromkeys(self.bundle.layout.features), False) for _ in ids])
        return [None if one.id is None else next(held) for one in asked], whole

    def _key(self, place: int, entity: str) -> str | int:
        """The id in the type of the entity's column."""
        if not self.bundle.layout.whole:
            return entity
        try:
            number = int(entity)
        except ValueError:
            raise UnknownLead(place) from None
        if not -(2**63) <= number < 2**63:
            raise UnknownLead(place)
        return number

    def _row(self, place: int, asked: Asked, found: Found | None) -> Row:
        """Features of one lead at its moment."""
        if found is None:
            given = asked.features or {}
            if not given.keys() <= self._given:
                raise BadRequest(f"'leads.{place}.features' has a name that the model does not know")
            row = {**self._blank, **given}
            try:
                self.bundle.clock.add_to(row, asked.moment)
            except (TypeError, OverflowError):
                raise BadRequest(f"'leads.{place}.features' has a time that is no number of seconds") from None
            return row | given
        self.bundle.clock.add_to(found.row, asked.moment)
        if not found.known and not self._cold:
            raise UnknownLead(place)
        return found.row

    def _predicted(self, rows: Sequence[Row], reasons: int) -> list[dict[str, Any]]:
        """What the model says of each row."""
        bundle = self.bundle
        columns = {name: [row.get(name) for row in rows] for name in bundle.features}
        try:
            expected, ends = bundle.estimator.expected_within(columns, INTERVAL)
            why = self._reasons(columns, min(reasons, len(bundle.features))) if reasons else None
        except InputError:
            raise BadRequest("a feature of 'leads' is of another kind than the model learnt from") from None
        told: list[dict[str, Any]] = [{} for _ in rows]
        if bundle.task == "binary":
            for one, p, tier in zip(told, expected.tolist(), self._tiers(expected), strict=True):
                one["probability"], one["tier"] = p, tier
        else:
            for one, value in zip(told, expected.tolist(), strict=True):
                one["value"] = value
        for place, one in enumerate(told):
            if ends is not None:
                one["interval"] = ends[place].tolist()
            if why is not None:
                one["reasons"] = why[place]
        return told

    def _tiers(self, expected: Floats) -> list[str]:
        return tiers_of(expected, self.bundle.base_rate, self.bundle.tiers)

    def _reasons(self, columns: dict[str, list[Any]], top: int) -> list[list[dict[str, Any]]]:
        """Of each row the features that moved it most, and by how much on the raw scale."""
        why = self.bundle.estimator.explain(columns, top)
        names = self.bundle.estimator.inputs_.names
        return [
            [{"feature": names[at], "moved": float(moved)} for at, moved in zip(*pair, strict=True)]
            for pair in zip(why.features, np.asarray(why.contributions), strict=True)
        ]

    def _answer(self, asked: Asked, found: Found | None, told: dict[str, Any]) -> dict[str, Any]:
        head: dict[str, Any] = {} if asked.id is None else {self.bundle.layout.entity: asked.id}
        answer = {**head, **told, "model_version": self.bundle.version}
        if found is not None and not found.known:
            answer["cold"] = True
        elif found is not None and (until := self._mark.until()) is not None:
            answer["features_age"] = max(0.0, (asked.moment - until).total_seconds())
        return answer
