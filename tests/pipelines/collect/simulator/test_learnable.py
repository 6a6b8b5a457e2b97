"""What can be learnt from a simulated export, with features that SQL can know at the time of sending."""

from datetime import date
from typing import Any

import duckdb
import pytest

from pipelines.collect.simulator.market import Market
from pipelines.core.params import SimulateParams

PLATFORMS = ("whatsapp", "instagram", "facebook", "google", "apple")
ACTIVE = " + ".join(f"{name}_active::int" for name in PLATFORMS)
SPEED = f"list_avg([{', '.join(f'ln(greatest({name}_ms, 1))' for name in PLATFORMS)}])"

SPINE = """
    create table spine as
    select message_id, phone, sent_at,
        any_value(state) as state, any_value(lada) as lada, any_value(carrier) as carrier,
        any_value(line_type) as line_type, timezone(any_value(timezone), timezone('UTC', sent_at)) as local
    from messages join leads using (phone)
    where status = 'delivered' and sent_at between '2026-01-15' and '2026-03-24' and day(sent_at) % 4 = 0
    group by message_id, phone, sent_at
"""
FEATURES = f"""
    with checks as (
        select spine.message_id, avg({ACTIVE}) as active, avg({SPEED}) as speed, count(*) as checks
        from spine join validations v on v.phone = spine.phone and v.received_at < spine.sent_at
        group by spine.message_id
    ),
    sent as (
        select spine.message_id, count(*) as sent,
            count(*) filter (where m.sent_at > spine.sent_at - interval 7 days) as sent_7d
        from spine join messages m on m.phone = spine.phone and m.received_at < spine.sent_at
        group by spine.message_id
    ),
    reactions as (
        select spine.message_id, count(*) as reactions, count(*) filter (where kind = 'reply') as replies
        from spine join conversions c on c.phone = spine.phone and c.received_at < spine.sent_at
        group by spine.message_id
    ),
    hits as (select distinct message_id from conversions where kind in ('click', 'purchase'))
    select spine.sent_at, hits.message_id is not null as label, state, lada, carrier, line_type,
        hour(local) as hour, dayofweek(local) as weekday, active, speed, checks, sent, sent_7d, reactions, replies,
        reactions / (sent + 5) as rate
    from spine left join checks using (message_id) left join sent using (message_id)
    left join reactions using (message_id) left join hits using (message_id)
    order by spine.sent_at, message_id
"""


def spine_with_features(leads: int, seed: int) -> Any:
    """Features and label of a quarter of the messages, in time order, as a data frame."""
    params = SimulateParams(
        leads=leads,
        days=90,
        seed=seed,
        start=date(2026, 1, 1),
        validations_per_lead_month=2.0,
        messages_per_lead_week=0.8,
        dirty_share=0.01,
        late_share=0.05,
        randomized_share=0.2,
    )
    with duckdb.connect() as connection:
        for name, table in Market(params).draw().tables.items():
            connection.register(name, table)
        connection.execute(SPINE)
        return connection.execute(FEATURES).df()


@pytest.mark.slow
def test_lightgbm_on_twenty_times_the_leads_of_a_small_market() -> None:
    import lightgbm
    from sklearn.metrics import roc_auc_score

    rows = spine_with_features(leads=20 * 1_000, seed=11)
    for name in ("state", "lada", "carrier", "line_type"):
        rows[name] = rows[name].astype("category")
    past = rows["sent_at"] < "2026-03-08"
    features = rows.drop(columns=["sent_at", "label"])
    settings = {
        "objective": "binary",
        "learning_rate": 0.05,
        "num_leaves": 15,
        "verbose": -1,
        "num_threads": 2,
        "seed": 1,
    }
    model = lightgbm.train(settings, lightgbm.Dataset(features[past], rows["label"][past]), num_boost_round=120)
    auc = roc_auc_score(rows["label"][~past], model.predict(features[~past]))
    assert 0.78 < auc < 0.88
