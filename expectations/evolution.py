"""What changed from one version of a contract to the next, and what rows that are stored have to keep for it.

A column is known by its identity: the standard's `id`, or its name where it has none. Another name under the same
identity is a renamed column; an identity that is gone is a retired one.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from expectations.contract import Column, Contract

Facts = dict[str, Any]
"""A contract as JSON: `version`, `arrival_delay` (seconds or None), `columns`, `rules`."""

Kind = Literal["added", "widened", "renamed", "retired", "loosened", "tightened", "changed", "breaking"]
Needs = Literal["", "empty", "no nulls", "exact"]

WIDER = {("integer", "number"), ("date", "timestamp")}
"""Types that may become another: every stored value stays the value it was."""

_LIMITS = {
    "minimum": -1, "exclusive_minimum": -1, "min_length": -1, "maximum": 1, "exclusive_maximum": 1, "max_length": 1
}  # fmt: skip
_MEANINGS = ("known_after", "consent", "opt_out", "unreachable", "phone", "segment", "timezone")
_PLACES = ("entity", "event_time", "arrived_at")


@dataclass(frozen=True)
class Change:
    """One difference between two versions.

    Attributes:
        kind: what it is; `breaking` is refused once the table has rows.
        column: its name in the newer contract, or in the older one where it is gone; empty for the table itself.
        what: the end of a sentence that begins with the column, such as "is renamed from 'a'".
        old, new: names in the clean table before and now; None where it is not in there.
        needs: what stored rows have to be like, or else it breaks: the table `empty`, the column without nulls
            (`no nulls`), whole numbers that a float holds (`exact`).
    """

    kind: Kind
    column: str
    what: str
    old: str | None = None
    new: str | None = None
    needs: Needs = ""

    @property
    def sentence(self) -> str:
        """The change as the middle of a sentence."""
        return f"column '{self.column}' {self.what}" if self.column else self.what


def facts(contract: Contract) -> Facts:
    """What a contract says of its rows, as plain JSON: two equal ones lead to equal tables."""
    delay = contract.arrival_delay
    return {
        "version": contract.version,
        "arrival_delay": None if delay is None else delay.total_seconds(),
        "columns": [_of_column(column) for column in contract.columns],
        "rules": [{"name": rule.name, "type": rule.type, "kwargs": rule.kwargs} for rule in contract.expectations],
    }


def contract_of(told: Facts, name: str, path: Path) -> Contract:
    """The tables of an older contract, without its rules: enough to bind SQL to."""
    known = {field.name for field in fields(Column)} - {"known_after", *_LIMITS}
    columns = tuple(Column(**{key: value for key, value in one.items() if key in known}) for one in told["columns"])
    return Contract(name, str(told["version"]), "", columns, path)


def _of_column(column: Column) -> Facts:
    """A column without its description; what it does not say is left out."""
    values = {field.name: getattr(column, field.name) for field in fields(column) if field.name != "description"}
    told = {name: _plain(value) for name, value in values.items() if value not in (None, False, "")}
    return {**told, "id": column.identity}


def _plain(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def clean_name(column: Facts) -> str | None:
    """`Column.clean_name` of a column as JSON."""
    return column.get("entity") or (None if column.get("personal") else column["name"])


def compare(old: Facts, new: Facts) -> list[Change]:
    """All that differs between two versions of a contract, in the order of the newer one's columns."""
    before = {column["id"]: column for column in old["columns"]}
    after = {column["id"]: column for column in new["columns"]}
    found = [*_table(old, new, before, after)]
    for identity, column in after.items():
        found += _column(before[identity], column) if identity in before else [_added(column)]
    for identity, column in before.items():
        if identity not in after:
            what = "is retired: it stays in the table, out of the views, empty in new rows"
            found.append(Change("retired", column["name"], what, clean_name(column), None))
    return found


