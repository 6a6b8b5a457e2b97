"""The text of contracts: ODCS, with a comment wherever something was guessed."""

import json
import math
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from pipelines.init.duties import Duty, duty
from pipelines.init.plan import Plan, Table
from pipelines.init.profile import Facts

_RARE = 0.001  # share of the rows below which a listed value is pointed out
_LESS_SURE = 100
_YAML = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")


def contract(plan: Plan, table: Table) -> str:
    """The contract of one table as YAML."""
    return "\n".join(line.rstrip() for line in _lines(plan, table)) + "\n"


def _lines(plan: Plan, table: Table) -> Iterator[str]:
    rows = next(iter(table.facts.values())).rows
    yield f"# Written by `leadwise init {plan.case}` from {table.file.path.name}, {rows:,} rows."
    yield "# What is marked `guess` was concluded from the rows alone: correct what you know better, then run."
    yield "kind: DataContract"
    yield "apiVersion: v3.2.0"
    yield f"id: {plan.case.replace('_', '-')}-{table.name.replace('_', '-')}"
    yield f"name: {_text(table.name)}"
    yield "version: 1.0.0"
    yield "status: draft"
    yield "domain: marketing"
    yield "description:"
    yield f"  purpose: {_text(f'What {table.file.path.name} tells.')}"
    yield "schema:"
    yield f"  - name: {table.name}"
    yield "    physicalType: file"
    yield f"    description: {_text(_row_is(plan, table))}"
    yield "    customProperties:"
    yield from _arrival(table)
    yield "    properties:"
    if not table.key:
        yield from _number(plan, table)
    if table.time is None:
        yield from _since(table)
    for one in table.facts.values():
        yield from _column(plan, table, one)


def _row_is(plan: Plan, table: Table) -> str:
    return f"One row per {plan.entity}." if table.once else f"Something that happened to one {plan.entity}."


def _arrival(table: Table) -> Iterator[str]:
    if table.by_day and not table.is_main:
        yield "      # guess: times are days, so a row counts as known from the next midnight on."
        yield "      - {property: arrived_at, value: P1D}"
    else:
        yield "      # guess: a row is known at the time it tells. If exports come later, say how much (P1D)."
        yield "      - {property: arrived_at, value: P0D}"


def _number(plan: Plan, table: Table) -> Iterator[str]:
    yield f"      - name: {table.number}"
    yield "        logicalType: string"
    yield "        required: true"
    yield "        primaryKey: true"
    yield "        primaryKeyPosition: 1"
    yield "        # guess: no columns tell rows apart, so they are numbered; keep the order of the file."
    yield "        description: Number of the row in its file."
    if table.entity is None:
        yield "        customProperties:"
        yield f"          - {{property: entity, value: {plan.entity}}}"


def _since(table: Table) -> Iterator[str]:
    yield f"      - name: {table.since}"
    yield "        logicalType: timestamp"
    yield "        required: true"
    yield "        # guess, 60 % sure: the file has no time, so its rows count as known from the first day on."
    yield "        description: From when on the row counts as known."
    yield "        customProperties:"
    yield "          - {property: event_time, value: true}"


def _column(plan: Plan, table: Table, one: Facts) -> Iterator[str]:
    what = duty(plan, table, one)
    kind = what.type or one.type
    yield f"      - name: {one.name}"
    if one.header != one.name:
        yield f"        businessName: {_text(one.header)}"
    yield f"        logicalType: {kind}"
    yield from (f"        # {note}" for note in _reading_notes(one, kind))
    yield f"        required: {str(one.required or what.placed).lower()}"
    if one.name in table.key:
        yield "        primaryKey: true"
        yield f"        primaryKeyPosition: {table.key.index(one.name) + 1}"
        if what.key_note:
            yield f"        # {what.key_note}"
    if one.personal is not None:
        yield f"        # guess, {one.personal.sure} % sure: {one.personal.what}, because {one.personal.why}."
        yield "        classification: restricted"
    yield f"        description: {_text(_describe(one, what))}"
    if one.personal is None:
        yield from _limits(plan, table, one, kind)
    if what.words:
        yield "        customProperties:"
        for word, value, note in what.words:
            if note:
                yield f"          # {note}"
            yield f"          - {{property: {word}, value: {_scalar(value)}}}"


