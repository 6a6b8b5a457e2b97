"""Runs of trainings that were killed: marked by the next training as what they are."""

import pytest

from pipelines.core.tenant import Tenant
from pipelines.registry.tracking import connect, experiment_id
from pipelines.train.record import DIGEST, DVC, end_halves
from tests.conftest import MakeTenant


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant("demo")


def test_a_half_is_killed_and_a_whole_one_has_finished(tenant: Tenant) -> None:
    client = connect(tenant)
    name, experiment = tenant.model_name("conversion"), experiment_id(client, tenant)
    half, whole = (client.create_run(experiment, tags={DIGEST: word}).info.run_id for word in ("half", "whole"))
    beside = client.create_run(experiment, tags={DIGEST: "half", "origin": DVC}).info.run_id
    foreign = client.create_run(experiment, tags={"by": "somebody else"}).info.run_id
    client.create_registered_model(name)
    client.create_model_version(name, source=f"{client.get_run(whole).info.artifact_uri}/model", run_id=whole)
    end_halves(client, tenant)
    status = {run: client.get_run(run).info.status for run in (half, whole, beside, foreign)}
    assert status == {half: "KILLED", whole: "FINISHED", beside: "RUNNING", foreign: "RUNNING"}
