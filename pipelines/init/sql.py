"""The text of a use case's SQL: mapping, features, candidates and the label, ready to run and to be changed."""

from collections.abc import Iterator

from pipelines.init.duties import duty, features, left_out
from pipelines.init.plan import Plan, Table
from pipelines.init.profile import Facts, is_code, mapped
from pipelines.init.readings import ISO_DATE, ISO_TIME
from pipelines.init.words import ident

_WINDOWS = (7, 30, 90)  # days
_SNAPSHOTS = 12  # dates at which the label of a table asks about every entity
_MOST_ROWS = 500_000  # of these questions in all
_SUMMED = 8  # numeric columns of a table that are summed up


def files(plan: Plan) -> dict[str, str]:
    """Text of every SQL file by its path in the use case's folder."""
    made = {"mapping.sql": _mapping(plan), "candidates.sql": _candidates(plan), "labels/conversion.sql": _label(plan)}
    for table in plan.tables:
        if text := _features(plan, table):
            made[f"features_{table.name}.sql"] = text
    return made


def _mapping(plan: Plan) -> str:
    parts = [
        f"-- How the columns of the sources become those of expectations/{plan.case}/. Text is read as the contract's"
        "\n-- types afterwards; what can't be read goes to quarantine as it is."
    ]
    for table in plan.tables:
        columns = ",\n    ".join(_mapped_columns(plan, table))
        parts.append(f"-- table: {table.name}\nselect\n    {columns}\nfrom {ident(table.name)}")
    return "\n\n".join(parts) + "\n"


def _mapped_columns(plan: Plan, table: Table) -> Iterator[str]:
    if not table.key:
        yield f"'R' || lpad(source_row::varchar, 9, '0') as {ident(table.number)}"
    if table.time is None:
        yield f"timestamp '{plan.start} 00:00:00' as {ident(table.since)}"
    for one in table.facts.values():
        what = duty(plan, table, one)
        if one.name == table.time:
            expression = _moment(plan, table, one)
        else:
            expression = mapped(one, table.file.typed, as_text=what.type == "string")
        same = expression == ident(one.name)
        yield expression if same else f"{expression} as {ident(one.name)}"


def _moment(plan: Plan, table: Table, one: Facts) -> str:
    """A time; at the midnight of its day where the row's own outcome is predicted."""
    expression = mapped(one, table.file.typed)
    if not (table.is_main and plan.label.column is not None) or one.type == "date":
        return expression
    if table.file.typed:
        return f"date_trunc('day', {expression}::timestamp)"
    read = (
        f"try_cast(try_cast({expression} as timestamptz) as timestamp)"
        if one.reading in (ISO_TIME, ISO_DATE)
        else f"try_cast({expression} as timestamp)"
    )
    return f"coalesce(date_trunc('day', {read})::varchar, {ident(one.header)})"


def _features(plan: Plan, table: Table) -> str | None:
    if table.once:
        return _own_columns(plan, table)
    return _history(plan, table)


def _comment(plan: Plan, table: Table, text: str) -> str:
    skipped = left_out(plan, table)
    lines = [f"-- {text}"]
    if skipped:
        lines.append("-- Left out: personal data, times, codes, free text, what is known only afterwards:")
        lines += _wrapped(skipped)
    return "\n".join(lines)


def _wrapped(names: list[str]) -> list[str]:
    lines, current = [], "--   "
    for name in names:
        if len(current) + len(name) > 110:
            lines.append(current.rstrip())
            current = "--   "
        current += f"{name}, "
    return [*lines, current.rstrip(", ") + "."]


def _own_columns(plan: Plan, table: Table) -> str | None:
    """One row per entity: what it says, from the day on which it is known."""
    columns = features(plan, table)
    entity, moment = ident(plan.entity), ident(table.moment)
    names = [_feature_name(plan, table, one) for one in columns]
    if not names:
        if not table.is_main:
            return None
        names = [f"strftime({moment}, '%m') as month"]
    head = _comment(plan, table, f"What {table.file.path.name} says of each {plan.entity}: one row, made on its day.")
    body = ",\n    ".join([entity, *names])
    return (
        f"{head}\nselect\n    {body}\nfrom {ident(table.name)}\n"
        f"where {moment} > $as_of - interval 1 day and {moment} <= $as_of\n"
    )


