"""Columns that belong to the moment of scoring: one implementation, for Feast's requests and for batches."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.core.errors import SqlError

if TYPE_CHECKING:
    from feature_repo.definitions import Definitions

REQUEST = "event_time"
_DAY = 86_400.0  # seconds
_TIME = pa.timestamp("us")


@dataclass(frozen=True)
class Moment:
    """What is derived from the moment of an event and the stored features of one entity.

    Attributes:
        entity: whose features.
        times: (feature that holds a time, name of its days-since column).
        timezone: feature that holds an IANA time zone, None where there is none.
    """

    entity: str
    times: tuple[tuple[str, str], ...]
    timezone: str | None

    @property
    def inputs(self) -> list[str]:
        """Stored features it reads."""
        return [name for name, _ in self.times] + ([self.timezone] if self.timezone else [])

    @property
    def outputs(self) -> list[str]:
        """Columns it gives, all of them 64-bit floats."""
        return [name for _, name in self.times] + (["local_hour", "local_weekday"] if self.timezone else [])

    def columns(self, event_time: pa.Array, inputs: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Compute the on-demand columns.

        Args:
            event_time: naive UTC timestamps in microseconds.
            inputs: the stored features named by `inputs`, of the same length.

        Returns:
            Float64 columns by name: days since a stored time, to the second; hour 0 to 23 and weekday 0 (Monday) to 6
            on the wall clock of the entity. Null where an input is missing.
        """
        found = {output: _days_between(inputs[name], event_time) for name, output in self.times}
        if self.timezone:
            found["local_hour"], found["local_weekday"] = _local(event_time, inputs[self.timezone])
        return found

    def add_to(self, table: pa.Table) -> pa.Table:
        """`table`, which holds `event_time` and the inputs, with the on-demand columns appended."""
        names = [REQUEST, *self.inputs]
        arrays = {name: table.column(name).combine_chunks() for name in names}
        arrays = {
            name: one.combine_chunks() if isinstance(one, pa.ChunkedArray) else one for name, one in arrays.items()
        }
        for name, values in self.columns(arrays[REQUEST], arrays).items():
            table = table.append_column(pa.field(name, pa.float64()), values)
        return table


def moment_of(definitions: "Definitions", entity: str) -> Moment:
    """What can be derived for `entity`: days since each stored time, and the local clock where a zone is stored.

    Raises:
        SqlError: two columns would get the same name.
    """
    fields = [field for view in definitions.views_of(entity) for field in view.features]
    times = tuple((field.name, days_since(field.name)) for field in fields if field.type == _TIME)
    zones = [field.name for field in fields if field.name in definitions.timezones]
    moment = Moment(entity, times, zones[0] if zones else None)
    names = [field.name for field in fields] + moment.outputs
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise SqlError(
            f"the on-demand column '{min(twins)}' of {entity} would stand twice: rename the feature it comes from"
        )
    return moment


def days_since(feature: str) -> str:
    """Name of the days-since column of a time: last_message_at gives days_since_message."""
    return "days_since_" + feature.removeprefix("last_").removesuffix("_at")


def moment_hash(moment: Moment) -> str:
    """SHA-256 of what decides the on-demand columns: which they are, and the functions that compute them."""
    code = "".join(inspect.getsource(one) for one in (Moment.columns, _seconds, _days_between, _local, _in_zone))
    return hashlib.sha256(f"{moment!r}\n{code}".encode()).hexdigest()


def source_of(moment: Moment, name: str) -> str:
    """Source of the function Feast runs in Python mode: lists by column in, lists by column out.

    Feast keeps this text in its registry and makes the function from it again, so it says all that it needs.
    """
    return (
        f"def {name}(inputs):\n"
        "    from feature_repo.on_demand import Moment, online_columns\n\n"
        f"    return online_columns({moment!r}, inputs)\n"
    )


def transform(moment: Moment, name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The function of `source_of`, made the way Feast makes it."""
    namespace: dict[str, Any] = {"__name__": __name__}
    exec(source_of(moment, name), namespace)  # noqa: S102 - our own text, with names the SQL checks let through
    made: Callable[[dict[str, Any]], dict[str, Any]] = namespace[name]
    return made


def online_columns(moment: Moment, inputs: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """`Moment.columns` for plain Python lists, as Feast hands them over."""
    event_time = times_array(inputs[REQUEST])
    arrays = {name: times_array(inputs[name]) for name, _ in moment.times}
    if moment.timezone:
        zones = [one if isinstance(one, str) and one else None for one in inputs[moment.timezone]]
        arrays[moment.timezone] = pa.array(zones, pa.string())
    return {name: values.to_pylist() for name, values in moment.columns(event_time, arrays).items()}


def times_array(values: Sequence[Any]) -> pa.Array:
    """Times of any form a caller may send, as naive UTC microseconds.

    Args:
        values: None, datetimes (naive ones are UTC), ISO texts or seconds since 1970.
    """
    return pa.array([_naive(value) for value in values], _TIME)


def _naive(value: Any) -> datetime | None:
    if value is None or value != value:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    elif isinstance(value, int | float):
        value = datetime.fromtimestamp(value, UTC)
    elif hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime()
    if not isinstance(value, datetime):
        return None
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def _seconds(times: pa.Array) -> pa.Array:
    """Whole seconds since 1970: all that an online store keeps of a time."""
    return pc.floor_temporal(times, unit="second").cast(pa.timestamp("s")).cast(pa.int64())


def _days_between(since: pa.Array, until: pa.Array) -> pa.Array:
    return pc.divide(pc.subtract(_seconds(until), _seconds(since)).cast(pa.float64()), _DAY)


def _local(event_time: pa.Array, zones: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Hour and weekday on the wall clock of each row's zone; null where the zone is missing or unknown."""
    hours = np.full(len(event_time), np.nan)
    weekdays = np.full(len(event_time), np.nan)
    encoded = zones.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    aware = pc.assume_timezone(event_time, "UTC")
    for code, zone in enumerate(encoded.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == code)
        local = _in_zone(aware.take(pa.array(rows)), zone)
        if local is not None:
            hours[rows] = pc.hour(local).cast(pa.float64()).to_numpy(zero_copy_only=False)
            weekdays[rows] = pc.day_of_week(local).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return pa.array(hours, from_pandas=True), pa.array(weekdays, from_pandas=True)


def _in_zone(aware: pa.Array, zone: str) -> pa.Array | None:
    """The times on the wall clock of `zone`; None where there is no such zone."""
    try:
        return pc.local_timestamp(aware.cast(pa.timestamp("us", tz=zone)))
    except pa.ArrowInvalid:
        return None
