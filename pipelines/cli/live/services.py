"""The processes of a living Airflow: their commands, their environment, their secrets."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.cli.airflow_run import environment
from pipelines.cli.live.ports import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipelines.core.settings import Settings

USER = "admin"
PASSWORDS = "simple_auth_manager_passwords.json.generated"


@dataclass(frozen=True)
class Service:
    """One process.

    Attributes:
        name: of it, and of its log.
        command: what is run.
        user: who runs it; None is whoever runs us.
        ending: the signal that asks it to end.
    """

    name: str
    command: tuple[str, ...]
    user: str | None = None
    ending: signal.Signals = signal.SIGTERM


@dataclass(frozen=True)
class Plan:
    """What `leadwise up` starts.

    Attributes:
        settings: of the machine.
        airflow_port: of the API server and its UI.
        mlflow_port: of MLflow's UI.
        day_seconds: how long a day of a simulated market takes.
    """

    settings: Settings
    airflow_port: int
    mlflow_port: int
    day_seconds: int
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def airflow(self) -> str:
        """Address of Airflow's UI."""
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def mlflow(self) -> str:
        """Address of MLflow's UI: ours, or the server that was configured."""
        told = self.settings.mlflow_uri
        if told and self.has_server:
            return re.sub(r"//[^/@]*@", "//", told).rstrip("/")  # it is shown, and stands in links: without a login
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def has_server(self) -> bool:
        """Whether an MLflow server was configured, so that none has to be started."""
        return (self.settings.mlflow_uri or "").startswith("http")

    @property
    def logs(self) -> Path:
        """Folder of the processes' own logs."""
        return self.settings.airflow_dir / "logs" / "up"

    def services(self) -> list[Service]:
        """The processes, in the order in which they start."""
        airflow = (sys.executable, "-m", "airflow")
        api = ("api-server", "--host", HOST, "--port", str(self.airflow_port), "--workers", "1")
        found = [
            Service("api-server", (*airflow, *api)),
            Service("dag-processor", (*airflow, "dag-processor")),
            Service("scheduler", (*airflow, "scheduler", "--skip-serve-logs")),
            Service("triggerer", (*airflow, "triggerer", "--skip-serve-logs")),
        ]
        return found if self.has_server else [self._mlflow_server(), *found]

    def _mlflow_server(self) -> Service:
        kept = ("--artifacts-destination", (self.settings.mlflow_dir / "artifacts").as_uri())
        where = ("--host", HOST, "--port", str(self.mlflow_port), "--workers", "1")
        return Service("mlflow", (sys.executable, "-m", "mlflow", "server", *kept, *where))

    def environment(self) -> dict[str, str]:
        """What every process finds in its environment."""
        held = _secrets(self.settings.airflow_dir)
        options = {
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": min(4, self.settings.threads + 1),
            "CORE__EXECUTION_API_SERVER_URL": f"{self.airflow}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__FERNET_KEY": held["fernet_key"],
            "API__BASE_URL": self.airflow,
            "API__HOST": HOST,
            "API__PORT": self.airflow_port,
            "API__SECRET_KEY": held["secret_key"],
            "API_AUTH__JWT_SECRET": held["jwt_secret"],
            # A scheduler that was killed is noticed, and its tasks taken over, within a minute instead of five.
            "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 20,
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 60,
            "LOGGING__COLORED_CONSOLE_LOG": False,
        }
        return {
            **os.environ,
            **environment(self.settings),
            **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
            "LEADWISE_AIRFLOW_UI": self.airflow,
            "LEADWISE_MLFLOW_UI": self.mlflow,
            "LEADWISE_DAY_SECONDS": str(self.day_seconds),
            "LEADWISE_LIVE_SINCE": self.began.isoformat(),
            "MLFLOW_BACKEND_STORE_URI": self.settings.tracking_uri,  # not as an argument, which everybody could read
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }


def _secrets(home: Path) -> dict[str, str]:
    """Keys of this installation, made once and readable by nobody else."""
    import base64

    kept = home / "secrets.json"
    if not kept.is_file():
        made = {name: secrets.token_urlsafe(48) for name in ("secret_key", "jwt_secret")}
        made["fernet_key"] = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        write_private(kept, made)
    found: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def password(home: Path) -> str:
    """The password of the user `admin`, made once; Airflow reads the file too."""
    kept = home / PASSWORDS
    known: dict[str, str] = {}
    if kept.is_file() and kept.stat().st_size:
        known = json.loads(kept.read_text(encoding="utf-8"))
    if USER not in known:
        known[USER] = secrets.token_urlsafe(12)
        write_private(kept, known)
    return known[USER]


def write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(content), encoding="utf-8")
    fresh.replace(path)
