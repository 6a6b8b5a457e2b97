"""A living Airflow, as `leadwise up` starts it: the real scheduler, on a small market and on dropped files."""

import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli.chain import CHAIN, PlainRunner
from pipelines.core.errors import NotReady
from pipelines.core.interval import Interval, parse_day
from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
from pipelines.registry.champion import load_champion
from pipelines.registry.ledger import Ledger
from pipelines.registry.status import model_status
from pipelines.registry.tracking import connect
from tests.conftest import REAL_DATA, write_params
from tests.dags.living import Living, members, until
from tests.gates import EASY
from tests.pipelines.collect.conftest import PASSWORD, PostgresServer
from tests.tables import contents

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUICK = {"lightgbm": {"num_boost_round": 40}, "xgboost": {"num_boost_round": 40}}
START, END = "2026-01-01", "2026-02-10"
LAST_DAYS = ("2026-02-08", "2026-02-09")
TABLES = ("leads", "validations", "campaigns", "messages", "conversions", "market")
PARAMS = {
    "train": {**QUICK, "min_rows": 100},
    "promotion": {"gate": EASY},
    "tenants": {
        "demo": {
            "run": {"start": START, "end": END, "dates": []},
            "simulate": {"leads": 900, "days": 40, "ahead_days": 5},
        },
        "drop": {
            "use_case": "sms",
            "run": {"start": START, "end": END, "dates": []},
            "sources": {name: {"path": f"{{home}}/inbox/{name}/{{date}}.parquet", "sparse": True} for name in TABLES},
        },
        "asked": {
            "use_case": "sms",
            "run": {"start": START, "end": END, "dates": []},
            "sources": {name: {"path": f"{{home}}/inbox/{name}/{{date}}.parquet", "sparse": True} for name in TABLES},
            "promotion": {"review": "human"},
        },
        "asks": {
            "use_case": "sms",
            "run": {"start": START, "end": END, "dates": []},
            "sources": {
                name: {
                    "connection": "warehouse",
                    "query": f"SELECT * FROM {name} WHERE received_at >= :start AND received_at < :end",
                    "sparse": True,
                }
                for name in TABLES
            },
        },
    },
}


