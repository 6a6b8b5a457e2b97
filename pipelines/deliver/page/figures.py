"""The numbers of an audience's page, from the files of the day and of the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from models.promises import Expected, Ratio, expected
from pipelines.deliver.manifest import MANIFEST
from pipelines.deliver.reasons import NAMES as REASONS

POINTS = 200
"""Of the curve that the calculator reads."""

BARS = 16
"""Values of a segment that are shown."""

TIERS = ("A", "B", "C", "D")


@dataclass(frozen=True)
class Group:
    """Leads that have something in common.

    Attributes:
        name: of the tier, or the value of the segment.
        leads: how many may be written to.
        mean: of their probabilities.
        conversions: if all of them are written to.
    """

    name: str
    leads: int
    mean: float
    conversions: Expected


@dataclass(frozen=True)
class Kept:
    """What was said of settled outcomes, and what came.

    Attributes:
        name: of the group; empty for all.
        rows: settled outcomes.
        said: mean of what was said.
        came: mean of what came.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    name: str
    rows: int
    said: float
    came: float
    low: float
    high: float


@dataclass(frozen=True)
class Changed:
    """Against the audience before.

    Attributes:
        date: of that one.
        before: leads in it.
        came: leads that are new in this one.
        left: leads of that one that are not in this one.
        up: leads in a better tier than then.
        down: leads in a worse one.
    """

    date: str
    before: int
    came: int
    left: int
    up: int
    down: int


@dataclass(frozen=True)
class Figures:
    """All numbers of a page.

    Attributes:
        manifest: of the day.
        version: of the champion.
        every: all who may be written to.
        tiers: the same by tier, the best first.
        segments: by name of the segment, the largest groups first.
        curve: rank, sum of probabilities and of p(1 - p) up to it, from 0 on.
        reasons: phrase, and how often it raises and lowers a score.
        changed: None for a first audience.
        kept: by `all` and `tier`; empty where nothing is settled.
        ratio: what came for each one that was promised.
    """

    manifest: Mapping[str, Any]
    version: str
    every: Group
    tiers: list[Group]
    segments: dict[str, list[Group]]
    curve: list[tuple[int, float, float]]
    reasons: list[tuple[str, int, int]]
    changed: Changed | None
    kept: dict[str, list[Kept]] = field(default_factory=dict)
    ratio: Ratio = field(default_factory=Ratio)


def figures(folder: Path, entity: str, segments: list[str], kept: dict[str, list[Kept]] | None = None) -> Figures:
    """The numbers of the audience in `folder`, whose manifest is there.

    Args:
        folder: of a date.
        entity: name of what is scored.
        segments: columns that contracts declare; those the files lack are left out.
        kept: what came of what was said.
    """
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    told = kept or {}
    ratio = ratio_of(told)
    known = set(pq.read_schema(folder / "audience.parquet").names)
    with duckdb.connect() as connection:
        connection.read_parquet(str(folder / "audience.parquet")).create_view("audience")
        versions = connection.sql("SELECT DISTINCT model_version FROM audience ORDER BY 1").fetchall()
        return Figures(
            manifest=manifest,
            version=", ".join(str(one) for (one,) in versions),
            every=_groups(connection, "''", ratio)[0] if manifest["counts"]["audience"] else _nobody(),
            tiers=sorted(_groups(connection, "tier", ratio), key=lambda one: one.name),
            segments={name: _groups(connection, f'"{name}"', ratio)[:BARS] for name in segments if name in known},
            curve=_curve(connection),
            reasons=_reasons(connection) if set(REASONS) <= known else [],
            changed=_changed(connection, folder, entity),
            kept=told,
            ratio=ratio,
        )


def ratio_of(kept: Mapping[str, list[Kept]]) -> Ratio:
    """What came for each one that was promised, of all settled outcomes; 1 without an error where there is none."""
    found = kept.get("all", [])
    if not found:
        return Ratio()
    one = found[0]
    return Ratio.of(one.said, one.came, one.low, one.high, one.rows)


def _nobody() -> Group:
    return Group("", 0, 0.0, Expected(0.0, 0.0, 0.0))


def _groups(connection: duckdb.DuckDBPyConnection, by: str, ratio: Ratio) -> list[Group]:
    """Groups of those who may be written to, the largest first; without the ones of no value."""
    rows = connection.sql(
        f"SELECT {by}::VARCHAR AS name, count(*), avg(probability), sum(probability),"
        " sum(probability * (1 - probability)) FROM audience GROUP BY 1 HAVING name IS NOT NULL"
        " ORDER BY 2 DESC, 1"
    ).fetchall()
    return [
        Group(str(name), int(leads), float(mean), expected(float(total), float(spread), int(leads), ratio))
        for name, leads, mean, total, spread in rows
    ]


def _curve(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, float, float]]:
    """Points of what the best so many leads are expected to give."""
    rows = connection.sql(
        "SELECT n, p, v FROM (SELECT row_number() OVER w AS n, sum(probability) OVER w AS p,"
        " sum(probability * (1 - probability)) OVER w AS v, count(*) OVER () AS leads FROM audience"
        " WINDOW w AS (ORDER BY probability DESC, rank ROWS UNBOUNDED PRECEDING))"
        f" WHERE n % greatest(1, leads // {POINTS}) = 0 OR n = leads ORDER BY n"
    ).fetchall()
    return [(0, 0.0, 0.0), *((int(n), float(p), float(v)) for n, p, v in rows)]


def _reasons(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, int]]:
    """The phrases that stand most often among the reasons, and how often they raise and lower."""
    every = " UNION ALL ".join(f"SELECT {name} AS told FROM audience" for name in REASONS)
    rows = connection.sql(
        "SELECT regexp_extract(told, '^(.*): ', 1) AS phrase, count(*) FILTER (told LIKE '%(raises it)') AS up,"
        f" count(*) FILTER (told LIKE '%(lowers it)') AS down FROM ({every}) WHERE told IS NOT NULL"
        " GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 8"
    ).fetchall()
    return [(str(phrase), int(up), int(down)) for phrase, up, down in rows]


def _changed(connection: duckdb.DuckDBPyConnection, folder: Path, entity: str) -> Changed | None:
    """Against the newest audience before that is whole."""
    earlier = sorted(
        path.parent
        for path in folder.parent.glob(f"*/{MANIFEST}")
        if path.parent.name < folder.name and (path.parent / "audience.parquet").is_file()
    )
    if not earlier:
        return None
    connection.read_parquet(str(earlier[-1] / "audience.parquet")).create_view("before")
    [row] = connection.sql(
        f'SELECT count(old."{entity}"), count(*) FILTER (old."{entity}" IS NULL),'
        f' count(*) FILTER (new."{entity}" IS NULL), count(*) FILTER (new.tier < old.tier),'
        " count(*) FILTER (new.tier > old.tier)"
        f' FROM audience AS new FULL JOIN before AS old ON new."{entity}" = old."{entity}"'
    ).fetchall()
    return Changed(earlier[-1].name, *(int(one) for one in row))
