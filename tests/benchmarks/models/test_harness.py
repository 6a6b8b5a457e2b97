"""The harness itself: intervals against second ways of computing them, and that no contender sees what comes later."""

import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss, roc_auc_score

from tests.benchmarks.models import bank, drift, figures, market, random_splits, rolling, spend, synthetic
from tests.benchmarks.models.apart import apart


def _draws(rows, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.6, rows)
    return (rng.random(rows) < p).astype(float), p


def test_splits_that_share_no_rows_have_the_usual_interval():
    values = [0.2, 0.25, 0.22, 0.3]
    found = figures.over_splits(values, "log loss", "a", test_share=0.0)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_splits_that_share_rows_have_a_wider_one():
    narrow, wide = (figures.over_splits([0.2, 0.25, 0.22], "", "", share) for share in (0.0, 0.2))
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt((1 / 3 + 1 / 4) / (1 / 3)))


def test_an_auc_of_rows_that_count_several_times_is_scikit_learns():
    y, p = _draws(800)
    p = p.round(2)  # with ties
    counts = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    codes = np.unique(p, return_inverse=True)[1]
    expected = roc_auc_score(y, p, sample_weight=counts)
    assert random_splits._weighted_auc(codes, y, counts) == pytest.approx(expected)


def test_reliability_is_wilsons():
    y, p = _draws(1500)
    found = figures.reliability(y, p, "a", "here")
    parts = np.array_split(y[np.argsort(p, kind="stable")], 15)
    for figure, part in zip(found, parts, strict=True):
        ends = stats.binomtest(int(part.sum()), len(part)).proportion_ci(0.95, method="wilson")
        assert (figure.value, figure.low, figure.high) == pytest.approx((part.mean(), ends.low, ends.high))


def test_bootstrap_of_a_mean_is_as_wide_as_its_standard_error():
    gaps = np.random.default_rng(1).normal(size=4000)
    found = figures.mean_of_clusters(gaps, "", "")
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * gaps.std() / np.sqrt(4000), rel=0.12)


def test_rows_that_repeat_within_a_cluster_tell_nothing_new():
    each = np.random.default_rng(2).normal(size=400)
    once = figures.mean_of_clusters(each, "", "")
    often = figures.mean_of_clusters(np.repeat(each, 10), "", "", np.repeat(np.arange(400), 10))
    assert (often.high - often.low) == pytest.approx(once.high - once.low, rel=0.15)


def test_a_model_against_itself_differs_by_nothing():
    y, p = _draws(500)
    gap = figures.difference(y, p, p, ("a", "b"), "here")["log loss"]
    assert (gap.value, gap.low, gap.high) == (0.0, 0.0, 0.0)
    assert not figures.below_zero(gap).reached


def test_values_and_differences_agree():
    y, p = _draws(800)
    worse = np.clip(p * 1.4, 0, 0.95)
    first, second = figures.of_rows(y, p, "a", "here"), figures.of_rows(y, worse, "b", "here")
    for name, gap in figures.difference(y, p, worse, ("a", "b"), "here").items():
        assert gap.value == pytest.approx(first[name].value - second[name].value)


@pytest.mark.parametrize(("judge", "reached"), [((figures.at_most, 0.5), True), ((figures.at_least, 0.51), False)])
def test_a_bound_is_judged(judge, reached):
    assert judge[0](figures.Figure("x", "a", 0.5), judge[1]).reached is reached


def test_winkler_is_made_of_two_pinball_losses():
    rng = np.random.default_rng(3)
    y, low, high = rng.normal(size=300), rng.normal(-1, 1, 300), rng.normal(1, 0.1, 300)
    high = np.maximum(low, high)
    found = spend.winkler(y, np.column_stack([low, high]), coverage=0.9).mean()
    pinball = mean_pinball_loss(y, low, alpha=0.05) + mean_pinball_loss(y, high, alpha=0.95)
    assert found == pytest.approx(2 / 0.1 * pinball)


def test_free_rows_are_in_no_test_split():
    y = np.random.default_rng(4).integers(0, 2, 500).astype(float)
    free = bank.free(y)
    assert len(free)
    for seed in bank.SEEDS:
        train, test = bank.split(y, seed)
        assert not set(free) & set(test)
        assert sorted([*train, *test]) == list(range(500))


def _row_numbers(rows):
    return bank.Rows(
        pd.DataFrame({"number": np.arange(rows)}),
        np.arange(rows, dtype=float),
        np.datetime64("2008-08-01") + np.arange(rows) // 40,
    )


def test_a_block_is_scored_by_what_lies_before_it():
    seen = []

    def contender(train, test, seed):
        seen.append((len(train.y), list(test["number"])))
        assert list(train.X["number"]) == list(range(len(train.y)))
        return np.zeros(len(test))

    assert len(drift._block_by_block(contender, _row_numbers(2300), 1000)) == 1300
    assert [known for known, _ in seen] == [1000, 1500, 2000]
    assert [block[0] for _, block in seen] == [1000, 1500, 2000]
    assert seen[-1][1][-1] == 2299


def test_a_period_is_scored_by_earlier_days():
    def contender(train, test, seed):
        known, scored = train.time, rows.time[test["number"]]
        assert known.max() < scored.min()
        assert scored.max() - scored.min() < np.timedelta64(30, "D")
        return test["number"].to_numpy(float)

    rows = _row_numbers(4000)
    starts = np.arange(np.datetime64("2008-09-01"), rows.time.max() + 1, np.timedelta64(30, "D"))
    found = rolling._period_by_period(contender, rows, starts)
    assert list(found) == list(np.flatnonzero(rows.time >= np.datetime64("2008-09-01")))


def test_work_apart_costs_processor_time_and_sleep_does_not():
    worked, slept = apart(sum, range(10_000_000)), apart(time.sleep, 0.3)
    assert worked.value == 49_999_995_000_000
    assert worked.cpu > 0.03 > slept.cpu
    assert slept.seconds >= 0.3


def test_synthetic_leads_have_gaps_categories_and_an_outcome():
    rows = synthetic.leads(3000, 0)
    assert rows.X.shape == (3000, 25)
    assert rows.X.isna().any().any()
    assert rows.X["text_0"].dtype == object
    assert 0.03 < rows.y.mean() < 0.3
    assert (np.diff(rows.time) >= np.timedelta64(0)).all()


def test_a_market_knows_the_true_probability_and_nothing_of_later():
    drawn = market.drawn(3000, 0)
    probability, converted = drawn["probability"].to_numpy(), drawn["converted"].to_numpy()
    assert drawn["lead"].n_unique() == len(drawn)
    assert abs(probability.mean() - converted.mean()) < 4 * np.sqrt((probability * (1 - probability)).sum()) / len(
        drawn
    )
    assert (drawn["days_since_check"].drop_nulls() >= 0).all()
    assert (drawn["days_since_message"].drop_nulls() >= 0).all()