def tenant(name: str, var: Path) -> Tenant:
    """A tenant whose state lies under `var`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEADWISE_VAR", str(var))
        patch.setenv("LEADWISE_PARAMS", str(var.parent / "params.yaml"))
        return Tenant.load(name, get_settings())


def days(start: str, end: str) -> Interval:
    return Interval.of_days(parse_day(start), parse_day(end))


def plainly(whose: Tenant, *stretches: Interval) -> dict[str, list[str]]:
    """The tables after the steps ran without Airflow."""
    for stretch in stretches:
        for dag in CHAIN:
            PlainRunner(whose).run(dag, stretch)
    return contents(whose, plain_ids=True)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    home = tmp_path_factory.mktemp("live")
    write_params(home / "params.yaml", PARAMS)
    own = {
        "LEADWISE_VAR": str(home / "var"),
        "LEADWISE_DATA": str(REAL_DATA),
        "LEADWISE_PARAMS": str(home / "params.yaml"),
    }
    living = Living({**os.environ, **own}, home / "told.txt")
    living.start("--day-seconds", "86400", "--airflow-port", "18080", "--mlflow-port", "15000")
    yield living
    sessions = living.sessions()
    assert members(sessions)
    code = living.stop()
    assert code == 0, living.told.read_text()
    assert not members(sessions)
    assert "nothing is left running" in living.told.read_text()


@pytest.fixture(scope="module")
def dropped(live: Living) -> Tenant:
    """Files dropped into an inbox, and nothing triggered but `ingest`: the history, without its last two days."""
    demo, drop = tenant("demo", live.var), tenant("drop", live.var)
    for name in TABLES:
        shutil.copytree(demo.source_dir / name, drop.home / "inbox" / name)
        for file in (drop.home / "inbox" / name).glob("*.parquet"):
            if file.stem >= END:  # the market lives on meanwhile
                file.unlink()
    done = live.leadwise(
        "airflow", "dags", "trigger", "drop_ingest", "--conf", f'{{"from": "{START}", "to": "{LAST_DAYS[0]}"}}'
    )
    assert done.returncode == 0, done.stderr
    until(lambda: Lake(drop).exists("watch.drift"), 240, "scores and drift of dropped files")
    live.calms_down("drop")
    return drop


def test_everything_listens_on_loopback_only(live: Living) -> None:
    listening = [
        connection.laddr.ip
        for process in psutil.Process(live.process.pid).children(recursive=True)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}


def test_secrets_are_their_owners_and_no_password_is_a_default(live: Living) -> None:
    for name in ("secrets.json", "simple_auth_manager_passwords.json.generated"):
        file = live.var / "airflow" / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = live.told.read_text()
    assert "user admin, password in " in told
    assert live.api._login["password"] not in told
    assert len(live.api._login["password"]) >= 12


def test_the_market_lives_from_its_history_to_the_scores_of_its_next_day(live: Living) -> None:
    demo = tenant("demo", live.var)

    def scored() -> set[str]:
        lake = Lake(demo)
        return (
            set(map(str, lake.read("deliver.scores")["date"].to_pylist())) if lake.exists("deliver.scores") else set()
        )

    until(lambda: {"2026-02-09", "2026-02-10"} <= scored(), 300, "scores of the history and of the next day")
    live.calms_down("demo")
    assert {str(day) for day in Lake(demo).read("watch.drift")["date"].to_pylist()} == {"2026-02-09", "2026-02-10"}
    scheduled = [run for run in live.runs("demo_ingest") if run["run_type"] == "scheduled"]
    assert [run["data_interval_start"][:10] for run in scheduled] == ["2026-02-10"]


def test_a_failed_task_says_why_at_the_end_of_its_log(live: Living) -> None:
    run = live.trigger("bank_features", conf={"from": "2008-05-05", "to": "2008-05-06"})
    assert live.run_ends("bank_features", run) == "failed"
    lines = [line for line in live.log("bank_features", run, "features") if not line.startswith("::")]
    assert lines[-1].startswith("bank_features.features failed: ")
    assert "validate" in lines[-1]
    assert "\n" not in lines[-1]


def test_a_good_task_tells_its_figures_in_its_log(live: Living, dropped: Tenant) -> None:
    [run] = [run for run in live.runs("drop_ingest") if run["run_type"] == "manual"]
    lines = live.log("drop_ingest", run["dag_run_id"], "validate")
    assert f"validate of drop: {START} to {LAST_DAYS[0]}" in lines
    assert any(line.strip().startswith("rows: ") for line in lines)


def test_runs_and_reports_link_to_one_another(live: Living, dropped: Tenant) -> None:
    import mlflow

    run = next(run["dag_run_id"] for run in live.runs("drop_train") if run["state"] == "success")
    where = f"/dags/drop_train/dagRuns/{run}/taskInstances/train/links"
    link = live.ask("GET", where)["extra_links"]["MLflow"]
    assert link.startswith(f"{live.addresses['mlflow']}/#/experiments/")
    client = mlflow.MlflowClient(f"sqlite:///{live.var / 'mlflow' / 'mlflow.db'}")
    back = client.get_run(link.rpartition("/")[2]).data.tags
    assert back["origin_name"] == f"drop_train / {run}"
    assert back["origin_url"].startswith(f"{live.addresses['airflow']}/dags/drop_train/runs/")
    monitored = live.runs("drop_monitor")[-1]["dag_run_id"]
    page = live.ask("GET", f"/dags/drop_monitor/dagRuns/{monitored}/taskInstances/monitor/links")["extra_links"][
        "Report"
    ]
    assert live.api._request("GET", page).text.lstrip().lower().startswith(("<!doctype html", "<html"))


def test_reports_are_for_those_who_are_logged_in_and_nothing_else_is_served(live: Living, dropped: Tenant) -> None:
    import httpx

    base = live.addresses["airflow"]
    assert httpx.get(f"{base}/leadwise/drop/data_docs/index.html", trust_env=False).status_code == 401
    assert live.api._request("GET", "/leadwise/drop/data_docs/index.html").status_code == 200
    for beyond in ("catalog.db", "data_docs/../catalog.db", "data_docs/..%2fcatalog.db", "%2e%2e/mlflow/mlflow.db"):
        assert live.api._request("GET", f"/leadwise/drop/{beyond}").status_code == 404


def test_a_source_finds_its_password_among_airflows_connections_and_no_log_shows_it(
    live: Living, dropped: Tenant
) -> None:
    from adbc_driver_postgresql import dbapi

    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: the path of a socket may have 107 characters
    server = PostgresServer(folder)
    with dbapi.connect(server.admin) as session, session.cursor() as cursor:
        for name in TABLES:
            files = sorted((dropped.home / "inbox" / name).glob("*.parquet"))
            cursor.adbc_ingest(name, pa.concat_tables(map(pq.read_table, files)))
        session.commit()
    address = server.url.replace("postgresql+psycopg", "postgres")
    done = live.leadwise("airflow", "connections", "add", "warehouse", "--conn-uri", address)
    assert done.returncode == 0, done.stderr
    run = live.trigger("asks_ingest", conf={"from": LAST_DAYS[1], "to": END})
    assert live.run_ends("asks_ingest", run) == "success"
    assert Lake(tenant("asks", live.var)).count("clean.messages") > 0
    for task in ("collect", "validate"):
        told = "\n".join(live.log("asks_ingest", run, task))
        assert PASSWORD not in told
        assert quote(PASSWORD, safe="") not in told
    live.calms_down("asks")
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def questions(live: Living) -> list[dict[str, Any]]:
    """What `asked_train` waits for."""
    found = live.ask("GET", "/dags/asked_train/dagRuns/~/hitlDetails?response_received=false")["hitl_details"]
    return [one for one in found if one["task_instance"]["state"] == "awaiting_input"]


def decide(live: Living, question: dict[str, Any], word: str, reason: str) -> None:
    one = question["task_instance"]
    time.sleep(8)  # no person is so quick: Airflow loses an answer while the process that asked is still ending
    where = f"/dags/asked_train/dagRuns/{one['dag_run_id']}/taskInstances/review/{one['map_index']}/hitlDetails"
    live.ask("PATCH", where, json={"chosen_options": [word], "params_input": {"reason": reason}})


def test_a_person_decides_in_airflow_and_the_ledger_says_who_and_why(live: Living, dropped: Tenant) -> None:
    asked = tenant("asked", live.var)
    shutil.copytree(dropped.home / "inbox", asked.home / "inbox")
    live.trigger("asked_ingest", conf={"from": START, "to": LAST_DAYS[0]})
    until(lambda: questions(live), 300, "a question")
    waiting = {target: model["waiting"] for target, model in model_status(asked).items() if model["waiting"]}
    until(lambda: len(questions(live)) == len(waiting), 60, "a question for each that passed")
    for question in questions(live):
        target = question["subject"].split(":")[0].removeprefix("asked.")
        assert f"[Verdict]({live.addresses['mlflow']}/#/experiments/" in question["body"]
        assert "| holdout | passed |" in question["body"]
        with pytest.raises(NotReady, match=f"version {waiting[target]} waits for a person"):
            load_champion(asked, target)
        decide(live, question, *(("Approve", "seen") if target == "conversion" else ("Reject", "too thin")))
    [run] = live.runs("asked_train")
    assert live.run_ends("asked_train", run["dag_run_id"]) == "success"
    [entry] = Ledger(asked).entries("conversion")
    assert (entry.by, entry.why, entry.evidence["review"]) == ("admin", "seen", "human")
    live.calms_down("asked")
    assert Lake(asked).exists("deliver.scores")

    live.trigger("asked_ingest", conf={"from": LAST_DAYS[0], "to": LAST_DAYS[1]})
    for question in until(lambda: questions(live), 300, "a question on the next day"):
        decide(live, question, "Reject", "too thin")
    live.calms_down("asked")
    assert len(Ledger(asked).entries("conversion")) == 1
    told = connect(asked).get_model_version("asked.conversion", "2").tags
    assert (told["promotion"], told["promotion.by"], told["promotion.reason"]) == ("rejected", "admin", "too thin")


def test_a_backfill_gives_the_tables_of_the_bare_steps(live: Living, dropped: Tenant, tmp_path: Path) -> None:
    first, last = LAST_DAYS
    done = live.leadwise(
        "airflow", "backfill", "create", "--dag-id", "drop_ingest", "--from-date", first, "--to-date", last
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    until(lambda: len([r for r in live.runs("drop_ingest") if r["run_type"] == "backfill"]) == 2, 60, "backfill runs")
    live.calms_down("drop")
    assert {run["state"] for run in live.runs("drop_ingest") if run["run_type"] == "backfill"} == {"success"}
    shutil.copy(live.var.parent / "params.yaml", tmp_path / "params.yaml")
    bare = tenant("drop", tmp_path / "var")
    shutil.copytree(dropped.home / "inbox", bare.home / "inbox")
    wanted = plainly(bare, days(START, first), days(first, last), days(last, END))
    found = contents(dropped, plain_ids=True)
    assert found.keys() == wanted.keys()
    for name in wanted:
        assert found[name] == wanted[name], name


def test_clearing_and_running_by_hand_change_no_table(live: Living, dropped: Tenant) -> None:
    before = contents(dropped)
    run = live.trigger("drop_ingest", logical_date=f"{END}T06:00:00Z")  # works on the day that ended before it
    assert live.run_ends("drop_ingest", run) == "success"
    live.calms_down("drop")
    assert f"validate of drop: {LAST_DAYS[1]} to {END}" in live.log("drop_ingest", run, "validate")
    assert contents(dropped) == before
    body = {"dry_run": False, "dag_run_id": run, "task_ids": ["validate"], "only_failed": False}
    live.ask("POST", "/dags/drop_ingest/clearTaskInstances", json=body)
    assert live.run_ends("drop_ingest", run) == "success"
    live.calms_down("drop")
    tries = live.ask("GET", f"/dags/drop_ingest/dagRuns/{run}/taskInstances/validate")["try_number"]
    assert tries == 2
    assert contents(dropped) == before


def test_a_paused_dag_waits_and_catches_up_with_the_next_days(live: Living, dropped: Tenant) -> None:
    before, runs = contents(dropped), len(live.runs("drop_features"))
    live.ask("PATCH", "/dags/drop_features", json={"is_paused": True})
    paused = live.trigger("drop_ingest", conf={"from": LAST_DAYS[0], "to": LAST_DAYS[1]})
    assert live.run_ends("drop_ingest", paused) == "success"
    time.sleep(3)
    assert len(live.runs("drop_features")) == runs
    live.ask("PATCH", "/dags/drop_features", json={"is_paused": False})
    live.trigger("drop_ingest", conf={"from": LAST_DAYS[1], "to": END})
    until(lambda: len(live.runs("drop_features")) == runs + 1, 60, "features go on")
    live.calms_down("drop")
    lines = live.log("drop_features", live.runs("drop_features")[-1]["dag_run_id"], "features")
    told = [line for line in lines if line.startswith("features of drop: ")]
    assert told == [f"features of drop: {a} to {b}" for a, b in (LAST_DAYS, (LAST_DAYS[1], END))]
    assert contents(dropped) == before


def test_a_scheduler_killed_in_the_middle_is_started_again_and_the_run_ends_well(live: Living, dropped: Tenant) -> None:
    before = contents(dropped)
    run = live.trigger("drop_ingest", conf={"from": START, "to": END})
    where = f"/dags/drop_ingest/dagRuns/{run}/taskInstances"
    until(
        lambda: any(task["state"] == "running" for task in live.ask("GET", where)["task_instances"]),
        60, "a task is at work", pause=0.1,
    )  # fmt: skip
    [scheduler] = [child for child in psutil.Process(live.process.pid).children() if "scheduler" in child.cmdline()]
    scheduler.send_signal(signal.SIGKILL)
    assert live.run_ends("drop_ingest", run, 300) == "success"
    assert "scheduler ended (killed by SIGKILL) and is started again" in live.told.read_text()
    live.calms_down("drop")
    assert contents(dropped) == before


def test_a_second_one_and_a_run_beside_it_are_refused_in_one_sentence(live: Living) -> None:
    for words, said in ((("up",), "Airflow is up already"), (("run", "--tenant", "demo"), "start demo_ingest there")):
        done = live.leadwise(*words)
        assert done.returncode == 1
        assert live.addresses["airflow"] in done.stderr
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
