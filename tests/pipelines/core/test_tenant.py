"""Tenants: found by name, owners of every path."""

import pytest

from pipelines.core.errors import ConfigError, NotReady
from pipelines.core.locks import exclusive
from tests.conftest import MakeTenant


def test_a_misspelt_tenant_gets_the_nearest_one(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match=r"no tenant 'dmeo'.*did you mean 'demo'\?"):
        make_tenant("dmeo")


def test_a_misspelt_use_case_gets_the_nearest_one(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match=r"'smss'.*did you mean 'sms'\?"):
        make_tenant("demo", params={"tenants": {"demo": {"use_case": "smss"}}})


def test_a_misspelt_target_gets_the_nearest_one(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match=r"no target 'conversoin': did you mean 'conversion'\?"):
        make_tenant().target("conversoin")


def test_an_unknown_placeholder_is_refused(make_tenant: MakeTenant) -> None:
    tenant = make_tenant(params={"tenants": {"demo": {"sources": {"leads": {"path": "{hme}/x.csv"}}}}})

    with pytest.raises(ConfigError, match=r"use \{home\}, \{data\} or \{date\}"):
        tenant.source_path(tenant.params.sources["leads"])


def test_all_state_lies_under_var(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()

    folders = [tenant.lake_dir, tenant.feast_dir, tenant.audience_dir, tenant.reports_dir, tenant.docs_dir]

    assert all(folder.is_relative_to(tenant.settings.var / "demo") for folder in folders)


def test_runs_cover_the_whole_run_without_gap(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()

    runs = tenant.runs()

    assert runs[0].start == tenant.whole_run.start
    assert runs[-1].end == tenant.whole_run.end
    assert all(a.end == b.start for a, b in zip(runs[:-1], runs[1:], strict=True))


def test_one_run_of_a_step_at_a_time(make_tenant: MakeTenant) -> None:
    tenant = make_tenant()

    with (
        exclusive(tenant, "validate"),
        pytest.raises(NotReady, match="another run of 'validate'"),
        exclusive(tenant, "validate"),
    ):
        pass
