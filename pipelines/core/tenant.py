"""The unit of everything: no path, table or model name is put together anywhere else."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.core.errors import ConfigError, nearest
from pipelines.core.interval import Interval
from pipelines.core.params import Source, TenantParams, load_params
from pipelines.core.settings import Settings, get_settings

# Seconds after which an S3 server that says nothing is given up, and asked again by the client's own patience.
_PATIENCE = {"connect-timeout": "5", "request-timeout": "30"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


@dataclass(frozen=True)
class Tenant:
    """A customer of the platform: a use case, its sources, and everything that is kept for it."""

    name: str
    params: TenantParams
    settings: Settings

    @classmethod
    def load(cls, name: str, settings: Settings | None = None) -> "Tenant":
        """Read the tenant `name` from the parameter file.

        Raises:
            ConfigError: an unknown tenant or use case (with the nearest right one), or a wrong parameter.
        """
        settings = settings or get_settings()
        every = load_params(settings.params)
        if name not in every:
            raise ConfigError(f"there is no tenant '{name}' in {settings.params}: {nearest(name, every)}")
        if not _NAME.fullmatch(name):
            raise ConfigError(f"'{name}' is no tenant name: use lower-case letters, digits and _, letters first")
        tenant = cls(name, every[name], settings)
        if not tenant.contracts_dir.is_dir():
            known = [path.name for path in settings.expectations.glob("[a-z]*") if path.is_dir()]
            raise ConfigError(
                f"tenant '{name}' has the use case '{tenant.use_case}', for which there is no folder in"
                f" {settings.expectations}: {nearest(tenant.use_case, known)}"
            )
        return tenant

    @classmethod
    def all(cls, settings: Settings | None = None) -> "list[Tenant]":
        """Every tenant of the parameter file, in its order."""
        settings = settings or get_settings()
        return [cls.load(name, settings) for name in load_params(settings.params)]

    @property
    def use_case(self) -> str:
        """Name of the use case."""
        return self.params.use_case

    @cached_property
    def home(self) -> Path:
        """Folder of all the tenant's state, absolute."""
        return self.settings.var.absolute() / self.name

    @property
    def source_dir(self) -> Path:
        """Where the simulator writes its exports."""
        return self.home / "source"

    @property
    def lake_dir(self) -> Path:
        """Folder of the Iceberg tables where the lake is no S3 server's."""
        return self.home / "lake"

    @property
    def lake_url(self) -> str:
        """Warehouse of the Iceberg tables."""
        told = self.settings.lake_url
        return f"{told.rstrip('/')}/{self.name}" if told else f"file://{self.lake_dir}"

    @property
    def catalog_uri(self) -> str:
        """SQLAlchemy URL of the Iceberg catalog, with its password; a shared one holds all tenants', by name."""
        return self.settings.catalog_url or f"sqlite:///{self.home / 'catalog.db'}"

    @property
    def catalog_name(self) -> str:
        """Name of the Iceberg catalog; a server's can be configured by PyIceberg's variables, which know no _."""
        return self.name.replace("_", "-") if self.served else self.name

    @property
    def catalog_properties(self) -> dict[str, str]:
        """What PyIceberg has to know of the catalog and the files, with passwords and keys: for no file and no log."""
        settings = self.settings
        found = {"uri": self.catalog_uri, "warehouse": self.lake_url, "pool_pre_ping": str(bool(settings.catalog_url))}
        if settings.lake_url:
            keys = {"endpoint": settings.s3_endpoint, "region": settings.s3_region, **_PATIENCE}
            keys |= {"access-key-id": settings.s3_key, "secret-access-key": settings.s3_secret}
            found |= {f"s3.{key}": value for key, value in keys.items() if value is not None}
        return found

    @property
    def served(self) -> bool:
        """Whether lake or catalog are a server's, so that nothing of this machine tells what there is."""
        return bool(self.settings.lake_url or self.settings.catalog_url)

    @property
    def feast_dir(self) -> Path:
        """A Feast repository: `feature_store.yaml`, registry, online store."""
        return self.home / "feast"

    @property
    def online_mark(self) -> Path:
        """A text with the instant up to which every view is online, for those who don't load Feast."""
        return self.feast_dir / "online_until.txt"

    @property
    def audience_dir(self) -> Path:
        """Scored audiences, one folder a date."""
        return self.home / "audience"

    @property
    def reports_dir(self) -> Path:
        """Drift reports, one folder a date."""
        return self.home / "reports"

    @property
    def docs_dir(self) -> Path:
        """Great Expectations' project, with its Data Docs."""
        return self.home / "data_docs"

    @property
    def forgotten_key(self) -> Path:
        """Secret that digests of forgotten phones are keyed with."""
        return self.home / "secrets" / "forgotten.key"

    @property
    def contracts_dir(self) -> Path:
        """Contracts of the use case."""
        return self.settings.expectations / self.use_case

    @property
    def sql_dir(self) -> Path:
        """SQL of the use case."""
        return self.settings.feature_repo / self.use_case

    @property
    def feast_project(self) -> str:
        """Feast's project name."""
        return self.name

    @property
    def experiment(self) -> str:
        """MLflow's experiment name."""
        return self.name

    def model_name(self, target: str) -> str:
        """Name of the registered model of `target`."""
        return f"{self.name}.{target}"

    def dag_id(self, step: str) -> str:
        """Id of the DAG of `step`."""
        return f"{self.name}_{step}"

    def target(self, name: str | None = None) -> list[str]:
        """The targets to work on: `name`, or all of them.

        Raises:
            ConfigError: an unknown target, with the nearest right one.
        """
        known = list(self.params.train.targets)
        if name is None:
            return known
        if name not in known:
            raise ConfigError(f"tenant '{self.name}' has no target '{name}': {nearest(name, known)}")
        return [name]

    def source_path(self, source: Source, day: str = "") -> str:
        """The path or glob of `source`, with its placeholders filled in; `day` is an ISO day."""
        try:
            return (source.path or "").format(home=self.home, data=self.settings.data.absolute(), date=day)
        except (KeyError, IndexError, ValueError):
            raise ConfigError(
                f"the source path '{source.path}' of tenant '{self.name}' has an unknown placeholder:"
                " use {home}, {data} or {date}"
            ) from None

    @property
    def whole_run(self) -> Interval:
        """All the days of `leadwise run`."""
        return Interval.of_days(self.params.run.start, self.params.run.end)

    def runs(self) -> list[Interval]:
        """The stretches `leadwise run` goes over, one after the other."""
        edges = [self.params.run.start, *self.params.run.dates, self.params.run.end]
        return [Interval.of_days(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]
