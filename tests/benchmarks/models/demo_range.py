"""Ranges of probabilities on the simulated market, judged by the probability that the simulator drew with.

Features are what the pipeline knows when a message is sent: the lead, its checks, messages and reactions that had
arrived, hour and weekday, the market of its state. What the simulator hides (quality, mood, habits, fatigue as it feels
it) and what the pipeline has no feature of (variant, length, campaign) makes leads of one score differ. The truth only
judges; nothing is learnt from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models import metrics
from models.inputs import Floats
from models.scorer.defaults import DEFAULTS
from models.scorer.ranges import Range
from models.scorer.scorer import LeadScorer

if TYPE_CHECKING:
    from tests.benchmarks.models.figures import Figure

LEADS, SEEDS = 100_000, (0, 1, 2, 3, 4)
COVERAGE = 0.9
PLATFORMS = ("whatsapp", "instagram", "facebook", "google", "apple")
_ACTIVE = " + ".join(f"{name}_active::int" for name in PLATFORMS)
_SPEED = f"list_avg([{', '.join(f'ln(greatest({name}_ms, 1))' for name in PLATFORMS)}])"
_EACH = ", ".join(f"avg({name}_active::int) as {name}" for name in PLATFORMS)
_SPINE = """
    create table spine as
    with who as (select distinct on (phone) * from leads where line_type in ('mobile', 'voip') order by phone)
    select message_id, phone, sent_at, state, lada, carrier, line_type,
        timezone(timezone, timezone('UTC', sent_at)) as local_at,
        -- What the simulator drew includes that the message is delivered, and these rows are those that were
        probability / case line_type when 'mobile' then $mobile else $voip end as truth
    from messages join who using (phone) join truths using (message_id, phone, sent_at)
    where status = 'delivered' and sent_at between '2026-01-15' and '2026-03-24'
    qualify row_number() over (partition by message_id) = 1
"""
_FEATURES = f"""
    with checks as (
        select spine.message_id, avg({_ACTIVE}) as active, avg({_SPEED}) as speed, count(*) as checks, {_EACH}
        from spine join validations v on v.phone = spine.phone and v.received_at < spine.sent_at
        group by spine.message_id
    ),
    sent as (
        select spine.message_id, count(*) as sent, max(m.sent_at) as last_sent,
            count(*) filter (where m.sent_at > spine.sent_at - interval 7 days) as sent_7d
        from spine join messages m on m.phone = spine.phone and m.received_at < spine.sent_at
        group by spine.message_id
    ),
    reactions as (
        select spine.message_id, count(*) filter (where kind in ('click', 'purchase')) as hits,
            count(*) filter (where kind = 'reply') as replies,
            max(c.occurred_at) filter (where kind in ('click', 'purchase')) as last_hit
        from spine join conversions c on c.phone = spine.phone and c.received_at < spine.sent_at
        group by spine.message_id
    ),
    hits as (select distinct message_id from conversions where kind in ('click', 'purchase'))
    select spine.phone, spine.sent_at, hits.message_id is not null as label, truth, state, lada, carrier, line_type,
        hour(local_at) as hour, dayofweek(local_at) as weekday,
        active, speed, checks, {", ".join(PLATFORMS)}, sent, sent_7d, reactions.hits, replies,
        coalesce(reactions.hits, 0) / (coalesce(sent, 0) + 5) as rate,
        epoch(spine.sent_at - last_sent) as since_sent, epoch(spine.sent_at - last_hit) as since_hit
    from spine left join checks using (message_id) left join sent using (message_id)
    left join reactions using (message_id) left join hits using (message_id)
    order by spine.sent_at, message_id
