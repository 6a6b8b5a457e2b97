"""What the rules look at, read once and at most once; what can't be read is the finding of one rule, not of all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError, ContractError, LeadwiseError, nearest
from pipelines.core.settings import ROOT
from pipelines.doctor.rules import Unavailable

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.queries import Binder
    from pipelines.core.settings import Settings
    from pipelines.core.tenant import Tenant
    from pipelines.doctor.dagbag import Parsed
    from pipelines.doctor.sources import DagFile


@dataclass
class Facts:
    """The repository, its settings and its state as they are now.

    Attributes:
        tenant: the one tenant to look at; None is all of them.
        dags: folder of the DAG files.
        environment: variables of the process.
        root: folder of the repository.
    """

    tenant: str | None = None
    dags: Path = ROOT / "dags"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = ROOT

    @cached_property
    def settings(self) -> Settings:
        """The settings; Unavailable when one is wrong."""
        from pydantic import ValidationError

        from pipelines.core.settings import get_settings

        try:
            return get_settings()
        except (ConfigError, ValidationError):
            raise Unavailable from None

    @cached_property
    def document(self) -> dict[str, Any]:
        """`params.yaml` as it is written; Unavailable when it is no mapping with tenants."""
        import yaml

        try:
            data = yaml.safe_load(self.settings.params.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise Unavailable from None
        if not isinstance(data, dict) or not isinstance(data.get("tenants"), dict) or not data["tenants"]:
            raise Unavailable
        return data

    @cached_property
    def names(self) -> list[str]:
        """The tenants to look at, whether or not they can be read.

        Raises:
            ConfigError: the tenant that was asked for is not there.
        """
        known = [str(name) for name in self.document["tenants"]]
        if self.tenant is None:
            return known
        if self.tenant not in known:
            raise ConfigError(
                f"there is no tenant '{self.tenant}' in {self.settings.params}: {nearest(self.tenant, known)}"
            )
        return [self.tenant]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """TenantParams, or the LeadwiseError that reading them raised, by tenant."""
        from pipelines.core.params import tenant_params

        found: dict[str, Any] = {}
        for name in self.names:
            try:
                found[name] = tenant_params(self.settings.params, self.document, name)
            except LeadwiseError as error:
                found[name] = error
        return found

    @cached_property
    def tenants(self) -> list[Tenant]:
        """The tenants whose parameters can be read and whose use case has a folder."""
        from pipelines.core.tenant import Tenant

        every = [
            Tenant(name, params, self.settings)
            for name, params in self.parameters.items()
            if not isinstance(params, LeadwiseError)
        ]
        return [tenant for tenant in every if tenant.contracts_dir.is_dir()]

    def use_cases(self) -> Iterator[Tenant]:
        """One tenant for each use case: what its files say does not depend on whose they are."""
        seen: dict[str, Tenant] = {}
        for tenant in self.tenants:
            seen.setdefault(tenant.use_case, tenant)
        yield from seen.values()

    def contract_files(self) -> Iterator[tuple[Tenant, Path]]:
        """Every contract file of every use case, that of its audience too, with one tenant that has it."""
        for tenant in self.use_cases():
            for path in sorted([*tenant.contracts_dir.glob("*.yaml"), *tenant.contracts_dir.glob("*.yml")]):
                yield tenant, path

    def readable_contracts(self, tenant: Tenant) -> dict[str, Contract]:
        """Those contracts of a use case that can be read."""
        from expectations.contract import contract_files, load_contract

        found = {}
        for path in contract_files(tenant.contracts_dir):
            try:
                contract = load_contract(path)
            except ContractError:
                continue
            found[contract.name] = contract
        return found

    def contracts(self, tenant: Tenant) -> dict[str, Contract]:
        """All contracts of a use case; Unavailable when there is none or one can't be read: SQL needs them all."""
        from expectations.contract import contract_files

        paths = contract_files(tenant.contracts_dir)
        found = self.readable_contracts(tenant)
        if not paths or len(found) != len(paths):
            raise Unavailable
        return found

    def judged(self) -> Iterator[tuple[Tenant, dict[str, Contract]]]:
        """Use cases whose contracts can all be read, so that their SQL can be judged."""
        for tenant in self.use_cases():
            try:
                yield tenant, self.contracts(tenant)
            except Unavailable:
                continue

    def binder(self, contracts: Mapping[str, Contract]) -> Binder:
        """Binds SQL to empty tables with the contracts' columns."""
        from feature_repo.queries import Binder

        entities = sorted({column.entity for one in contracts.values() for column in one.columns if column.entity})
        return Binder(contracts, entities)

    @cached_property
    def dag_files(self) -> list[DagFile]:
        """The Python files under `dags`, read and parsed; those that are no Python are not among them."""
        from pipelines.doctor.sources import read

        return read(self.dags)

    @cached_property
    def parsed(self) -> Parsed:
        """What Airflow makes of the DAG files, in a process of its own."""
        from pipelines.doctor.dagbag import parse

        return parse(self.dags, self.root)

    def shown(self, path: Path | str) -> str:
        """A path as people write it: from the repository's folder where it is below."""
        place = Path(path)
        return str(place.relative_to(self.root)) if place.is_relative_to(self.root) else str(place)