def _table(old: Facts, new: Facts, before: dict[str, Facts], after: dict[str, Facts]) -> Iterator[Change]:
    """What concerns the rows as a whole."""
    keys = [sorted(one for one, column in side.items() if column.get("key")) for side in (before, after)]
    if keys[0] != keys[1]:
        what = f"the key changes from {_names(keys[0], before)} to {_names(keys[1], after)}"
        yield Change("breaking", "", f"{what}: stored rows would stand for other things")
    for word in _PLACES:
        marked = [{one: column[word] for one, column in side.items() if column.get(word)} for side in (before, after)]
        if marked[0] != marked[1]:
            what = f"{word} changes from {_names(marked[0], before)} to {_names(marked[1], after)}"
            yield Change("breaking", "", f"{what}: stored rows were placed by the old one")
    if old["arrival_delay"] != new["arrival_delay"]:
        yield Change("breaking", "", "the delay of arrival changes: stored rows were dated by the old one")
    if old["rules"] != new["rules"]:
        yield Change("changed", "", "the rules change: they judge what is validated from now on")


def _names(identities: Any, columns: dict[str, Facts]) -> str:
    return " and ".join(f"'{columns[one]['name']}'" for one in sorted(identities)) or "nothing"


def _added(column: Facts) -> Change:
    name = clean_name(column)
    if name is None:
        return Change("added", column["name"], "is added: personal, so that it never gets into the clean table")
    needs: Needs = "empty" if column.get("required") else ""
    return Change("added", column["name"], f"is added ({column['type']})", None, name, needs)


def _column(old: Facts, new: Facts) -> Iterator[Change]:
    """What differs in one column."""
    name, places = new["name"], (clean_name(old), clean_name(new))
    if old["name"] != name:
        yield Change("renamed", name, f"is renamed from '{old['name']}'", *places)
    yield from _privacy(old, new)
    yield from _type(old, new)
    if old.get("required") and not new.get("required"):
        yield Change("loosened", name, "may be empty now", *places)
    elif new.get("required") and not old.get("required"):
        yield Change("tightened", name, "is required now", *places, needs="no nulls" if all(places) else "")
    for limit, sign in _LIMITS.items():
        pair: tuple[Any, Any] = old.get(limit), new.get(limit)
        yield from _limit(name, limit, pair, None not in pair and (pair[1] > pair[0]) == (sign > 0))
    values = old.get("allowed"), new.get("allowed")
    yield from _limit(
        name, "the allowed values", values, set(map(str, values[0] or ())) <= set(map(str, values[1] or ()))
    )
    yield from _limit(name, "pattern", (old.get("pattern"), new.get("pattern")), False)
    for word in _MEANINGS:
        if old.get(word) != new.get(word):
            yield Change("changed", name, f"changes {word} from {_said(old.get(word))} to {_said(new.get(word))}")


def _privacy(old: Facts, new: Facts) -> Iterator[Change]:
    name, places = new["name"], (clean_name(old), clean_name(new))
    if old.get("personal") and not new.get("personal"):
        what = "is no longer classified as personal, while rows are stored that were collected as personal"
        yield Change("breaking", name, what, *places)
    elif new.get("personal") and not old.get("personal"):
        what = "becomes personal: its values leave the clean table, which is written anew"
        kind: Kind = "breaking" if new.get("entity") else "retired"
        yield Change(kind, name, "becomes personal, and identifies stored rows" if all(places) else what, *places)


def _type(old: Facts, new: Facts) -> Iterator[Change]:
    if old["type"] == new["type"]:
        return
    places = (clean_name(old), clean_name(new))
    what = f"from {old['type']} to {new['type']}"
    if (old["type"], new["type"]) in WIDER:
        needs: Needs = "exact" if new["type"] == "number" else ""
        yield Change("widened", new["name"], f"is widened {what}: the table is written anew", *places, needs=needs)
    else:
        yield Change("breaking", new["name"], f"changes {what}, which its stored values need not fit", *places)


def _limit(name: str, limit: str, values: tuple[Any, Any], looser: bool) -> Iterator[Change]:
    """A limit that a value has to keep, before and now; None is none. `looser` counts where both are given."""
    old, new = values
    if old != new:
        kind: Kind = "loosened" if new is None or (old is not None and looser) else "tightened"
        yield Change(kind, name, f"has {limit} {_said(new)} and had {_said(old)}")


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