"""
_KNOWN, _JUDGED = "2026-03-03", "2026-03-10"
"""Rows before the first day are learnt from: labels are known a week later, and from then on rows are judged."""


@dataclass(frozen=True)
class Rows:
    """Delivered messages in time order: features, outcome, instant, lead, and the true probability of the outcome."""

    X: pd.DataFrame
    y: Floats
    at: npt.NDArray[Any]
    leads: npt.NDArray[Any]
    truth: Floats


def drawn(leads: int, seed: int) -> tuple[Rows, Rows]:
    """Rows to learn from, and later rows to judge by, of a market of so many leads."""
    import duckdb

    from pipelines.collect.simulator.market import Market
    from pipelines.collect.simulator.story import Story
    from pipelines.core.params import SimulateParams
    from pipelines.core.tenant import Tenant

    usual = Tenant.load("demo").params.simulate
    assert usual is not None
    changed = {"leads": leads, "days": 90, "ahead_days": 0, "seed": seed, "start": date(2026, 1, 1)}
    params = SimulateParams.model_validate({**usual.model_dump(), **changed})
    market, story = Market(params).draw(), Story()
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        for name, table in market.tables.items():
            connection.register(name, table)
        connection.register("truths", market.truth["messages"])
        connection.execute(_SPINE, {"mobile": story.delivery[0], "voip": story.delivery[2]})
        rows = connection.execute(_FEATURES).df()
    return _rows(rows[rows["sent_at"] < _KNOWN]), _rows(rows[rows["sent_at"] >= _JUDGED])


def _rows(frame: pd.DataFrame) -> Rows:
    return Rows(
        X=frame.drop(columns=["phone", "sent_at", "label", "truth"]).reset_index(drop=True),
        y=frame["label"].to_numpy(np.float64),
        at=frame["sent_at"].to_numpy(),
        leads=frame["phone"].to_numpy(),
        truth=frame["truth"].to_numpy(np.float64),
    )


def ranges(learn: Rows, judge: Rows, seed: int = 0) -> tuple[Floats, Floats, Range]:
    """Probabilities (n,) and 90 % ranges (n, 2) of the rows to judge, and what the ranges rest on.

    LightGBM stands alone here: more members move scores by a hair, and 500,000 rows are learnt from five times.
    """
    scorer = LeadScorer(members={"lightgbm": DEFAULTS["lightgbm"]}, seed=seed)
    scorer.fit(learn.X, learn.y, event_time=learn.at, groups=learn.leads)
    known = scorer.uncertainty_.known
    assert isinstance(known, Range)
    return scorer.expected(judge.X), scorer.predict_interval(judge.X, COVERAGE), known


def run(leads: int = LEADS, seeds: tuple[int, ...] = SEEDS) -> list[Figure]:
    """Share of true probabilities within their 90 % range: of all rows by seed, and of tenths by score and carriers."""
    from tests.benchmarks.models.figures import Figure, between

    covered, parts, figures = [], [], []
    for seed in seeds:
        p, found, judge, learnt = _measured(leads, seed)
        inside = metrics.coverage(judge.truth, found)
        covered.append(inside)
        parts.append(_by_part(p, found, judge))
        width = float(np.diff(found, axis=1).mean())
        note = f"spread {learnt.spread:.3f} from {learnt.pairs:,} pairs, mean width {width:.3f}, {len(p):,} rows"
        figures.append(Figure(f"90 % range holds the true probability, seed {seed}", "range", inside, note=note))
    for name in parts[0]:
        values = [part[name] for part in parts]
        figures.append(
            Figure(f"the same, {name}", "range", float(np.mean(values)), min(values), max(values), note="least, most")
        )
    error = float(np.std(covered, ddof=1) / np.sqrt(len(covered))) if len(covered) > 1 else 0.0
    mean = float(np.mean(covered))
    every = Figure(
        "90 % range holds the true probability",
        "range",
        mean,
        mean - 2 * error,
        mean + 2 * error,
        note=f"{leads:,} leads, seeds {', '.join(map(str, seeds))}",
    )
    return [*figures, between(every, 0.88, 0.92)]


def _measured(leads: int, seed: int) -> tuple[Floats, Floats, Rows, Range]:
    learn, judge = drawn(leads, seed)
    p, found, learnt = ranges(learn, judge, seed)
    return p, found, judge, learnt


def _by_part(p: Floats, found: Floats, judge: Rows) -> dict[str, float]:
    """Coverage of each tenth of rows by score, and of each carrier."""
    tenths = {
        f"tenth {i} by score": metrics.coverage(judge.truth[part], found[part])
        for i, part in enumerate(np.array_split(np.argsort(p, kind="stable"), 10), start=1)
    }
    carriers = {
        f"carrier {name}": metrics.coverage(judge.truth[part], found[part])
        for name, part in judge.X.groupby("carrier").indices.items()
    }
    return {**tenths, **carriers}
