"""`leadwise services`, and what the profile leaves behind."""

import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from pipelines.core.settings import SERVICES
from pipelines.features.apply import open_store, quiet
from tests.servers import Started

pytestmark = pytest.mark.slow
LEADWISE = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


@contextmanager
def living(home: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    environment = {**os.environ, "LEADWISE_SERVICES": str(home)}
    child = subprocess.Popen(
        [*LEADWISE, "services", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    assert line, child.communicate()[1]
    try:
        yield child, json.loads(line)
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGINT)
            child.communicate(timeout=60)


def test_it_starts_with_passwords_keeps_what_it_holds_and_leaves_nothing_running(
    var: Path, servers: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = servers.servers.home.with_name("mine")
    with living(home) as (child, told):
        kept = Path(told["settings"])
        assert kept == home / SERVICES
        assert kept.stat().st_mode & 0o077 == 0
        settings = json.loads(kept.read_text(encoding="utf-8"))
        secrets = {settings["s3_secret"], settings["catalog_url"].split(":")[2].split("@")[0]}
        family = psutil.Process(child.pid).children(recursive=True)
        assert {one.laddr.ip for process in family for one in process.net_connections() if one.status == "LISTEN"} == {
            "127.0.0.1"
        }
        assert not [s for s in secrets for process in family if s in " ".join(process.cmdline())]
        with psycopg.connect(settings["catalog_url"], autocommit=True) as session:
            session.execute("CREATE TABLE kept (n int)")
        environment = {**os.environ, "LEADWISE_SERVICES": str(home)}
        again = subprocess.run([*LEADWISE, "services"], env=environment, capture_output=True, text=True, check=False)
        assert again.returncode == 1
        assert "run already" in again.stderr
    assert child.returncode == 0
    assert not [process for process in family if process.is_running()]
    with living(home) as (child, _):
        assert json.loads(kept.read_text(encoding="utf-8")) == settings
        with psycopg.connect(settings["catalog_url"]) as session:
            session.execute("SELECT n FROM kept")


def test_no_password_or_key_lies_in_any_file_but_the_one(demo: Any, services: Started) -> None:
    told = services.told
    secrets = [services.password, told["s3_key"], told["s3_secret"], told["online_url"].split(":")[2].split("@")[0]]
    forms = [form for secret in secrets for form in (secret.encode(), b64encode(secret.encode())[:-4])]
    folders = [demo.settings.var, services.servers.home / "s3", services.servers.home / "logs"]
    found = [path for folder in folders for path in folder.rglob("*") if path.is_file() and _holds(path, forms)]
    assert found == []
    assert _holds(services.servers.home / SERVICES, forms)  # the search finds one


def test_nothing_of_lake_catalog_mlflow_or_online_store_lies_on_this_machine(demo: Any) -> None:
    for name in ("lake", "catalog.db", "feast/online.db"):
        assert not (demo.home / name).exists()
    assert not (demo.settings.mlflow_dir / "mlflow.db").exists()


def test_a_stock_feast_client_reads_history_by_its_registry_and_the_variables_of_pyiceberg(demo: Any) -> None:
    with quiet():
        names = sorted(view.name for view in open_store(demo).list_feature_views())
    code = (
        "import sys; from feast import FeatureStore; s = FeatureStore(repo_path=sys.argv[1]);"
        "print(sum(len(list(v.batch_source.get_table_column_names_and_types(s.config))) > 3"
        " for v in s.list_feature_views()))"
    )
    prefix = f"PYICEBERG_CATALOG__{demo.catalog_name.upper().replace('-', '_')}__"
    properties = demo.catalog_properties
    variables = {
        prefix + key.upper().replace(".", "__").replace("-", "_"): value
        for key, value in properties.items()
        if key == "uri" or key.startswith("s3.")
    }
    from pipelines.features.address import SECRET

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(demo.feast_dir)],
        env={**{k: v for k, v in os.environ.items() if not k.startswith("LEADWISE")}, **variables, SECRET: "x"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(len(names))


def _holds(path: Path, forms: list[bytes]) -> bool:
    data = path.read_bytes()
    return any(form in data for form in forms)
