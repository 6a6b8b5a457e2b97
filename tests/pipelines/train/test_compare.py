"""Two recorded runs, compared on rows that neither learnt from."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pytest

from models import metrics
from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.tenant import Tenant
from pipelines.registry.champion import load_alias
from pipelines.registry.frames import columns
from pipelines.registry.tracking import ENTITY, HOLDOUT, connect, run_table
from pipelines.train.compare import compare
from pipelines.train.data import TrainingSet
from pipelines.train.plots import draw_comparison
from pipelines.train.record import Training, record
from pipelines.train.split import Split
from tests.conftest import MakeTenant
from tests.pipelines.registry.conftest import Recorder, candidates, recorder, rows, training_set  # noqa: F401

ROWS = 500
ENTITIES = 120


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(params={"monitor": {"sample_rows": 100}})


def known(start: int, stop: int, cut: int, as_of: str, sql: str = "h") -> TrainingSet:
    """Rows `start` to `stop` of one market, held out from row `cut` on."""
    data = training_set(ROWS)
    leads = np.random.default_rng(5).integers(0, ENTITIES, ROWS)
    keys = pa.table({"lead_id": [f"l{lead}" for lead in leads], "known_at": data.rows["event_time"]})
    return replace(
        data,
        rows=data.rows.slice(start, stop - start),
        keys=keys.slice(start, stop - start),
        parts=Split(np.arange(cut - start), np.arange(cut - start, stop - start), 0),
        as_of=as_of,
        sql=data.sql | {"features.lead": sql},
    )


def test_two_models_of_the_same_day(tenant: Tenant, recorder: Recorder, tmp_path) -> None:  # noqa: F811
    data = known(0, ROWS, 400, "2026-02-01T00:00:00")
    recorder(data, only="lightgbm")
    second = recorder(data, digest="d2", only="linear")
    found = compare(tenant, "v1", "challenger", draws=200)
    held = run_table(tenant.settings.tracking_uri, second.run_id, HOLDOUT)
    assert len(found.labels) == 100
    assert not set(held[ENTITY].to_pylist()) & set(data.keys["lead_id"].to_pylist())  # no entity leaves by its name
    assert found.entities == len(set(data.keys["lead_id"].to_pylist()[400:]))
    assert np.allclose(found.scores[1], held["p_linear"].to_numpy())
    loss = found.measures["logloss"]
    assert loss.second == pytest.approx(float(second.tags["logloss"]))
    assert loss.better == 2
    assert found.verdict.startswith("B is better by ")
    back = compare(tenant, "challenger", "v1", draws=200).measures["logloss"]
    assert (back.difference, back.low, back.high) == pytest.approx((-loss.difference, -loss.high, -loss.low))
    draw_comparison(tmp_path / "d.png", found)
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_rows_that_the_older_model_learnt_from_are_left_out(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    """The newer one holds out rows 250 to 500; the older one learnt rows 0 to 320 and held out 320 to 400."""
    recorder(known(0, 400, 320, "2026-01-20T00:00:00"), only="lightgbm")
    recorder(known(0, 500, 250, "2026-02-01T00:00:00"), digest="d2", only="linear")
    market = rows(ROWS, 0, signal=2.0)
    older = load_alias(tenant, "conversion", "challenger")
    for order in (("v1", "v2"), ("v2", "v1")):
        found = compare(tenant, *order, draws=100)
        assert found.labels.tolist() == market["label"].to_pylist()[320:]
        assert found.span == (str(market["event_time"][320])[:10], str(market["event_time"][499])[:10])
        assert any(note.startswith("70 rows that") for note in found.notes)
    by_hand = older.predict(columns(market.slice(320), older.features))
    assert np.allclose(found.scores[0], by_hand)


def test_features_of_other_queries_are_not_lent(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    """Only rows that both held out are taken: of the others the older run stored no features of its own."""
    recorder(known(0, 400, 320, "2026-01-20T00:00:00"), only="lightgbm")
    recorder(known(0, 500, 250, "2026-02-01T00:00:00", sql="changed"), digest="d2", only="linear")
    found = compare(tenant, "v1", "v2", draws=100)
    assert found.labels.tolist() == rows(ROWS, 0, signal=2.0)["label"].to_pylist()[320:400]


def test_no_common_row_is_one_sentence(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    recorder(known(0, 500, 450, "2026-02-01T00:00:00"), only="lightgbm")
    recorder(known(0, 440, 300, "2026-02-02T00:00:00"), digest="d2", only="linear")
    with pytest.raises(
        NotReady, match=r"no row to compare .* every row that one held out is one that the other learnt"
    ):
        compare(tenant, "v1", "v2")


def test_runs_without_entities_are_compared_row_by_row(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    data = training_set(ROWS)
    recorder(data, only="lightgbm")
    recorder(data, digest="d2", only="linear")
    found = compare(tenant, "v1", "v2", draws=100)
    assert len(found.labels) == 99  # the first one could share its instant with a row that was learnt from
    assert found.entities is None
    assert any("drawn one by one" in note for note in found.notes)


def test_what_cannot_be_compared_is_one_sentence(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    data = known(0, ROWS, 400, "2026-02-01T00:00:00")
    version = recorder(data, only="lightgbm")
    other = recorder(data, digest="d2", only="linear")
    with pytest.raises(ConfigError, match="both are the run"):
        compare(tenant, "v1", version.run_id)
    for path in (tenant.settings.mlflow_dir / "artifacts").rglob(f"{other.run_id}/artifacts/holdout/*"):
        path.unlink()
    with pytest.raises(NotReady, match=r"lost its holdout/holdout\.parquet"):
        compare(tenant, "v1", "v2")


def test_another_horizon_is_another_thing(tenant: Tenant, recorder: Recorder, make_tenant) -> None:  # noqa: F811
    data = known(0, ROWS, 400, "2026-02-01T00:00:00")
    recorder(data, only="lightgbm")
    longer = make_tenant(params={"train": {"targets": {"conversion": {"horizon_days": 14}}}})
    record(connect(longer), Training(longer, data, candidates(data), "d2"))
    with pytest.raises(ConfigError, match=r"do not predict the same thing \(horizon in days 7 and 14\)"):
        compare(longer, "v1", "v2")


def test_equal_instants_of_one_entity_are_told_apart(tenant: Tenant, recorder: Recorder) -> None:  # noqa: F811
    data = known(0, ROWS, 400, "2026-02-01T00:00:00")
    at = np.datetime64(datetime(2026, 3, 1), "us")
    times = data.rows["event_time"].to_numpy().copy()
    times[400:] = at + np.repeat(np.arange(50), 2)
    entity = pa.array([f"l{place // 2}" for place in range(ROWS)])
    twins = replace(
        data,
        rows=data.rows.set_column(0, "event_time", pa.array(times)),
        keys=data.keys.set_column(0, "lead_id", entity),
    )
    recorder(twins, only="lightgbm")
    version = recorder(twins, digest="d2", only="linear")
    found = compare(tenant, "v1", "v2", draws=100)
    assert len(found.labels) == 100
    assert found.measures["logloss"].second == pytest.approx(float(version.tags["logloss"]))
    assert metrics.logloss(found.labels, found.scores[0]) == pytest.approx(found.measures["logloss"].first)
