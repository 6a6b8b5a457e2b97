"""A simulated market of 100,000 leads: ours against one LightGBM that learns from twenty times as many."""

import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from pipelines.core.params import SimulateParams
from pipelines.core.tenant import Tenant
from tests.benchmarks.models import contenders
from tests.benchmarks.models.apart import apart
from tests.benchmarks.models.bank import Rows
from tests.benchmarks.models.figures import Figure, at_least, of_rows

Floats = npt.NDArray[np.float64]

SEED = 0
LEADS, TIMES, TESTED = 100_000, 20, 100_000
DAYS = 42
_REACH = 0.97
_MOST_ROUNDS, _PATIENCE, _WATCHED = 2000, 50, 0.1


@dataclass(frozen=True)
class Market:
    """The last message of each lead: what was known when it was sent, what came of it, and how likely that was."""

    rows: Rows
    truth: Floats


def run() -> list[Figure]:
    """AUC on leads that neither learnt from; bootstrap over leads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.parquet"
        apart(_write, LEADS * TIMES + TESTED, SEED, path)
        p = {
            "LeadScorer": apart(_scored, path, LEADS).value,
            f"LightGBM on {TIMES} times the leads": apart(_scored, path, LEADS * TIMES).value,
            "LightGBM on the same leads": apart(_scored_by_lightgbm, path, LEADS).value,
        }
        tested = _tested(path)
    note = f"seed {SEED}, {len(tested.truth):,} leads tested"
    figures = {model: of_rows(tested.rows.y, found, model, "simulated market", note=note) for model, found in p.items()}
    best, ours = (figures[model]["AUC"].value - 0.5 for model in (f"LightGBM on {TIMES} times the leads", "LeadScorer"))
    share = Figure("AUC above .5", f"LeadScorer / LightGBM on {TIMES} times the leads", ours / best, note=note)
    ideal = of_rows(tested.rows.y, tested.truth, "the true probability", "simulated market", note=note)
    return [*(one for found in figures.values() for one in found.values()), *ideal.values(), at_least(share, _REACH)]


def _scored(path: Path, leads: int) -> Floats:
    """Probabilities of the tested leads: by ours where it learns from `LEADS`, else by LightGBM."""
    if leads > LEADS:
        return _scored_by_lightgbm(path, leads)
    learnt = _read(path, leads)
    return contenders.ours(learnt.rows, _tested(path).rows.X, SEED)


def _scored_by_lightgbm(path: Path, leads: int) -> Floats:
    """One well-set LightGBM; how many trees, a tenth of its rows says."""
    import lightgbm as lgb

    rows = _read(path, leads).rows
    texts = [name for name in rows.X if not pd.api.types.is_numeric_dtype(rows.X[name])]
    types = {name: pd.CategoricalDtype(sorted(rows.X[name].dropna().unique())) for name in texts}
    X = rows.X.astype(types)
    watched = np.random.default_rng(SEED).random(len(X)) < _WATCHED
    params = {**contenders.WELL_SET, "seed": SEED}
    data = lgb.Dataset(X[~watched], rows.y[~watched])
    stop = [lgb.early_stopping(_PATIENCE, verbose=False)]
    seen = lgb.Dataset(X[watched], rows.y[watched], reference=data)
    booster = lgb.train(params, data, _MOST_ROUNDS, valid_sets=[seen], callbacks=stop)
    return np.asarray(booster.predict(_tested(path).rows.X.astype(types), num_threads=1))


def _tested(path: Path) -> Market:
    return _market(pl.read_parquet(path).filter(pl.col("lead") >= LEADS * TIMES))


def _read(path: Path, leads: int) -> Market:
    """Rows of the first `leads` leads, in order of time."""
    return _market(pl.scan_parquet(path).filter(pl.col("lead") < leads).sort("sent").collect())


def _market(table: pl.DataFrame) -> Market:
    X = table.drop("lead", "sent", "probability", "converted").to_pandas()
    time = (table["sent"].to_numpy() * 1_000_000).astype("datetime64[us]")
    return Market(Rows(X, table["converted"].to_numpy().astype(np.float64), time), table["probability"].to_numpy())


def _write(leads: int, seed: int, path: Path) -> None:
    drawn(leads, seed).write_parquet(path)


def drawn(leads: int, seed: int) -> pl.DataFrame:
    """The last message of each lead of a market: lead, instant, inputs, `converted`, and its true `probability`."""
    from pipelines.collect.simulator.story import CARRIERS, LINE_TYPES, PLATFORMS, VARIANTS, Story
    from pipelines.collect.simulator.traffic import run_traffic
    from pipelines.collect.simulator.world import create_world

    usual = Tenant.load("demo").params.simulate
    assert usual is not None
    changed = {"leads": leads, "days": DAYS, "ahead_days": 0, "seed": seed, "start": date(2026, 1, 1)}
    world = create_world(
        SimulateParams.model_validate({**usual.model_dump(), **changed}), Story(), drift=False, fraud=False
    )
    traffic = run_traffic(world)
    sent = traffic.messages
    messages = pl.DataFrame(
        {
            "lead": sent["lead"],
            "sent": sent["sent"],
            "hour": sent["hour"],
            "length": sent["length"],
            "variant": np.array(VARIANTS)[sent["variant"]],
            "objective": world.campaigns.objective[sent["campaign"]].astype(str),
            "delivered": sent["delivered"] >= 0,
            "probability": sent["probability"],
            "converted": sent["converted"],
        }
    ).sort("lead", "sent")
    messages = messages.with_columns(
        messages_before=pl.col("sent").cum_count().over("lead") - 1,
        delivered_before=pl.col("delivered").cast(pl.Int32).cum_sum().over("lead") - pl.col("delivered").cast(pl.Int32),
        days_since_message=(pl.col("sent") - pl.col("sent").shift(1).over("lead")) / 86_400,
        weekday=(pl.col("sent") // 86_400 + 3) % 7,
    )
    last = messages.group_by("lead", maintain_order=True).last().drop("delivered").sort("sent")
    checks = pl.DataFrame({"lead": traffic.validations["lead"], "at": traffic.validations["at"]}).with_columns(
        *(pl.Series(f"{one}_active", traffic.validations[f"{one}_active"]) for one in PLATFORMS),
        *(pl.Series(f"{one}_ms", traffic.validations[f"{one}_ms"]).cast(pl.Float64) for one in PLATFORMS),
    )
    checks = checks.with_columns(pl.when(pl.col(f"{one}_ms") >= 0).then(pl.col(f"{one}_ms")) for one in PLATFORMS)
    acts = pl.DataFrame({name: traffic.conversions[name] for name in ("lead", "at", "kind")}).sort("at")
    acts = acts.select(
        "lead",
        "at",
        *(
            (pl.col("kind") == kind).cast(pl.Int32).cum_sum().over("lead").alias(f"{name}_before")
            for kind, name in _KINDS
        ),
    )
    people = world.people
    who = pl.DataFrame(
        {
            "lead": np.arange(leads),
            "state": np.array(world.places.states)[people.state],
            "carrier": np.array(CARRIERS)[people.carrier],
            "line_type": np.array(LINE_TYPES)[people.line],
            "big_city": world.places.weights[people.lada] >= Story().big_city_weight,
            "acquired": people.acquired,
        }
    )
    joined = (
        last.join_asof(checks.sort("at"), left_on="sent", right_on="at", by="lead", check_sortedness=False)
        .join_asof(acts, left_on="sent", right_on="at", by="lead", allow_exact_matches=False, check_sortedness=False)
        .join(who, on="lead")
    )
    return joined.with_columns(
        days_known=(pl.col("sent") - pl.col("acquired")) / 86_400,
        days_since_check=(pl.col("sent") - pl.col("at")) / 86_400,
    ).drop("acquired", "at", "at_right")


_KINDS = ((0, "replies"), (1, "clicks"), (2, "purchases"))
