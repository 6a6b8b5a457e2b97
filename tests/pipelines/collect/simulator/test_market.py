"""The causal story of the simulated market, checked against what was drawn."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any

import duckdb
import numpy as np
import phonenumbers
import pytest

from pipelines.collect.simulator.market import Drawn, Market
from pipelines.collect.simulator.policy import ACTIONS
from pipelines.collect.simulator.tables import EVENT_TIMES, KEYS
from pipelines.core.params import SimulateParams

USUAL = {
    "leads": 4_000,
    "days": 60,
    "seed": 7,
    "start": date(2026, 1, 1),
    "validations_per_lead_month": 2.0,
    "messages_per_lead_week": 0.8,
    "dirty_share": 0.01,
    "late_share": 0.05,
    "randomized_share": 0.2,
}


@cache
def draw(drift: bool = False, fraud: bool = False, **changes: Any) -> Drawn:
    """A market, drawn once for all tests."""
    return Market(SimulateParams.model_validate({**USUAL, **changes}), drift=drift, fraud=fraud).draw()


def ask(drawn: Drawn, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query over the tables and `truth_<name>`."""
    with duckdb.connect() as connection:
        for name, table in drawn.tables.items():
            connection.register(name, table)
        for name, table in drawn.truth.items():
            connection.register(f"truth_{name}", table)
        rows: list[tuple[Any, ...]] = connection.execute(sql).fetchall()
        return rows


def one(drawn: Drawn, sql: str) -> Any:
    """The only value of a query."""
    ((value,),) = ask(drawn, sql)
    return value


def test_same_seed_same_rows() -> None:
    again = Market(SimulateParams.model_validate(USUAL)).draw()
    assert all(again.tables[name].equals(table) for name, table in draw().tables.items())
    assert all(again.truth[name].equals(table) for name, table in draw().truth.items())


def test_other_seed_other_rows() -> None:
    other = draw(seed=8)
    assert not any(other.tables[name].equals(table) for name, table in draw().tables.items() if name != "campaigns")


def test_phones_are_valid_and_one_per_lead() -> None:
    phones = [phone for (phone,) in ask(draw(), "select phone from truth_leads")]
    assert len(set(phones)) == USUAL["leads"]
    assert all(phonenumbers.is_valid_number(phonenumbers.parse(phone)) for phone in phones)


def test_lead_carries_its_area_code() -> None:
    assert one(draw(), "select count(*) from leads where phone like '+52%' and not starts_with(phone[4:], lada)") == 0


def test_sizes_of_the_default_market() -> None:
    """Per lead and day what 20,000 leads over 90 days need: 100-150k validations, 150-250k messages."""
    market = draw(leads=2_000, days=90)
    assert 5.0 < market.tables["validations"].num_rows / 2_000 < 7.5
    assert 7.5 < market.tables["messages"].num_rows / 2_000 < 12.5


def test_base_rate() -> None:
    assert 0.08 < one(draw(), "select avg(converted::int) from truth_messages") < 0.15


@pytest.mark.parametrize("table", KEYS)
def test_everything_arrives_within_the_period(table: str) -> None:
    first, last = ask(draw(), f"select min(received_at), max(received_at) from {table}")[0]
    assert date(2026, 1, 1) <= first.date()
    assert last.date() < date(2026, 1, 1) + timedelta(days=60)


@pytest.mark.parametrize("table", KEYS)
def test_only_dirt_is_from_the_future(table: str) -> None:
    marked = ", ".join(f"{key}::varchar" for key in KEYS[table])
    early = f"select concat_ws('|', {marked}) from {table} where {EVENT_TIMES[table]} > received_at"
    spoilt = f"select key from truth_dirt where \"table\" = '{table}' and fault = 'future time'"
    assert set(ask(draw(), early)) == set(ask(draw(), spoilt))


def test_late_share() -> None:
    waits = """
        select avg((received_at - validated_at > interval 6 hours)::int) from validations
        where received_at >= validated_at
    """
    assert 0.035 < one(draw(), waits) < 0.065


def test_nothing_is_late_when_nothing_shall_be() -> None:
    waits = "select max(received_at - validated_at) from validations where received_at >= validated_at"
    assert one(draw(late_share=0.0), waits) <= timedelta(days=1)


