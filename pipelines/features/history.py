"""How stored rows of a feature view stand to its definition of today: by which SQL, and over which instants."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, NotEqualTo
from pyiceberg.table import FileScanTask, Table
from pyiceberg.types import StringType, TimestampType

from feature_repo.definitions import View
from pipelines.core.interval import Interval
from pipelines.lake.catalog import Lake
from pipelines.lake.fields import columns_of

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant

AS_OF = "as_of"
HASH = "_sql_hash"
COMPUTED = "leadwise.computed"
"""Property of a table of features: the stretches of instants that were computed, `first/last` each, with commas."""

GRID = "leadwise.grid"
"""Property of a table of features: the midnights of its schedule, as `grid` gives them."""

Span = tuple[datetime, datetime]
_EPOCH = datetime(1970, 1, 1)
_PREFIX = 16  # letters that Iceberg keeps of a text's bounds


def table_of(view: View) -> str:
    """The lake's table of a view's rows."""
    return f"features.{view.name}"


@dataclass(frozen=True)
class Standing:
    """A view and its stored rows.

    Attributes:
        view: as it is defined today.
        rows: that are stored.
        older: those of another definition.
        spans: first and last instant of each stretch that was computed, in order.
        grids: the midnights it was computed for and those of today, where these are others; see `grid`.
        added, gone, retyped: features that the table lacks, that it has beyond, or has in another type.
    """

    view: View
    rows: int = 0
    older: int = 0
    spans: tuple[Span, ...] = ()
    grids: tuple[str, str] | None = None
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    retyped: tuple[str, ...] = ()

    @property
    def word(self) -> str:
        """`new`, `changed` or `current`."""
        if not self.spans:
            return "new"
        return "changed" if self.older or self.grids else "current"


def grid(tenant: "Tenant") -> str:
    """The midnights of today's schedule: `DAYS/OFFSET`, every so many days, and on which of them."""
    every = tenant.params.features.every_days
    return f"{every}/{tenant.params.run.start.toordinal() % every}"


def standing(lake: Lake, view: View) -> Standing:
    """Look at a view's table: its statistics, and its rows only where they are of several definitions."""
    table = lake.table(table_of(view))
    if table is None:
        return Standing(view, added=tuple(field.name for field in view.features))
    held = {
        name: kind
        for name, kind in columns_of(table).items()
        if not name.startswith("_") and name not in (AS_OF, view.entity)
    }
    wanted = {field.name: field.type for field in view.features}
    today = grid(lake.tenant)
    before = table.properties.get(GRID, today)
    return Standing(
        view,
        rows=lake.count(table_of(view)),
        older=older_rows(lake, view),
        spans=tuple(spans_of(table)),
        grids=(before, today) if before != today else None,
        added=tuple(name for name in wanted if name not in held),
        gone=tuple(name for name in held if name not in wanted),
        retyped=tuple(name for name, kind in held.items() if name in wanted and wanted[name] != kind),
    )


def unfinished(standings: Sequence[Standing]) -> list[Standing]:
    """Those whose history has to be written: changed, new, or begun later than that of the others."""
    starts = [one.spans[0][0] for one in standings if one.spans]
    first = min(starts, default=None)
    return [one for one in standings if one.word != "current" or (one.spans and one.spans[0][0] != first)]


def whole(standings: Sequence[Standing]) -> Interval | None:
    """All the days over which any view was computed; None before the first time."""
    spans = [span for one in standings for span in one.spans]
    if not spans:
        return None
    first, last = min(span[0] for span in spans), max(span[1] for span in spans)
    return Interval(first, max(last, first + timedelta(days=1)))


def older_rows(lake: Lake, view: View, where: BooleanExpression | None = None) -> int:
    """Stored rows that another definition than today's gave; files whose statistics say that all are current count not.

    Args:
        lake: of the tenant.
        view: as it is defined today.
        where: only these rows.
    """
    table = lake.table(table_of(view))
    within = where or AlwaysTrue()
    if table is None:
        return 0
    tasks = table.scan(row_filter=within, selected_fields=(HASH, AS_OF)).plan_files()
    if all(_current(table, task, view.sql_hash) for task in tasks):
        return 0
    other = And(within, NotEqualTo(HASH, view.sql_hash))
    return sum(batch.num_rows for batch in lake.scan(table_of(view), columns=[HASH, AS_OF], where=other))


def _current(table: Table, task: FileScanTask, current: str) -> bool:
    """Whether the bounds of a file's hashes leave room for today's alone."""
    number = table.schema().find_field(HASH).field_id
    bounds = [(side or {}).get(number) for side in (task.file.lower_bounds, task.file.upper_bounds)]
    if not all(bounds):
        return False
    least, most = (str(from_bytes(StringType(), bound)) for bound in bounds if bound)
    prefix = current[:_PREFIX]
    return least == prefix and most in (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def spans_of(table: Table) -> list[Span]:
    """The stretches that were computed; of a table without the property, from its first row to its last."""
    told = table.properties.get(COMPUTED)
    if told:
        pairs = (one.split("/") for one in told.split(","))
        return [(datetime.fromisoformat(first), datetime.fromisoformat(last)) for first, last in pairs]
    number = table.schema().find_field(AS_OF).field_id
    edges: list[datetime] = []
    for task in table.scan().plan_files():
        for side in (task.file.lower_bounds, task.file.upper_bounds):
            if bound := (side or {}).get(number):
                edges.append(_EPOCH + timedelta(microseconds=int(from_bytes(TimestampType(), bound))))
    return [(min(edges), max(edges))] if edges else []


def joined(spans: Sequence[Span], instants: Sequence[datetime], every_days: int) -> str:
    """The property after some instants were computed: stretches that touch are one."""
    found: list[Span] = []
    for first, last in sorted([*spans, (instants[0], instants[-1])] if instants else spans):
        if found and first - found[-1][1] <= timedelta(days=every_days):
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return ",".join(f"{first.isoformat()}/{last.isoformat()}" for first, last in found)
