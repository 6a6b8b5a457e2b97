"""The score step on a small market that went the whole way."""

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.contract import load_contracts, load_output
from feature_repo.definitions import load_definitions
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.deliver.candidates import candidates
from pipelines.deliver.score import score, score_status
from pipelines.deliver.table import SCHEMA, TABLE, of_date
from pipelines.features.join import point_in_time
from pipelines.lake.asof import AsOf
from pipelines.lake.catalog import Lake
from pipelines.registry.definitions import champions
from tests.conftest import MakeTenant

COMPARED = [name for name in SCHEMA.names if name != "_loaded_at"]


def scores(tenant: Tenant) -> pa.Table:
    rows = Lake(tenant).read(TABLE, columns=COMPARED, where=of_date(tenant.whole_run.label))
    return rows.select(COMPARED).sort_by("entity_id")


@pytest.mark.slow
def test_every_candidate_is_scored_once(demo: Tenant) -> None:
    as_of = demo.whole_run.as_of
    contracts = load_contracts(demo.contracts_dir)
    query = load_definitions(demo, contracts).candidates
    assert query is not None
    with AsOf(Lake(demo), contracts) as views:
        wanted = views.query(query.sql, as_of)[query.entity].to_pylist()

    rows = scores(demo)

    assert rows["entity_id"].to_pylist() == sorted(wanted)
    assert len(set(rows["score_id"].to_pylist())) == len(wanted)
    assert rows["as_of"].unique().to_pylist() == [as_of]
    probabilities = rows["probability"].to_numpy()
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert np.unique(probabilities).size > 10


@pytest.mark.slow
def test_running_twice_with_other_batches_gives_the_same(demo: Tenant) -> None:
    before = scores(demo)
    folder = demo.audience_dir / demo.whole_run.label
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    small = demo.params.model_copy(update={"score": demo.params.score.model_copy(update={"batch_rows": 64})})

    score(Tenant(demo.name, small, demo.settings), demo.whole_run)

    assert scores(demo).equals(before)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


@pytest.mark.slow
def test_the_audience_leaves_out_exactly_the_suppressed(demo: Tenant) -> None:
    with AsOf(Lake(demo), load_contracts(demo.contracts_dir)) as views:
        allowed = views.query(
            "SELECT lead_id FROM leads WHERE consent AND lead_id NOT IN"
            " (SELECT lead_id FROM conversions WHERE kind = 'opt_out') AND lead_id NOT IN"
            " (SELECT lead_id FROM messages WHERE sent_at > $as_of + INTERVAL 17 HOUR - INTERVAL 7 DAY"
            "  GROUP BY lead_id HAVING count(*) >= 3)",
            demo.whole_run.as_of,
        )["lead_id"].to_pylist()

    folder = demo.audience_dir / demo.whole_run.label
    audience, left = pq.read_table(folder / "audience.parquet"), pq.read_table(folder / "suppressed.parquet")

    everyone = set(scores(demo)["entity_id"].to_pylist())
    assert sorted(audience["lead_id"].to_pylist()) == sorted(everyone & set(allowed))
    assert 0 < audience.num_rows < len(everyone)
    assert sorted(left["lead_id"].to_pylist()) == sorted(everyone - set(allowed))
    output = load_output(demo.contracts_dir)
    assert output is not None
    assert audience.schema.names == left.schema.names == output.source_columns
    assert audience["rank"].to_pylist() == list(range(1, audience.num_rows + 1))
    assert audience["probability"].to_pylist() == sorted(audience["probability"].to_pylist(), reverse=True)


@pytest.mark.slow
def test_tiers_follow_the_champion_s_base_rate(demo: Tenant) -> None:
    from pipelines.registry.champion import load_champion

    champion = load_champion(demo, "conversion")
    edges = {tier: multiple * champion.train_base_rate for tier, multiple in demo.params.score.tiers.items()}

    rows = scores(demo)

    for probability, tier in zip(rows["probability"].to_pylist(), rows["tier"].to_pylist(), strict=True):
        assert tier == next((name for name in "ABC" if probability >= edges[name]), "D")  # type: ignore[index]
    status = score_status(demo)
    assert status["rows"] == rows.num_rows == sum(status["tiers"].values())
    assert status["model_version"] == champion.version


@pytest.mark.slow
def test_other_targets_stand_beside_the_probability(demo: Tenant) -> None:
    from pipelines.registry.champion import load_champion

    others = [target for target in champions(demo) if target != "conversion"]
    assert "quality" in others
    rows = Lake(demo).read(TABLE, where=of_date(demo.whole_run.label)).sort_by("entity_id")
    contracts = load_contracts(demo.contracts_dir)
    definitions = load_definitions(demo, contracts)
    spine = candidates(demo, Lake(demo), definitions, contracts, demo.whole_run.as_of)
    features = point_in_time(demo, Lake(demo), definitions, spine).read_all()
    audience = pq.read_table(demo.audience_dir / demo.whole_run.label / "audience.parquet")
    assert audience.schema.names[8 : 8 + len(others)] == others
    place = {name: n for n, name in enumerate(rows["entity_id"].to_pylist())}
    for target in others:
        champion = load_champion(demo, target)
        values = rows[target].to_numpy()
        assert np.allclose(values, champion.predict(features), rtol=1e-12)
        assert set(rows[f"{target}_version"].to_pylist()) == {champion.version}
        assert audience[target].to_pylist() == [values[place[lead]] for lead in audience["lead_id"].to_pylist()]
    assert rows["quality"].to_numpy().max() > 60
    assert ((rows["quality"].to_numpy() >= 0) & (rows["quality"].to_numpy() <= 100)).all()
    with pytest.raises(ConfigError, match="'quality' of tenant 'demo' is a regression, and leads are ranked"):
        score(demo, demo.whole_run, target="quality")


@pytest.mark.slow
def test_nobody_to_score_is_one_sentence(demo: Tenant) -> None:
    with pytest.raises(NotReady, match="nobody to score as of 2020-01-02"):
        score(demo, Interval.day(date(2020, 1, 1)))


def test_no_champion_is_one_sentence(make_tenant: MakeTenant) -> None:
    with pytest.raises(NotReady, match="has no champion"):
        score(make_tenant(), Interval.day(date(2026, 1, 1)))


def test_a_misspelt_target_is_one_sentence(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        score(make_tenant(), Interval.day(date(2026, 1, 1)), target="convertion")
