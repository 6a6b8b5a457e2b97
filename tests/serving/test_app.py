"""The endpoint, without a server: what it answers to good and bad requests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import NotReady
from pipelines.core.tenant import Tenant
from pipelines.deliver.table import TABLE
from pipelines.lake.catalog import Lake
from pipelines.registry.champion import load_champion
from serving.app import LARGEST
from tests.conftest import MakeTenant
from tests.serving.asgi import application, post, request, together

SECRET = "zz-5512345678"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def app(demo: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return application(demo, tmp_path_factory.mktemp("serving"))


@pytest.fixture(scope="module")
def known(demo: Tenant) -> dict[str, float]:
    rows = Lake(demo).read(TABLE, columns=["entity_id", "probability"])
    return dict(zip(rows["entity_id"].to_pylist(), rows["probability"].to_pylist(), strict=True))


def test_scores_of_known_leads_in_order(app: Any, demo: Tenant, known: dict[str, float]) -> None:
    names = sorted(known)[:5][::-1]
    moment = demo.whole_run.as_of.isoformat()

    answer = post(app, "/v1/score", {"leads": [{"lead_id": name, "context": {"event_time": moment}} for name in names]})

    assert answer.status == 200, answer.text
    found = answer.json()["scores"]
    assert [one["lead_id"] for one in found] == names
    assert [one["probability"] for one in found] == pytest.approx([known[name] for name in names], abs=1e-9)
    keys = {"lead_id", "probability", "interval", "tier", "model_version", "features_age"}
    keys -= {"interval"} if load_champion(demo, "conversion").tags["kind"] != "scorer" else set()
    assert all(set(one) == keys for one in found)
    assert {one["features_age"] for one in found} == {0.0}  # asked of the instant up to which the store was filled


def test_a_regression_answers_with_its_value(demo: Tenant, tmp_path: Path) -> None:
    rows = Lake(demo).read(TABLE, columns=["entity_id", "quality"]).slice(0, 5).to_pylist()
    moment = demo.whole_run.as_of.isoformat()
    leads = [{"lead_id": row["entity_id"], "context": {"event_time": moment}} for row in rows]

    answer = post(application(demo, tmp_path, "quality"), "/v1/score", {"leads": leads})

    assert answer.status == 200, answer.text
    found = answer.json()["scores"]
    assert [one["value"] for one in found] == pytest.approx([row["quality"] for row in rows], abs=1e-9)
    assert all({"lead_id", "value", "model_version", "features_age"} <= set(one) for one in found)


def test_a_moment_in_another_zone_is_the_same_moment(app: Any, demo: Tenant, known: dict[str, float]) -> None:
    lead = min(known)
    end = demo.whole_run.as_of
    moments = [
        end.isoformat(),
        end.isoformat() + "Z",
        end.isoformat() + "+00:00",
        end.replace(hour=6).isoformat() + "+06:00",
    ]

    found = [
        post(app, "/v1/score", {"leads": [{"lead_id": lead, "context": {"event_time": moment}}]}).json()["scores"][0]
        for moment in moments
    ]

    assert all(one == found[0] for one in found)


def test_without_a_moment_it_is_now(app: Any, known: dict[str, float]) -> None:
    answer = post(app, "/v1/score", {"leads": [{"lead_id": min(known)}]})

    assert answer.status == 200
    assert 0 < answer.json()["scores"][0]["probability"] < 1


def test_an_unknown_lead_is_told_by_its_place(app: Any, known: dict[str, float]) -> None:
    answer = post(app, "/v1/score", {"leads": [{"lead_id": min(known)}, {"lead_id": SECRET}]})

    assert answer.status == 404
    assert "position 1" in answer.json()["message"]
    assert SECRET not in answer.text


def test_given_features_are_scored_as_those_of_the_store(app: Any, demo: Tenant, known: dict[str, float]) -> None:
    """What a stock Feast client gives, handed over by the caller."""
    from pipelines.features.online import read_online

    names, moment = sorted(known)[:3], demo.whole_run.as_of
    stored = read_online(demo, "conversion", [{"lead_id": name, "event_time": moment} for name in names])
    features = [name for name, _ in load_champion(demo, "conversion").features]
    leads = [{"features": {name: stored[name][place] for name in features}} for place in range(3)]

    found = post(app, "/v1/score", {"leads": leads, "reasons": 2}).json()["scores"]

    assert [one["probability"] for one in found] == pytest.approx([known[name] for name in names], abs=1e-9)
    for one in found:
        assert not {"lead_id", "features_age", "cold"} & set(one)
        assert len({reason["feature"] for reason in one["reasons"]} & set(features)) == 2
        assert abs(one["reasons"][0]["moved"]) >= abs(one["reasons"][1]["moved"]) > 0


def test_a_cold_lead_gets_a_score_where_that_is_wanted(demo: Tenant, known: dict[str, float], tmp_path: Path) -> None:
    params = demo.params.model_copy(update={"serve": demo.params.serve.model_copy(update={"cold": True})})

    found = post(
        application(replace(demo, params=params), tmp_path),
        "/v1/score",
        {"leads": [{"lead_id": "x"}, {"lead_id": min(known)}]},
    )

    one, other = found.json()["scores"]
    assert one["cold"] is True
    assert 0 < one["probability"] < 1
    assert "features_age" not in one
    assert "cold" not in other


BAD: list[Any] = [
    {},
    [],
    SECRET,
    {"leads": []},
    {"leads": [{}]},
    {"leads": [{"lead_id": 5}]},
    {"leads": [{"lead_id": ""}]},
    {"leads": [{"lead_id": SECRET, SECRET: 1}]},
    {"leads": [{"lead_id": SECRET, "context": {"event_time": SECRET}}]},
    {"leads": [{"lead_id": SECRET, "context": {SECRET: 1}}]},
    {"leads": [{"lead_id": SECRET}] * 1001},
    {"leads": [{"lead_id": SECRET, "features": {}}]},
    {"leads": [{"features": {SECRET: 1}}]},
    {"leads": [{"features": {"messages_7d": SECRET}}]},
    {"leads": [{"features": {"messages_7d": [1]}}]},
    {"leads": [{"features": {"messages_7d": 10**400}}]},
    {"leads": [{"features": {"last_message_at": SECRET}}]},
    {"leads": [{"features": {"last_message_at": 10**400}}]},
    {"leads": [{"lead_id": SECRET}], "reasons": 21},
    {"leads": [{"lead_id": SECRET, "context": {"event_time": "1969-12-31T23:59:59Z"}}]},
]


@pytest.mark.parametrize("body", BAD)
def test_a_bad_body_is_one_sentence_that_repeats_nothing(app: Any, body: Any) -> None:
    answer = post(app, "/v1/score", body)

    assert answer.status == 422
    assert set(answer.json()) == {"error_code", "message", "request_id"}
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{" + SECRET.encode(), "application/json", 422),
        (b'{"leads": [{"lead_id": NaN}]}', "application/json", 422),
        (b'{"leads": [{"lead_id": "\xff"}]}', "application/json", 422),
        (b"[" * 200_000, "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json; charset=latin-1", 415),
        (b"{}", None, 415),
        (b" " * (LARGEST + 1), "application/json", 413),
    ],
)
def test_no_json_is_one_sentence(app: Any, body: bytes, kind: str | None, status: int) -> None:
    answer = request(app, "POST", "/v1/score", body, kind)

    assert answer.status == status
    assert set(answer.json()) == {"error_code", "message", "request_id"}
    assert SECRET not in answer.text


def test_who_comes_when_too_many_wait_is_told_to_come_again(
    demo: Tenant, known: dict[str, float], tmp_path: Path
) -> None:
    """Of twenty at once two may wait; the others are answered at once, and later nobody is turned away."""
    serve = demo.params.serve.model_copy(update={"queue": 2})
    app = application(replace(demo, params=demo.params.model_copy(update={"serve": serve})), tmp_path)
    body = json.dumps({"leads": [{"lead_id": min(known)}]}).encode()

    def figure(name: str) -> float:
        lines = [line for line in request(app, "GET", "/metrics").text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    names = (
        'leadwise_request_seconds_count{route="/v1/score",status="429"}',
        'leadwise_rows_total{model_version="1"}',
        "leadwise_score_count",
    )
    before = [figure(name) for name in names]
    answers = together(app, [("POST", "/v1/score", body)] * 20)

    statuses = [one.status for one in answers]
    assert statuses == [200] * 2 + [429] * 18
    assert "ask again" in answers[statuses.index(429)].json()["message"]
    assert post(app, "/v1/score", json.loads(body)).status == 200
    assert [figure(name) - was for name, was in zip(names, before, strict=True)] == [18, 3, 3]


def test_another_method_is_one_sentence(app: Any) -> None:
    assert request(app, "GET", "/v1/score").status == 405
    assert request(app, "POST", "/health").status == 405


def test_a_store_that_is_away_is_told_and_comes_back(demo: Tenant, known: dict[str, float], tmp_path: Path) -> None:
    app = application(demo, tmp_path)
    path = demo.feast_dir / "online.db"
    if not path.is_file():
        pytest.skip("the online store is no file")
    lead = {"leads": [{"lead_id": min(known)}]}
    assert post(app, "/v1/score", lead).status == 200  # it is open now
    path.rename(path.with_suffix(".away"))
    try:
        answer = post(app, "/v1/score", {"leads": [{"lead_id": min(known)}]})
        assert request(app, "GET", "/ready").status == 503
        assert request(app, "GET", "/health").status == 200
    finally:
        path.with_suffix(".away").rename(path)
    assert answer.status == 503
    assert "ask again" in answer.json()["message"]
    assert post(app, "/v1/score", {"leads": [{"lead_id": min(known)}]}).status == 200


def test_mlflow_protocol(app: Any, demo: Tenant, known: dict[str, float]) -> None:

    champion = load_champion(demo, "conversion")
    example = champion.model.input_example
    assert example is not None
    wanted = champion.model.predict(example)
    body = {"dataframe_split": json.loads(example.head(3).to_json(orient="split"))}

    answer = post(app, "/invocations", body)

    assert request(app, "GET", "/ping").status == 200
    assert request(app, "GET", "/version").status == 200
    assert answer.status == 200, answer.text
    assert answer.json()["predictions"] == pytest.approx(list(wanted[:3]), abs=1e-9)


def test_errors_of_mlflow_repeat_nothing(app: Any) -> None:
    bodies = [
        {"dataframe_split": {"columns": [SECRET], "data": [[SECRET]]}},
        {"dataframe_records": [{SECRET: SECRET}]},
        {SECRET: SECRET},
        SECRET,
    ]
    for body in bodies:
        answer = post(app, "/invocations", body)
        assert answer.status == 400
        assert SECRET not in answer.text
        assert "Traceback" not in answer.text
    assert request(app, "POST", "/invocations", b"{}", kind=None).status == 415


def test_health_names_the_model(app: Any, demo: Tenant) -> None:
    answer = request(app, "GET", "/health").json()

    assert answer["status"] == "ok"
    assert answer["model"] == "demo.conversion"


def test_no_champion_is_one_sentence(make_tenant: MakeTenant, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="has no champion"):
        application(make_tenant(), tmp_path)
