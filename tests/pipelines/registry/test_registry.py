"""Recording, loading and status, against a real MLflow."""

import json
import os
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipelines.core.errors import NotReady
from pipelines.core.tenant import Tenant
from pipelines.registry.champion import Champion, load_alias, load_champion
from pipelines.registry.frames import columns, frame
from pipelines.registry.status import model_status
from pipelines.registry.tracking import CHALLENGER, HOLDOUT, connect, run_table
from tests.pipelines.registry.conftest import FEATURES, Recorder, training_set


def challenger(tenant: Tenant) -> Champion:
    found = load_alias(tenant, "conversion", CHALLENGER)
    assert found is not None
    return found


def test_the_run_holds_its_evidence_and_nothing_unpicklable(tenant: Tenant, recorder: Recorder) -> None:
    version = recorder(pictured=True)
    client = connect(tenant)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert {"git_commit", "git_dirty", "training_digest", "as_of"} <= set(run.data.tags)
    assert {"lightgbm.num_leaves", "seed", "snapshot.clean.messages", "sql.label.conversion"} <= set(run.data.params)
    assert {"auc", "logloss", "linear.logloss", "scorer.ece", "train_base_rate"} <= set(run.data.metrics)
    assert {item.dataset.name for item in run.inputs.dataset_inputs} == {
        "demo.conversion training",
        "demo.conversion evaluation",
    }
    artifacts = tenant.settings.mlflow_dir / "artifacts" / "demo"
    names = {path.name for path in artifacts.rglob("*") if path.is_file()}
    plots = {f"{name}.png" for name in ("calibration", "roc", "gain", "lift", "scores", "base_rate", "importance")}
    assert plots | {"holdout.parquet", "reference.parquet", "candidates.json", "input_example.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".py", ".pickle"))]


def test_loads_with_pickle_forbidden_and_predicts_the_same(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    assert os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    model = challenger(tenant)
    held = run_table(model.tracking_uri, model.run_id, HOLDOUT)
    assert held is not None
    expected = held[f"p_{model.tags['kind']}"].to_numpy()
    np.testing.assert_array_equal(model.predict(held), expected)
    np.testing.assert_array_equal(model.predict(frame(held, FEATURES)), expected)
    np.testing.assert_array_equal(model.predict(held.select([n for n, _ in FEATURES]).to_pydict()), expected)
    np.testing.assert_array_equal(model.model.predict(frame(held, FEATURES)), expected)
    np.testing.assert_allclose(model.predict(columns(held.slice(3, 1), FEATURES)), expected[3:4], rtol=1e-12)


def test_mlflows_own_parsing_keeps_a_missing_boolean_missing(tenant: Tenant, recorder: Recorder) -> None:
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    recorder()
    model = challenger(tenant)
    body = {
        "dataframe_records": [
            {"amount": 1, "city": None, "member": None},
            {"amount": None, "city": "north", "member": True},
        ]
    }
    parsed = infer_and_parse_data(body, schema=model.model.metadata.get_input_schema())
    expected = model.predict({"amount": [1, None], "city": [None, "north"], "member": [None, True]})
    np.testing.assert_array_equal(model.model.predict(parsed), expected)


def test_the_signature_wants_every_feature(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    with pytest.raises(mlflow.exceptions.MlflowException, match="city"):
        challenger(tenant).model.predict(pd.DataFrame({"amount": [1.0], "member": [True]}))


def test_the_training_sample_is_bounded_and_scored(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    model = challenger(tenant)
    sample = model.reference()
    assert sample is not None
    assert list(sample) == ["amount", "city", "member", "score"]
    assert len(sample) == tenant.params.monitor.sample_rows
    np.testing.assert_allclose(sample["score"], model.predict(sample))


def test_a_run_without_the_sample_says_so(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    model = challenger(tenant)
    for path in tenant.settings.mlflow_dir.rglob("reference.parquet"):
        path.unlink()
    assert model.reference() is None


def test_no_artifact_holds_an_entity(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    for path in tenant.settings.mlflow_dir.rglob("*.parquet"):
        named = set(pq.read_schema(path).names)
        assert named <= {"event_time", "label", "score", *(n for n, _ in FEATURES)} | {
            f"p_{kind}" for kind in ("lightgbm", "xgboost", "scorer", "linear")
        }


def test_how_often_intervals_held_is_a_metric_and_the_card_has_reasons(tenant: Tenant, recorder: Recorder) -> None:
    version = recorder(only="scorer")
    run = connect(tenant).get_run(str(version.run_id))
    held = [run.data.metrics[f"coverage_{level}"] for level in (50, 80, 90, 95)]
    assert held == sorted(held)
    assert 0 <= held[0] <= held[-1] <= 1
    [page] = tenant.settings.mlflow_dir.rglob("card.html")
    text = page.read_text(encoding="utf-8")
    assert f"{held[2]:.1%}" in text
    assert "Why: four rows of the holdout" in text


def test_status_before_and_after(tenant: Tenant, recorder: Recorder) -> None:
    assert model_status(tenant) == {}
    recorder()
    status = model_status(tenant)["conversion"]
    assert status["name"] == "demo.conversion"
    assert status["version"] == "1"
    assert status["alias"] == "challenger"
    assert set(status["metrics"]) == {"auc", "logloss", "ece", "base_rate"}
    assert status["train_rows"] == 400
    assert status["holdout_rows"] == 100
    assert status["data_snapshots"] == {"clean.messages": 1, "features.lead": 2}
    json.dumps(status)


def test_status_creates_nothing(var: Path, make_tenant) -> None:
    assert model_status(make_tenant("demo")) == {}
    assert not (var / "mlflow").exists()


def test_no_champion_is_one_sentence(tenant: Tenant, recorder: Recorder) -> None:
    recorder()
    with pytest.raises(NotReady, match="has no champion for 'conversion' yet: run `leadwise train"):
        load_champion(tenant, "conversion")


def test_nothing_is_printed(tenant: Tenant, recorder: Recorder, capfd: pytest.CaptureFixture[str]) -> None:
    recorder(training_set(seed=3))
    challenger(tenant)
    assert capfd.readouterr() == ("", "")