def _feature_name(plan: Plan, table: Table, one: Facts) -> str:
    """A column of a view; those of other tables carry its name, so that no two views have the same."""
    if table.is_main:
        return ident(one.name)
    return f"{ident(one.name)} as {ident(f'{table.name}_{one.name}')}"


def _history(plan: Plan, table: Table) -> str:
    """Several rows per entity: how many and how much of late, and what the last one said."""
    entity, moment, name = ident(plan.entity), ident(table.moment), table.name
    columns = features(plan, table)
    timed = table.time is not None
    windows, shown = [], []
    for span in _WINDOWS if timed else (None,):
        tail = f"_{span}d" if span else ""
        condition = f"{moment} > $as_of - interval {span} days" if span else None
        for alias, expression in _sums(plan, table, columns, condition, span):
            windows.append(f"{expression} as {ident(alias + tail)}")
            shown.append(f"coalesce(w.{ident(alias + tail)}, 0) as {ident(alias + tail)}")
    if timed and not table.is_main:
        windows.append(f"max({moment}) as {ident(f'last_{name}_at')}")
        shown.append(f"w.{ident(f'last_{name}_at')}")
    newest = [one.name for one in columns]
    shown += [f"newest.{ident(one)} as {ident(f'last_{name}_{one}')}" for one in newest]
    key = ", ".join(f"{part} desc" for part in _keys(plan, table))
    newest_text = ""
    if newest:
        newest_text = (
            ",\nnewest as (\n"
            f"    select {', '.join([entity, *map(ident, newest)])}\n    from {ident(name)}\n"
            f"    where {moment} <= $as_of\n"
            f"    qualify row_number() over (partition by {entity} order by {moment} desc, {key}) = 1\n)"
        )
    body = ",\n        ".join([entity, *windows])
    head = _comment(
        plan, table, f"What {table.file.path.name} says of each {plan.entity} of late: how often, how much, what last."
    )
    joined = f"\nleft join newest using ({entity})" if newest else ""
    listed = ",\n    ".join([f"known.{entity}", *shown])
    return (
        f"{head}\nwith known as (\n    select distinct {entity}\n    from {ident(plan.main.name)}\n"
        f"    where {ident(plan.main.moment)} <= $as_of\n),\n"
        f"windows as (\n    select\n        {body}\n    from {ident(name)}\n    where {moment} <= $as_of\n"
        f"    group by {entity}\n){newest_text}\n"
        f"select\n    {listed}\nfrom known\nleft join windows as w using ({entity}){joined}\n"
    )


def _keys(plan: Plan, table: Table) -> list[str]:
    """The key's columns as the clean table has them."""
    if table.entity is None:
        return [ident(plan.entity)]
    return [ident(plan.entity if part == table.entity else part) for part in table.key or (table.number,)]


def _sums(
    plan: Plan, table: Table, columns: list[Facts], condition: str | None, span: int | None
) -> Iterator[tuple[str, str]]:
    """Alias and expression of each figure of one window."""
    tail = f" filter (where {condition})" if condition else ""
    yield table.name, f"count(*){tail}"
    if table.is_main and plan.label.condition is not None:
        # The outcome is empty until it is known, so this counts what was known as of the instant.
        yield (
            f"{plan.label.column}_known",
            f"count(*) filter (where {plan.label.condition}" + (f" and {condition})" if condition else ")"),
        )
    numbers = [one for one in columns if one.type in ("integer", "number") and not is_code(one)]
    for one in numbers[:_SUMMED]:
        # Decimals are summed exactly, in whatever order the rows come.
        yield f"{table.name}_{one.name}", f"sum(try_cast({ident(one.name)} as decimal(30, 4))){tail}::double"


