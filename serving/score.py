"""`POST /v1/score`: a lead's id in, its features looked up online, its probability and tier out."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, create_model, field_validator

from pipelines.core.tenant import Tenant
from pipelines.core.tiers import tiers_of

if TYPE_CHECKING:
    from pipelines.registry.champion import Champion

MOST = 1000
"""Leads of one request."""


class Context(BaseModel):
    """What belongs to the moment of scoring."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_time: datetime | None = Field(
        None, description="ISO 8601; without an offset it is UTC; now when it is not given"
    )

    @field_validator("event_time", mode="before")
    @classmethod
    def _moment(cls, value: object) -> datetime | None:
        """An ISO text as naive UTC, between 1970 and 2200."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise ValueError("not a text")
        moment = datetime.fromisoformat(value)
        if not 1970 <= moment.year < 2200:
            raise ValueError("out of range")
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


class Scored(BaseModel):
    """The answer for one lead: a probability and its tier, or the value of a regression."""

    id: str
    probability: float | None = None
    tier: str | None = None
    value: float | None = None
    model_version: str


class UnknownLead(LookupError):
    """There are no features of an asked lead.

    Attributes:
        position: its place in the request, from 0.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


def request_model(entity: str) -> type[BaseModel]:
    """The body of a request, with the entity's name as the key of a lead; `lead_id` is understood too."""
    strict = ConfigDict(extra="forbid", frozen=True)
    key = Field(
        min_length=1,
        max_length=200,
        strict=True,
        validation_alias=AliasChoices(*dict.fromkeys((entity, "lead_id"))),
        serialization_alias=entity,
    )
    lead = create_model("Lead", __config__=strict, entity_id=(str, key), context=(Context, Context()))
    leads = Field(min_length=1, max_length=MOST)
    body: type[BaseModel] = create_model("ScoreRequest", __config__=strict, leads=(list[lead], leads))
    return body


class Scorer:
    """Scores leads by id with one champion. Safe to call from several threads."""

    def __init__(
        self,
        tenant: Tenant,
        target: str,
        champion: "Champion",
        read: Callable[[list[dict[str, Any]]], Mapping[str, list[Any]]],
        entity: pa.Field,
    ) -> None:
        """Keep what is needed.

        Args:
            tenant: whose leads.
            target: what is predicted.
            champion: the model.
            read: online features of entity rows, by column.
            entity: name and type of the entity's column.
        """
        self.tenant, self.target, self.champion = tenant, target, champion
        self._read, self._entity = read, entity
        self._lock = Lock()  # Feast's SQLite connection is one

    @property
    def entity(self) -> str:
        """Name of the entity's column."""
        return str(self._entity.name)

    def warm_up(self) -> None:
        """Read the store once: what is missing is told at the start, and the first request is not the slow one."""
        nobody = 0 if pa.types.is_integer(self._entity.type) else ""
        self._read([{self._entity.name: nobody, "event_time": datetime.now(UTC).replace(tzinfo=None)}])

    def score(self, leads: list[tuple[str, datetime | None]]) -> list[Scored]:
        """Probability and tier, or value, of each lead at its moment (None is now), in order.

        Raises:
            UnknownLead: nothing is known of one of them.
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        rows = [
            {self._entity.name: self._key(place, entity_id), "event_time": moment or now}
            for place, (entity_id, moment) in enumerate(leads)
        ]
        with self._lock:
            columns = self._read(rows)
        known = [columns[name] for name, _ in self.champion.features]
        for place in range(len(rows)):
            if all(values[place] is None for values in known):
                raise UnknownLead(place)
        predicted = self.champion.predict(columns)
        version = str(self.champion.version)
        if self.champion.task == "regression":
            return [
                Scored(id=entity_id, value=float(value), model_version=version)
                for (entity_id, _), value in zip(leads, predicted, strict=True)
            ]
        tiers = tiers_of(predicted, self.champion.train_base_rate, self.tenant.params.score.tiers)
        return [
            Scored(id=entity_id, probability=float(p), tier=tier, model_version=version)
            for (entity_id, _), p, tier in zip(leads, predicted, tiers, strict=True)
        ]

    def _key(self, place: int, entity_id: str) -> str | int:
        """The id in the type of the entity's column."""
        if not pa.types.is_integer(self._entity.type):
            return entity_id
        try:
            return int(entity_id)
        except ValueError:
            raise UnknownLead(place) from None
