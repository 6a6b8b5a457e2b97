"""Settings of the machine Leadwise runs on, from the environment (`LEADWISE_*`). Science lives in `params.yaml`."""

import json
import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pipelines.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SERVICES = "services.json"
"""File in the folder of services: addresses and keys of what `make services` started, by setting."""

_SERVED = ("lake_url", "catalog_url", "mlflow_uri", "online_url")


class Settings(BaseSettings):
    """Where things live and how much of the machine to use. Each field is read from `LEADWISE_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="LEADWISE_", extra="ignore", frozen=True)

    var: Path = Field(ROOT / "var", description="all state of a local run: one folder to look at, one to delete")
    data: Path = Field(ROOT / "data", description="where sources of other people's data are looked for")
    params: Path = Field(ROOT / "params.yaml", description="the file with every scientific number")
    expectations: Path = Field(ROOT / "expectations", description="contracts, one folder per use case")
    feature_repo: Path = Field(ROOT / "feature_repo", description="SQL, one folder per use case")
    profile: Literal["local", "services"] = Field(
        "local", description="local: files and SQLite; services: what is not set itself comes from `make services`"
    )
    services: Path | None = Field(None, description="folder that `make services` writes; None is var/services")
    lake_url: str | None = Field(
        None, pattern=r"^s3://[^/]+(/.+)?$", description="s3://BUCKET/PREFIX of all lakes; None is var/<tenant>/lake"
    )
    s3_endpoint: str | None = Field(None, description="address of the lake's S3 server; None is AWS")
    s3_key: str | None = Field(None, repr=False, description="access key of the lake; None asks AWS's own environment")
    s3_secret: str | None = Field(None, repr=False, description="secret key of the lake")
    s3_region: str = Field("us-east-1", description="region of the lake's bucket")
    catalog_url: str | None = Field(
        None, repr=False, description="PostgreSQL of the Iceberg catalogs; None is SQLite, var/<tenant>/catalog.db"
    )
    threads: int = Field(os.cpu_count() or 1, ge=1, description="threads a single step may use")
    mlflow_uri: str | None = Field(
        None, repr=False, description="MLflow tracking and registry; None is SQLite under var/mlflow"
    )
    online_url: str | None = Field(
        None,
        repr=False,
        description="Redis of the online store, redis://[user:password@]host:port/db; None is a file of SQLite",
    )
    airflow_ui: str | None = Field(
        None, description="address of Airflow's UI, for links from MLflow; `leadwise up` sets it"
    )
    mlflow_ui: str | None = Field(
        None, description="address of MLflow's UI, for links from Airflow; `leadwise up` sets it"
    )
    day_seconds: int = Field(60, ge=1, description="seconds that a day of a simulated market takes while Airflow lives")
    debug: bool = Field(False, description="show tracebacks instead of one sentence")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment comes first, then what `make services` wrote, for the profile of that name."""
        return init_settings, env_settings, _Started(settings_cls)

    @model_validator(mode="after")
    def _served(self) -> "Settings":
        missing = [name for name in _SERVED if self.profile == "services" and getattr(self, name) is None]
        if missing:
            raise ConfigError(
                f"LEADWISE_PROFILE is 'services', and there is no {self.services_dir / SERVICES}: start"
                f" `make services` first, or set {', '.join(f'LEADWISE_{name.upper()}' for name in missing)}"
            )
        return self

    @property
    def services_dir(self) -> Path:
        """Folder of what `make services` starts: its data, logs and passwords."""
        return (self.services or self.var / "services").absolute()

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
        return without_password(self.tracking_uri)

    @property
    def online_shown(self) -> str:
        """The online store as it may be shown: without a password."""
        return without_password(self.online_url or "SQLite")

    @property
    def tracking_uri(self) -> str:
        """The tracking URI in force: the configured one or SQLite under `var/mlflow`."""
        return self.mlflow_uri or f"sqlite:///{self.mlflow_db}"


class _Started(PydanticBaseSettingsSource):
    """What `make services` wrote, for the profile `services`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Fields are read together."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        told = self.current_state
        if told.get("profile") != "services":
            return {}
        var = Path(told.get("var") or Settings.model_fields["var"].default)
        file = Path(told.get("services") or var / "services") / SERVICES
        return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def without_password(url: str) -> str:
    """`url` as it may be shown."""
    return re.sub(r"(://[^/@:]*):[^@/]*@", r"\1:***@", url)


def get_settings() -> Settings:
    """Read the settings from the environment of this moment."""
    return Settings()