def _candidates(plan: Plan) -> str:
    entity, main, moment = ident(plan.entity), ident(plan.main.name), ident(plan.main.moment)
    if plan.main.once and plan.label.condition is not None:
        return (
            f"-- Whom to score: every {plan.entity} whose outcome is not yet known to be yes.\n"
            f"select {entity}\nfrom {main}\nwhere {moment} <= $as_of and ({plan.label.condition}) is not true\n"
            f"order by {entity}\n"
        )
    return (
        f"-- Whom to score: every {plan.entity} known by then. Narrow it down to those a campaign can reach.\n"
        f"select distinct {entity}\nfrom {main}\nwhere {moment} <= $as_of\norder by {entity}\n"
    )


def _label(plan: Plan) -> str:
    if plan.label.condition is not None:
        return _own_label(plan)
    other = next(table for table in plan.others if table.name == plan.label.table)
    return _snapshot_label(plan, other) if plan.main.once else _following_label(plan, other)


def _own_label(plan: Plan) -> str:
    moment, key = ident(plan.main.moment), ", ".join(_keys(plan, plan.main))
    return (
        f"-- Each row of {plan.main.name}: was the outcome yes? Empty until it is known.\n"
        f"select\n    {ident(plan.entity)},\n    {moment} as event_time,\n    {plan.label.condition} as label,\n"
        f"    {moment} + to_days($horizon_days::int) as known_at\nfrom {ident(plan.main.name)}\n"
        f"where {moment} <= $as_of\norder by {key}\n"
    )


def _within(other: Table, begins: str) -> str:
    """A row of the outcome's table falls into the horizon; days count from the day itself on."""
    moment = f"hit.{ident(other.moment)}"
    if other.by_day:
        return f"{moment} >= {begins} and {moment} < {begins} + to_days($horizon_days::int)"
    return f"{moment} > {begins} and {moment} <= {begins} + to_days($horizon_days::int)"


def _hits(plan: Plan, other: Table) -> str:
    where = f"\n    where {plan.label.where}" if plan.label.where else ""
    return f"hits as (\n    select {ident(plan.entity)}, {ident(other.moment)}\n    from {ident(other.name)}{where}\n)"


def _following_label(plan: Plan, other: Table) -> str:
    entity, moment = ident(plan.entity), f"asked.{ident(plan.main.moment)}"
    key = ", ".join(f"asked.{part}" for part in _keys(plan, plan.main))
    return (
        f"-- Each row of {plan.main.name}: did a row of {other.name} follow within the horizon?\n"
        f"with {_hits(plan, other)}\n"
        f"select\n    asked.{entity},\n    {moment} as event_time,\n"
        f"    case when {moment} + to_days($horizon_days::int) <= $as_of then exists (\n"
        f"        select 1 from hits as hit where hit.{entity} = asked.{entity}\n        and {_within(other, moment)}\n"
        f"    ) end as label,\n    {moment} + to_days($horizon_days::int) as known_at\n"
        f"from {ident(plan.main.name)} as asked\nwhere {moment} <= $as_of\norder by {key}\n"
    )


def _snapshot_label(plan: Plan, other: Table) -> str:
    entity, moment = ident(plan.entity), ident(plan.main.moment)
    rows = next(iter(plan.main.facts.values())).rows
    count = max(2, min(_SNAPSHOTS, _MOST_ROWS // max(rows, 1)))
    numbers = ", ".join(map(str, range(1, count + 1)))
    return (
        f"-- Each {plan.entity} on {count} dates, one horizon apart: did a row of {other.name} follow?\n"
        f"with {_hits(plan, other)},\n"
        f"dates as (\n    select date_trunc('day', $as_of) - to_days(n * $horizon_days::int) as asked_at\n"
        f"    from (select unnest([{numbers}]) as n)\n),\n"
        f"asked as (\n    select {ident(plan.main.name)}.{entity}, dates.asked_at\n    from {ident(plan.main.name)}\n"
        f"    join dates on {ident(plan.main.name)}.{moment} <= dates.asked_at\n)\n"
        f"select\n    asked.{entity},\n    asked.asked_at as event_time,\n    exists (\n"
        f"        select 1 from hits as hit where hit.{entity} = asked.{entity}\n"
        f"        and {_within(other, 'asked.asked_at')}\n    ) as label,\n"
        f"    asked.asked_at + to_days($horizon_days::int) as known_at\nfrom asked\n"
        f"order by asked.{entity}, event_time\n"
    )
