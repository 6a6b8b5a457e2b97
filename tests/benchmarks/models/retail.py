"""UCI Online Retail as a regression: what each customer spends in the next 90 days, as of a cut-off.

Every customer with a purchase before the cut-off is a row. Spend is net of what is sent back, and never below 0.
Training rows come from earlier cut-offs whose 90 days are over at the test cut-off, so nothing of the future is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from models.inputs import Floats

FIRST_DAY = date(2010, 12, 1)
"""First day of the invoices; they end on 2011-12-09."""
HORIZON = timedelta(days=90)
STEP = timedelta(days=30)
HISTORY = timedelta(days=30)
"""Days of invoices that a training cut-off must have behind it."""
CUT_OFFS = (date(2011, 5, 1), date(2011, 7, 1), date(2011, 9, 1))
"""A cut-off before April has no training rows: labels take 90 days, features 30, and invoices begin in December."""
SCORER = {"loss": "absolute", "forward_share": 0.7, "horizon": 0.1}
"""How a `LeadScorer` learns this: the median of spend; a model serves a month of some ten, so folds are a tenth long;
with two cut-offs to learn from at first, most rows have to be judged, or too few residuals are left for intervals."""

FEATURES = """
    with past as (
        select *, epoch(cast($cut as timestamp) - happened) / 86400.0 as ago from lines where happened < $cut
    ),
    baskets as (
        select customer, invoice, min(ago) as ago, sum(spent) as spent, count(*) as items, sum(pieces) as pieces
        from past where not cancelled group by customer, invoice
    ),
    gaps as (
        select *, lag(ago) over (partition by customer order by ago desc) - ago as gap from baskets
    ),
    bought as (
        select customer,
            min(ago) as recency, max(ago) as tenure, count(*) as orders,
            sum(spent) as spent, avg(spent) as mean_basket, max(spent) as max_basket, median(spent) as median_basket,
            coalesce(stddev_samp(spent), 0) as sd_basket, avg(items) as mean_items, avg(pieces) as mean_pieces,
            arg_min(spent, ago) as last_basket, avg(gap) as mean_gap, max(gap) as max_gap,
            stddev_samp(gap) as sd_gap, count(distinct floor(ago / 30)) as active_months,
            count(*) filter (where ago <= 30) as orders_30, count(*) filter (where ago <= 60) as orders_60,
            count(*) filter (where ago <= 90) as orders_90, count(*) filter (where ago <= 180) as orders_180,
            coalesce(sum(spent) filter (where ago <= 30), 0) as spent_30,
            coalesce(sum(spent) filter (where ago <= 60), 0) as spent_60,
            coalesce(sum(spent) filter (where ago <= 90), 0) as spent_90,
            coalesce(sum(spent) filter (where ago <= 180), 0) as spent_180
        from gaps group by customer
    ),
    lines_of as (
        select customer, any_value(country) as country, count(distinct stock) as articles,
            avg(price) filter (where not cancelled) as mean_price,
            avg(cancelled::int) as cancelled_lines, count(distinct invoice) filter (where cancelled) as cancellations,
            coalesce(-sum(spent) filter (where cancelled), 0) as sent_back
        from past group by customer
    )
    select *, recency / nullif(mean_gap, 0) as overdue, spent / greatest(tenure, 30) * 90 as spent_rate,
        orders / greatest(tenure, 30) * 90 as order_rate, sent_back / nullif(spent, 0) as sent_back_share
    from bought join lines_of using (customer) order by customer
"""
SPEND = """
    select customer, greatest(sum(spent), 0) as spend from lines
    where happened >= $cut and happened < cast($cut as timestamp) + interval 90 days group by customer
"""


@dataclass(frozen=True)
class Split:
    """Rows to learn from, oldest cut-off first, and rows to judge by.

    Attributes:
        X, y, cut_offs, customers: training columns, spend in the next 90 days, cut-off and customer of each row.
        X_test, y_test: the same of the test cut-off.
        at: the test cut-off.
    """

    X: pd.DataFrame
    y: Floats
    cut_offs: np.ndarray
    customers: np.ndarray
    X_test: pd.DataFrame
    y_test: Floats
    at: date


def splits(path: Path, cut_offs: tuple[date, ...] = CUT_OFFS) -> list[Split]:
    """One split per test cut-off, from `online_retail.parquet`."""
    with duckdb.connect() as connection:
        connection.execute("set threads = 1")
        connection.execute(
            """
            create table lines as
            select cast(CustomerID as bigint) as customer, InvoiceNo as invoice, StockCode as stock,
                Country as country, InvoiceDate as happened, UnitPrice as price, Quantity as pieces,
                Quantity * UnitPrice as spent, starts_with(InvoiceNo, 'C') as cancelled
            from read_parquet($path) where CustomerID is not null
            """,
            {"path": str(path)},
        )
        return [_split(connection, at) for at in cut_offs]


def training_cut_offs(at: date) -> list[date]:
    """Earlier cut-offs, oldest first, whose 90 days are over at `at` and that have 30 days of invoices behind them."""
    found, day = [], at - HORIZON
    while day >= FIRST_DAY + HISTORY:
        found.append(day)
        day -= STEP
    return found[::-1]


def _split(connection: duckdb.DuckDBPyConnection, at: date) -> Split:
    parts = [_rows(connection, cut) for cut in training_cut_offs(at)]
    times = [
        np.full(len(part), np.datetime64(cut, "us")) for part, cut in zip(parts, training_cut_offs(at), strict=True)
    ]
    train, test = pd.concat(parts, ignore_index=True), _rows(connection, at)
    hidden = ["customer", "spend"]
    return Split(
        X=train.drop(columns=hidden),
        y=train["spend"].to_numpy(np.float64),
        cut_offs=np.concatenate(times),
        customers=train["customer"].to_numpy(),
        X_test=test.drop(columns=hidden),
        y_test=test["spend"].to_numpy(np.float64),
        at=at,
    )


def _rows(connection: duckdb.DuckDBPyConnection, cut: date) -> pd.DataFrame:
    """Features of all customers known at `cut`, and what they spent after."""
    features = connection.execute(FEATURES, {"cut": cut}).df()
    spend = connection.execute(SPEND, {"cut": cut}).df()
    return features.merge(spend, on="customer", how="left").fillna({"spend": 0.0})
