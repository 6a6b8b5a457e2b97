"""Settings of the machine Leadwise runs on, from the environment (`LEADWISE_*`). Science lives in `params.yaml`."""

import os
import re
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseSettings):
    """Where things live and how much of the machine to use. Each field is read from `LEADWISE_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="LEADWISE_", extra="ignore", frozen=True)

    var: Path = Field(ROOT / "var", description="all state of a local run: one folder to look at, one to delete")
    data: Path = Field(ROOT / "data", description="where sources of other people's data are looked for")
    params: Path = Field(ROOT / "params.yaml", description="the file with every scientific number")
    expectations: Path = Field(ROOT / "expectations", description="contracts, one folder per use case")
    feature_repo: Path = Field(ROOT / "feature_repo", description="SQL, one folder per use case")
    threads: int = Field(os.cpu_count() or 1, ge=1, description="threads a single step may use")
    mlflow_uri: str | None = Field(None, description="MLflow tracking and registry; None is SQLite under var/mlflow")
    online_url: str | None = Field(
        None, description="Redis of the online store, redis://[user:password@]host:port/db; None is a file of SQLite"
    )
    airflow_ui: str | None = Field(
        None, description="address of Airflow's UI, for links from MLflow; `leadwise up` sets it"
    )
    mlflow_ui: str | None = Field(
        None, description="address of MLflow's UI, for links from Airflow; `leadwise up` sets it"
    )
    day_seconds: int = Field(60, ge=1, description="seconds that a day of a simulated market takes while Airflow lives")
    debug: bool = Field(False, description="show tracebacks instead of one sentence")

    @property
    def mlflow_dir(self) -> Path:
        """Folder of the local MLflow database and artifacts."""
        return self.var.absolute() / "mlflow"

    @property
    def mlflow_db(self) -> Path:
        """The local MLflow database."""
        return self.mlflow_dir / "mlflow.db"

    @property
    def airflow_dir(self) -> Path:
        """`AIRFLOW_HOME` of local runs."""
        return self.var.absolute() / "airflow"

    @property
    def tracking_shown(self) -> str:
        """The tracking URI as it may be shown: without a password."""
        return _shown(self.tracking_uri)

    @property
    def online_shown(self) -> str:
        """The online store as it may be shown: without a password."""
        return _shown(self.online_url or "SQLite")

    @property
    def tracking_uri(self) -> str:
        """The tracking URI in force: the configured one or SQLite under `var/mlflow`."""
        return self.mlflow_uri or f"sqlite:///{self.mlflow_db}"


def _shown(url: str) -> str:
    return re.sub(r"(://[^/@:]*):[^@/]*@", r"\1:***@", url)


def get_settings() -> Settings:
    """Read the settings from the environment of this moment."""
    return Settings()
