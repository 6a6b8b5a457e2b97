"""What `leadwise up` starts, and what of it others may see."""

import json
import stat
from pathlib import Path

import pytest

from pipelines.cli.live.services import PASSWORDS, Plan, password
from pipelines.core.settings import Settings

SECRET = "t0p-s3cret"


def plan(folder: Path, mlflow: str | None = None) -> Plan:
    (folder / "airflow").mkdir(parents=True, exist_ok=True)
    return Plan(Settings(var=folder, mlflow_uri=mlflow), 8080, 5000, 60)


def test_no_command_line_holds_a_password(tmp_path: Path) -> None:
    made = plan(tmp_path, f"postgresql://leadwise:{SECRET}@db/mlflow")
    assert made.services()[0].name == "mlflow"
    assert SECRET not in str([service.command for service in made.services()])
    assert made.environment()["MLFLOW_BACKEND_STORE_URI"].count(SECRET) == 1
    assert made.settings.tracking_shown == "postgresql://leadwise:***@db/mlflow"


def test_a_server_that_is_there_is_used_and_shown_without_its_login(tmp_path: Path) -> None:
    made = plan(tmp_path, f"http://leadwise:{SECRET}@mlflow.example:5000/")
    assert made.mlflow == "http://mlflow.example:5000"
    assert "mlflow" not in [service.name for service in made.services()]


def test_everything_is_bound_to_loopback(tmp_path: Path) -> None:
    made = plan(tmp_path)
    for service in made.services():
        if "--host" in service.command:
            assert service.command[service.command.index("--host") + 1] == "127.0.0.1"
        else:
            assert "--skip-serve-logs" in service.command or service.name == "dag-processor"


def test_secrets_are_made_once(tmp_path: Path) -> None:
    first, second = plan(tmp_path).environment(), plan(tmp_path).environment()
    for name in ("AIRFLOW__API__SECRET_KEY", "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__CORE__FERNET_KEY"):
        assert first[name] == second[name]
        assert len(first[name]) >= 40


@pytest.mark.parametrize("before", [None, "", "{}", '{"someone": "else"}'])
def test_a_password_is_made_once_and_others_stay(tmp_path: Path, before: str | None) -> None:
    kept = tmp_path / PASSWORDS
    if before is not None:
        kept.write_text(before)
    made = password(tmp_path)
    assert made == password(tmp_path)
    assert json.loads(kept.read_text()) == {**json.loads(before or "{}"), "admin": made}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
