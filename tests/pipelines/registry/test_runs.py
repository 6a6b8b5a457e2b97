"""What a person may call a run."""

import pytest

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.registry.runs import find, runs
from pipelines.registry.tracking import connect
from tests.gates import easy
from tests.pipelines.registry.conftest import Recorder, training_set


def test_before_the_first_run_there_is_none_and_nothing_is_made(make_tenant, var) -> None:
    tenant = make_tenant()
    assert runs(tenant) == []
    assert not var.exists()
    with pytest.raises(NotReady, match="tenant 'demo' has no finished run yet: run `leadwise train --tenant demo`"):
        find(tenant, "champion")


def test_ids_names_versions_and_aliases(tenant: Tenant, recorder: Recorder) -> None:
    first = recorder(training_set(2000), only="linear")
    promote(easy(tenant), tenant.whole_run)
    second = recorder(digest="d2", only="xgboost")
    known = runs(tenant)
    assert [run.run_id for run in known] == [second.run_id, first.run_id]  # newest first
    for words in (first.run_id, first.run_id[:6], "v1", "champion"):
        assert find(tenant, words).run_id == first.run_id
    for words in (second.run_id[:8], "v2", "challenger"):
        assert find(tenant, words, "conversion").run_id == second.run_id
    assert [run.row()["alias"] for run in known] == ["challenger", "champion"]
    assert known[0].metrics["logloss"] == pytest.approx(float(second.tags["logloss"]))

    with pytest.raises(ConfigError, match=r"'demo\.conversion 2026-02-01' may be any of 2 runs of 'demo'"):
        find(tenant, "demo.conversion 2026-02-01")
    with pytest.raises(ConfigError, match="has no run 'challenge': did you mean 'challenger'"):
        find(tenant, "challenge")
    with pytest.raises(ConfigError, match="has no run 'v3'"):
        find(tenant, "v3")
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        runs(tenant, "conversoin")


def test_a_run_that_was_cut_short_is_none(tenant: Tenant, recorder: Recorder) -> None:
    version = recorder()
    client = connect(tenant)
    client.set_terminated(version.run_id, "FAILED")
    assert runs(tenant) == []
