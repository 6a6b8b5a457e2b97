"""The body of `POST /v1/score`: what it may hold, and the sentence for one that is not as it must be."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import UNSET, DecodeError, Meta, Struct, UnsetType, ValidationError, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple

MOST = 1000
"""Leads of one request."""

REASONS = 20
"""Reasons of a score that may be asked for."""

Value = int | float | bool | str | None

TYPES: Mapping[str, Any] = {"numeric": float | None, "categorical": str | None, "boolean": bool | None}
"""What a feature may be, by the kind of the model's input."""


_WHEN = "from 1970 to 2199; without an offset it is UTC; now where it is not given"


class Context(Struct, forbid_unknown_fields=True, frozen=True):
    """What belongs to the moment of scoring."""

    event_time: Annotated[str, Meta(description=_WHEN, extra_json_schema={"format": "date-time"})] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Asked:
    """One score that is wanted.

    Attributes:
        id: of the entity, or None where features are given.
        features: of the model, as far as they are known; None has them looked up.
        moment: naive UTC.
    """

    id: str | None
    features: dict[str, Value] | None
    moment: datetime


class BadRequest(ValueError):
    """A body that is not as it must be; the sentence repeats nothing of it."""


class Reader:
    """Reads bodies whose leads are named by an entity.

    Attributes:
        names: of the id, the entity's own first.
        body: type of a body, from which its JSON schema is made.
    """

    def __init__(self, entity: str, features: Mapping[str, str | None] | None = None, step: int = 0) -> None:
        """Prepare for ids under the entity's name; `lead_id` is understood too.

        Args:
            entity: name of the id.
            features: that may be handed over, and the kind of each; None of a kind is any value. None takes all.
            step: seconds; "now" is the last whole multiple of them. 0 is now itself.
        """
        self._step = step
        text = Annotated[str, Meta(min_length=1, max_length=200)]
        self.names = list(dict.fromkeys((entity, "lead_id")))
        ids = [(f"id_{number}", text | UnsetType, UNSET) for number in range(len(self.names))]
        self._features = None if features is None else tuple(features)
        given = dict[str, Value] if features is None else _given(features)
        more = [("features", given | UnsetType, UNSET), ("context", Context, Context())]
        renamed = {f"id_{number}": name for number, name in enumerate(self.names)}
        lead = defstruct("Lead", [*ids, *more], rename=renamed, forbid_unknown_fields=True)
        leads = Annotated[list[lead], Meta(min_length=1, max_length=MOST)]  # type: ignore[valid-type]
        reasons = ("reasons", Annotated[int, Meta(ge=0, le=REASONS)], 0)
        self.body: Any = defstruct("ScoreRequest", [("leads", leads), reasons], forbid_unknown_fields=True)
        self._decoder: Decoder[Any] = Decoder(self.body)
        self.example = f'{{"leads": [{{"{entity}": "…", "context": {{"event_time": "2026-03-01T12:00:00Z"}}}}]}}'

    def read(self, body: bytes) -> tuple[list[Asked], int]:
        """What is asked, in order, and how many reasons are wanted of each.

        Raises:
            BadRequest: the body is not as it must be.
        """
        try:
            found = self._decoder.decode(body)
        except ValidationError as error:
            raise BadRequest(self._problem(str(error))) from None
        except (DecodeError, UnicodeDecodeError, RecursionError):
            raise BadRequest(f"the body is not JSON: send {self.example}") from None
        now = self._now()
        return [self._asked(place, lead, now) for place, lead in enumerate(found.leads)], found.reasons

    def _now(self) -> datetime:
        now = datetime.now(UTC).replace(tzinfo=None)
        if not self._step:
            return now
        seconds = int(now.replace(tzinfo=UTC).timestamp())
        return datetime.fromtimestamp(seconds - seconds % self._step, UTC).replace(tzinfo=None)

    def _asked(self, place: int, lead: Any, now: datetime) -> Asked:
        ids = [one for one in (getattr(lead, f"id_{number}") for number in range(len(self.names))) if one is not UNSET]
        features = None if lead.features is UNSET else self._named(lead.features)
        if len(ids) + (features is not None) != 1:
            raise BadRequest(f"'leads.{place}' needs one of '{self.names[0]}' and 'features': send {self.example}")
        moment = now
        if lead.context.event_time is not UNSET:
            try:
                moment = _moment(lead.context.event_time)
            except (ValueError, OverflowError):
                raise BadRequest(self._odd(f"leads.{place}.context.event_time")) from None
        return Asked(ids[0] if ids else None, features, moment)

    def _named(self, features: Any) -> dict[str, Value]:
        """What was handed over, by name."""
        if self._features is None:
            found: dict[str, Value] = features
            return found
        every = zip(self._features, astuple(features), strict=True)
        return {name: value for name, value in every if value is not UNSET}

    def _problem(self, said: str) -> str:
        """The sentence for what msgspec says; of that only the place is kept, which is made of our own names."""
        at = re.search(r" - at `\$\.?([^`]*)`$", said)
        place = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", at.group(1)) if at else ""
        if "unknown field" in said:
            return f"the body has a key that is not known: send {self.example}"
        if "missing required field" in said:
            return f"'leads' is missing: send {self.example}"
        if place == "leads" and "length <=" in said:
            return f"'leads' has more than {MOST} entries: send fewer"
        if place == "leads" and "length >=" in said:
            return "'leads' is empty: send at least one"
        return self._odd(place or "the body")

    def _odd(self, place: str) -> str:
        return f"'{place}' is not as it must be: send {self.example}"


def _given(features: Mapping[str, str | None]) -> Any:
    """A type for the features by name, as far as they are known."""
    kinds = [Value if kind is None else TYPES[kind] for kind in features.values()]
    fields = [(f"feature_{n}", kind | UnsetType, UNSET) for n, kind in enumerate(kinds)]
    renamed = {f"feature_{n}": name for n, name in enumerate(features)}
    return defstruct("Features", fields, rename=renamed, forbid_unknown_fields=True)


def _moment(text: str) -> datetime:
    """An ISO text as naive UTC, between 1970 and 2200."""
    moment = datetime.fromisoformat(text)
    if not 1970 <= moment.year < 2200:
        raise ValueError("out of range")
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