def _reading_notes(one: Facts, kind: str) -> Iterator[str]:
    if kind == one.type and (one.sure < _LESS_SURE or one.misfits):
        yield f"guess, {min(one.sure, 95)} % sure: {one.reading.name}."
    if one.misfits:
        yield f"{one.misfits:,} of {one.filled:,} cells are none, and go to quarantine."
    if one.missing:
        yield f"Cells that say {', '.join(one.missing)} count as empty (mapping.sql)."


def _describe(one: Facts, what: Duty) -> str:
    if what.description:
        return what.description
    if one.personal is not None:
        return f"{one.header}: {one.personal.what}."
    spread = ""
    if one.minimum is not None and one.type in ("integer", "number"):
        spread = (
            f" from {one.minimum:g} to {one.maximum:g}"
            if one.type == "number"
            else f" from {one.minimum} to {one.maximum}"
        )
    return f"{one.header}: {one.reading.name}{spread}, {_share(one)}."


def _share(one: Facts) -> str:
    return "in every row" if one.required else f"filled in {one.filled:,} of {one.rows:,} rows"


def _limits(plan: Plan, table: Table, one: Facts, kind: str) -> Iterator[str]:
    if kind in ("integer", "number") and one.minimum is not None:
        yield from _bounds(one)
    elif kind in ("timestamp", "date"):
        yield from _since_when(plan, table, one)
    elif kind == "string" and one.enumerated and one.name not in table.key and one.name != table.entity:
        yield from _values(one)
    elif kind == "string":
        longest = max(16, 2 ** math.ceil(math.log2(2 * max(one.longest, 1))))
        yield f"        logicalTypeOptions: {{maxLength: {longest}}}"


def _bounds(one: Facts) -> Iterator[str]:
    low = 0 if one.minimum >= 0 else -_roomy(-one.minimum)
    limits = f"minimum: {low}"
    if one.maximum > 0:
        limits += f", maximum: {_roomy(one.maximum)}"
    yield f"        # guess: {_number_text(one.minimum)} to {_number_text(one.maximum)} was seen; there is room."
    yield f"        logicalTypeOptions: {{{limits}}}"


def _roomy(value: float) -> int:
    """The power of ten that is about ten times `value`."""
    return int(10 ** (math.ceil(math.log10(value)) + 1)) if value >= 1 else 10


def _number_text(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _since_when(plan: Plan, table: Table, one: Facts) -> Iterator[str]:
    if one.name == table.time and table.days is not None and table.days.left_out:
        last = table.days.last + timedelta(days=366)
        yield f"        # guess, 90 % sure: {table.days.left_out} rows lie far from these days and go to quarantine."
        yield f'        logicalTypeOptions: {{minimum: "{plan.start}", maximum: "{last}"}}'
    elif isinstance(one.minimum, date | datetime) and one.minimum.year > 1:
        yield f"        # guess: {one.minimum} to {one.maximum} was seen."
        yield f'        logicalTypeOptions: {{minimum: "{one.minimum.year:04d}-01-01"}}'


def _values(one: Facts) -> Iterator[str]:
    values = one.values or ()
    yield "        # guess, 85 % sure: these are all values there are; another one goes to quarantine."
    yield "        enum:"
    for value, count in values:
        rare = count <= max(1, _RARE * one.rows)
        tail = f"  # in {count:,} of {one.rows:,} rows only: a typing error? Take the line out, if so" if rare else ""
        yield f"          - {{value: {_text(value)}}}{tail}"


def _text(value: str) -> str:
    """A text as YAML, in quotes."""
    return json.dumps(value, ensure_ascii=False)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if re.fullmatch(r"[a-z]\w*|P\d+D", str(value)) and value not in _YAML else _text(str(value))