def test_leads_are_known_before_anything_happens_to_them() -> None:
    early = """
        with known as (select phone, min(received_at) as at from leads group by phone)
        select count(*) from validations join known using (phone) where validated_at < known.at
        union all
        select count(*) from messages join known using (phone) where sent_at < known.at
    """
    assert ask(draw(), early) == [(0,), (0,)]


def test_no_message_after_opting_out() -> None:
    late = """
        select count(*) from truth_messages m join conversions c using (phone)
        where c.kind = 'opt_out' and m.sent_at > c.occurred_at
    """
    assert one(draw(), "select count(*) from conversions where kind = 'opt_out'") > 50
    assert one(draw(), late) == 0


def test_no_message_without_consent() -> None:
    sent = """
        with first as (select phone, arg_min(consent, received_at) as consent from leads group by phone)
        select count(*) from messages join first using (phone) where not consent
    """
    assert one(draw(), sent) == 0


def test_at_most_one_opt_out_a_lead() -> None:
    twice = """
        select count(distinct conversion_id) - count(distinct phone) from conversions where kind = 'opt_out'
    """
    assert one(draw(), twice) == 0


def test_dirty_share() -> None:
    for table in ("validations", "messages", "conversions", "leads"):
        dirty = one(draw(), f"select count(*) from truth_dirt where \"table\" = '{table}'")
        assert 0.005 < dirty / draw().tables[table].num_rows < 0.016, table


def test_no_dirt_when_none_is_wanted() -> None:
    clean = draw(leads=500, dirty_share=0.0)
    assert clean.truth["dirt"].num_rows == 0
    assert one(clean, "select count(*) - count(distinct message_id) from messages") == 0


def test_duplicates_and_corrections_exist() -> None:
    for table, changed in (("conversions", "revenue"), ("leads", "carrier"), ("market", "economic_index")):
        key = ", ".join(KEYS[table])
        twice = f"select {key} from {table} group by {key}, received_at having count(*) > 1"
        corrected = f"select {key} from {table} group by {key} having count(distinct {changed}) > 1"
        assert ask(draw(), twice), table
        assert ask(draw(), corrected), table


def test_uniform_propensity_of_randomized_messages() -> None:
    randomized = "select distinct propensity from messages where randomized"
    assert one(draw(), randomized) == pytest.approx(1 / ACTIONS)
    assert 0.17 < one(draw(), "select avg(randomized::int) from messages") < 0.23


def action_frequencies(randomized: bool) -> list[tuple[float, float, int]]:
    """Per context and action: recorded propensity, empirical frequency, messages of the context."""
    sql = f"""
        with zones as (select phone, any_value(timezone) as timezone from leads group by phone),
        actions as (
            select objective, variant, propensity,
                timezone(timezone, timezone('UTC', sent_at)) as local, hour(local) as hour,
                dayofweek(local) in (0, 6) as weekend
            from messages join zones using (phone) join campaigns using (campaign_id)
            where randomized = {randomized} and message_id not in (select key from truth_dirt)
        )
        select any_value(propensity), count(*) / sum(count(*)) over context, sum(count(*)) over context
        from actions group by objective, weekend, hour, variant
        window context as (partition by objective, weekend)
    """
    return [(float(p), float(f), int(n)) for p, f, n in ask(draw(leads=6_000), sql)]


@pytest.mark.parametrize("randomized", [True, False])
def test_propensities_are_the_frequencies(randomized: bool) -> None:
    rows = action_frequencies(randomized)
    deviation = [(f - p) / np.sqrt(p * (1 - p) / n) for p, f, n in rows if n > 200]
    assert len(deviation) > 100
    assert np.std(deviation) < 1.2
    assert max(map(abs, deviation)) < 5


