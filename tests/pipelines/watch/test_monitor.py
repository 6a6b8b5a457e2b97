"""The monitor step on a small market that went the whole way."""

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from pipelines.core.errors import NotReady
from pipelines.core.interval import Interval
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.registry.definitions import champions
from pipelines.watch.monitor import SCORE, TABLE, drift_status, monitor, sampled
from tests.conftest import MakeTenant


@pytest.mark.slow
def test_the_verdict_is_in_files_table_and_status(demo: Tenant) -> None:
    folder = demo.reports_dir / demo.whole_run.label

    verdict = json.loads((folder / "drift.json").read_text())

    names = ["drift", *(f"drift_{target}" for target in champions(demo) if target != "conversion")]
    told = {path.name for path in folder.iterdir() if not path.name.startswith("verdict_")}
    assert told == {f"{name}.{end}" for name in names for end in ("html", "json")}
    found = drift_status(demo)
    assert found["share"] == verdict["share"]
    assert [name for name in found["columns"] if "." not in name] == sorted(verdict["columns"])
    assert SCORE in {row["column"] for row in verdict["details"]}
    methods = {row["column"]: row["method"] for row in verdict["details"] if row["aspect"] == "value"}
    assert set(methods.values()) <= {demo.params.monitor.numeric.method, demo.params.monitor.categorical.method}


@pytest.mark.slow
def test_running_twice_gives_the_same(demo: Tenant) -> None:
    def verdicts() -> list[object]:
        rows = Lake(demo).read(TABLE).drop_columns(["_loaded_at"]).to_pylist()
        return sorted(rows, key=lambda row: (row["date"], row["target"], row["column"], row["aspect"]))

    before = verdicts()
    monitor(demo, demo.whole_run)

    assert verdicts() == before


@pytest.mark.slow
def test_features_are_judged_once_and_scores_of_every_target(demo: Tenant) -> None:
    rows = Lake(demo).read(TABLE, columns=["target", "column"]).to_pylist()
    by_target = {target: {row["column"] for row in rows if row["target"] == target} for target in champions(demo)}

    assert len(by_target.pop("conversion")) > 20
    assert by_target
    assert all(columns == {SCORE} for columns in by_target.values())
    status = drift_status(demo)
    told = json.loads((demo.reports_dir / demo.whole_run.label / "drift_quality.json").read_text())
    assert ("quality.score" in status["columns"]) == bool(told["columns"])


@pytest.mark.slow
def test_the_moment_all_candidates_share_is_left_out(demo: Tenant) -> None:
    verdict = json.loads((demo.reports_dir / demo.whole_run.label / "drift.json").read_text())

    assert verdict["left_out"] == ["local_hour", "local_weekday"]
    assert not set(verdict["left_out"]) & {row["column"] for row in verdict["details"]}


def test_the_sample_is_bounded_and_the_same_each_time(make_tenant: MakeTenant) -> None:
    tenant = make_tenant(params={"monitor": {"sample_rows": 100}})
    spine = pa.table(
        {"lead_id": [f"{n:04}" for n in range(1000)], "event_time": pa.array(np.zeros(1000), pa.float64())}
    )

    first = sampled(spine, tenant)

    assert first.num_rows == 100
    assert first.equals(sampled(spine, tenant))
    assert first["lead_id"].to_pylist() == sorted(set(first["lead_id"].to_pylist()))
    assert sampled(spine.slice(0, 100), tenant).num_rows == 100


def test_no_champion_is_one_sentence_and_the_status_is_empty(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()

    assert drift_status(tenant) == {"share": None, "columns": []}
    with pytest.raises(NotReady, match="has no champion"):
        monitor(tenant, Interval.day(date(2026, 1, 1)))
