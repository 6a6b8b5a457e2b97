"""What each column is there for: words of the contract, and whether a model may look at it."""

from dataclasses import dataclass, field

from pipelines.init.plan import Plan, Table
from pipelines.init.profile import Facts, is_code
from pipelines.init.words import says, words

_CATEGORIES = 50  # texts with more different values are no feature


@dataclass(frozen=True)
class Duty:
    """What a column is there for.

    Attributes:
        words: customProperties with a note each, empty for none.
        type: logical type that the duty asks for; None leaves what was found.
        placed: a row without it is bad.
        description: for people; empty is written from the facts.
        key_note: what the guess of a key rests on.
        feature: a model may look at it.
    """

    words: list[tuple[str, object, str]] = field(default_factory=list)
    type: str | None = None
    placed: bool = False
    description: str = ""
    key_note: str = ""
    feature: bool = False


def duty(plan: Plan, table: Table, one: Facts) -> Duty:
    """What `one` of `table` is there for."""
    if one.name == table.entity:
        return _entity(plan, table, one)
    if one.name == table.time:
        description = f"{one.header}: when it happened (UTC)."
        if table.is_main and plan.label.column is not None and one.type == "timestamp":
            description = f"{one.header}: midnight of the day it happened (UTC); what the row says counts from then on."
        return Duty([("event_time", True, "")], "timestamp", placed=True, description=description)
    if one.name in table.key:
        return Duty(type="string", placed=True, key_note="guess, 90 % sure: no value stands twice.")
    if table.is_main and one.name == plan.label.column:
        note = f"guess: the outcome is known {plan.horizon} days after the event (leadwise init --horizon)."
        return Duty(
            [("known_after", f"P{plan.horizon}D", note)], description=f"{one.header}: the outcome that is predicted."
        )
    return _plain(plan, table, one)


def _entity(plan: Plan, table: Table, one: Facts) -> Duty:
    found: list[tuple[str, object, str]] = [("entity", plan.entity, "")]
    if one.personal is not None and one.personal.phone:
        found.append(("phone", True, ""))
    note = "guess, 95 % sure: one row each." if table.key == (one.name,) else ""
    return Duty(found, "string", placed=True, key_note=note, description=f"{one.header}: whom the row is about.")


def _plain(plan: Plan, table: Table, one: Facts) -> Duty:
    if one.personal is not None:
        return Duty([("phone", True, "")] if one.personal.phone else [])
    if says(one.name, "opt_out") and (yes := _yes(one)):
        return Duty([("opt_out", yes, "guess, 80 % sure: whoever says this gets no message.")], "string")
    if says(one.name, "consent") and _yes(one):
        return Duty([("consent", True, "guess, 80 % sure: without it nobody is put into the audience.")], "boolean")
    if table.is_main and plan.label.column is not None and says(one.name, "afterwards"):
        note = (
            "guess, 60 % sure: it sounds like something known only afterwards, which would give the outcome away, so no"
            " feature uses it. If it is known before, take this out and add it to the features."
        )
        return Duty([("known_after", f"P{plan.horizon}D", note)])
    found: list[tuple[str, object, str]] = []
    if one.enumerated and table.is_main and one.name in _segments(table):
        found.append(("segment", True, "guess: a group worth comparing in the audience."))
    if _is_timezone(one):
        return Duty([("timezone", True, "guess, 95 % sure")], feature=table.is_main)
    return Duty(found, feature=_is_feature(one))


def _yes(one: Facts) -> str | None:
    """The value that says yes, where there are two at most."""
    values = [found for found, _ in one.values or ()]
    if not 0 < len(values) <= 2:
        return None
    return next((found for found in values if found.strip().lower() in words("positive")), None)


def _segments(table: Table) -> list[str]:
    fit = [one.name for one in table.facts.values() if one.enumerated and 2 <= one.distinct <= 12]
    return fit[:3]


def _is_timezone(one: Facts) -> bool:
    values = [found for found, _ in one.values or ()]
    return says(one.name, "timezone") and one.type == "string" and bool(values) and all("/" in v for v in values)


def _is_feature(one: Facts) -> bool:
    if one.type in ("date", "timestamp") or is_code(one) or one.distinct < 2:
        return False
    return one.type != "string" or (
        one.values is not None and one.distinct <= _CATEGORIES and not says(one.name, "identifier")
    )


def features(plan: Plan, table: Table) -> list[Facts]:
    """Columns a model may look at, in the order of the file."""
    return [one for one in table.facts.values() if duty(plan, table, one).feature]


def left_out(plan: Plan, table: Table) -> list[str]:
    """Names of the columns no feature uses, roles apart."""
    roles = {table.entity, table.time, *table.key, plan.label.column if table.is_main else None}
    return [one.name for one in table.facts.values() if one.name not in roles and not duty(plan, table, one).feature]