def test_truth_is_calibrated() -> None:
    bins = ask(
        draw(leads=6_000),
        """select avg(probability), avg(converted::int), count(*) from (
             select *, ntile(10) over (order by probability) as bin from truth_messages) group by bin""",
    )
    for expected, seen, n in bins:
        assert abs(seen - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1e-9


def test_truth_agrees_with_the_conversions_in_the_export() -> None:
    """Of messages whose seven days are over, only dirt and late rows hide what came of them."""
    sql = """
        with hits as (select distinct message_id from conversions where kind in ('click', 'purchase'))
        select avg((converted = (hits.message_id is not null))::int)
        from truth_messages left join hits using (message_id) where sent_at < '2026-02-15'
    """
    assert one(draw(), sql) > 0.997


def test_conversions_come_within_seven_days() -> None:
    slowest = """
        select max(occurred_at - sent_at) from conversions join truth_messages using (message_id)
        where kind in ('click', 'purchase') and conversion_id not in (select key from truth_dirt)
    """
    assert timedelta(days=1) < one(draw(), slowest) <= timedelta(days=7)


def test_truth_ranks_like_a_real_market() -> None:
    from sklearn.metrics import roc_auc_score

    truth = draw().truth["messages"].to_pandas()
    assert 0.84 < roc_auc_score(truth["converted"], truth["probability"]) < 0.91


def platform_means(drawn: Drawn) -> dict[str, tuple[float, float, float]]:
    """Before and after two thirds of the period: platforms active, response ms, true conversion."""
    sql = """
        select 'before', avg(whatsapp_active::int + google_active::int), median(whatsapp_ms) from validations
            where validated_at < '2026-02-10' union all
        select 'after', avg(whatsapp_active::int + google_active::int), median(whatsapp_ms) from validations
            where validated_at between '2026-02-10' and '2026-03-02'
    """
    rates = dict(
        ask(
            drawn,
            "select if(sent_at < '2026-02-10', 'before', 'after'), avg(probability) from truth_messages group by 1",
        )
    )
    return {when: (active, ms, rates[when]) for when, active, ms in ask(drawn, sql)}


def test_drift_shifts_everything() -> None:
    usual, drifted = platform_means(draw()), platform_means(draw(drift=True))
    assert drifted["before"] == pytest.approx(usual["before"], rel=0.01)  # other rows are dirty
    assert drifted["after"][0] < 0.8 * usual["after"][0]
    assert drifted["after"][1] > 1.3 * usual["after"][1]
    assert drifted["after"][2] < 0.75 * usual["after"][2]


def test_fraud_rings() -> None:
    market = draw(fraud=True)
    rings = ask(market, "select ring, list(phone[2:]::bigint order by phone) from truth_fraud group by ring")
    assert sum(len(phones) for _, phones in rings) == 80
    assert all(np.diff(phones).tolist() == [1] * (len(phones) - 1) for _, phones in rings)
    fraudulent = "phone in (select phone from truth_fraud)"
    assert one(market, f"select max(whatsapp_ms) from validations where {fraudulent}") <= 15
    assert one(market, f"select count(*) from conversions where kind = 'purchase' and {fraudulent}") == 0
    clicks = f"""
        select avg(n) from (
            select count(*) as n from conversions where kind = 'click' and {fraudulent} group by message_id)
    """
    assert one(market, clicks) >= 3


def test_no_fraud_unless_asked_for() -> None:
    assert draw().truth["fraud"].num_rows == 0


def test_some_leads_fall_silent() -> None:
    events = """
        select count(*) from validations join truth_leads using (phone)
        where validated_at > silent_at and validated_at <= received_at and whatsapp_active
    """
    assert one(draw(), "select count(silent_at) from truth_leads") > 100
    assert one(draw(), events) == 0


@pytest.mark.parametrize(("leads", "days"), [(1, 1), (1, 3), (50, 3), (3, 1)])
@pytest.mark.parametrize("fraud", [False, True])
def test_small_markets(leads: int, days: int, fraud: bool) -> None:
    market = draw(leads=leads, days=days, fraud=fraud, drift=True)
    assert 1 <= market.truth["leads"].num_rows == leads
    assert market.tables["campaigns"].num_rows >= 1


@pytest.fixture
def local_hours() -> Callable[[str], set[int]]:
    """Local hours in which messages to an area code are sent."""

    def ask_for(lada: str) -> set[int]:
        sql = f"""
            select distinct hour(timezone(timezone, timezone('UTC', sent_at))) from messages
            join (select distinct phone, timezone from leads where lada = '{lada}') using (phone)
            where message_id not in (select key from truth_dirt)
        """
        return {hour for (hour,) in ask(draw(start=date(2026, 2, 15)), sql)}

    return ask_for


@pytest.mark.parametrize("lada", ["664", "998", "55", "656"])
def test_messages_keep_local_hours_across_summer_time(lada: str, local_hours: Callable[[str], set[int]]) -> None:
    """In Tijuana and Ciudad Juárez clocks go forward on 8 March 2026, elsewhere they do not."""
    assert local_hours(lada)
    assert local_hours(lada) <= set(range(9, 21))
