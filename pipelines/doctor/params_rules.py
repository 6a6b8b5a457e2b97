"""Rules of params.yaml: tenants, days, targets, sources, and what may not stand there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError, LeadwiseError, nearest
from pipelines.doctor.rules import Fault, Unavailable, rule

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.doctor.facts import Facts

_TENANT = re.compile(r"[a-z][a-z0-9_]{0,30}")
_URL_SECRET = re.compile(r"[A-Za-z][\w+.-]*://[^/\s@]*:[^/\s@]+@")
_SECRET_KEY = re.compile(r"(.*_)?(password|passwd|secret|token|access_key|api_key|private_key)$", re.IGNORECASE)
_SECTIONS = ("quality", "features", "train", "promotion", "score", "monitor", "retention")


@rule(
    "params-read", "error", "params.yaml can be read, with every key and value in its place",
    why="a misspelt key would silently leave the default in force",
    mend="mend the key or value; docs/reference.md lists all of them with their ranges",
)  # fmt: skip
def params_read(facts: Facts) -> Iterator[Fault]:
    """The whole file, then tenant by tenant, so that each is told of."""
    from pipelines.core.params import load_params

    path = facts.settings.params
    try:
        names = facts.names
    except Unavailable:
        names = []
    wrong = {str(error) for error in (facts.parameters.values() if names else ()) if isinstance(error, LeadwiseError)}
    for sentence in sorted(wrong):
        yield Fault(facts.shown(path), sentence)
    if wrong:
        return
    try:
        load_params(path)
    except LeadwiseError as error:
        if facts.tenant is None or not names or "unknown section" in str(error):  # else it is of another tenant
            yield Fault(facts.shown(path), str(error))


@rule(
    "params-credentials", "error", "no credential stands in params.yaml",
    why="the file is in version control, and its history keeps what was ever in it",
    mend="put the URL into the environment (LEADWISE_CONN_<NAME>) and name the connection; then change that password",
)  # fmt: skip
def params_credentials(facts: Facts) -> Iterator[Fault]:
    """URLs with a password, and keys that name a secret; the value is not shown."""
    for place, key, value in _leaves(facts.document):
        if isinstance(value, str) and _URL_SECRET.search(value):
            yield Fault(f"{facts.shown(facts.settings.params)}: {place}", "this is a URL with a password in it")
        elif value not in (None, "") and _SECRET_KEY.fullmatch(key):
            yield Fault(f"{facts.shown(facts.settings.params)}: {place}", f"'{key}' holds a credential")


def _leaves(node: Any, place: str = "", key: str = "") -> Iterator[tuple[str, str, Any]]:
    """(path, key, value) of every scalar."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, f"{place}.{name}".lstrip("."), str(name))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from _leaves(value, f"{place}[{number}]", key)
    else:
        yield place, key, node


@rule(
    "tenant-name", "error", "tenants have plain names",
    why="the name becomes folders, DAG ids and model names",
    mend="use lower-case letters, digits and _, a letter first, 31 at most",
)  # fmt: skip
def tenant_name(facts: Facts) -> Iterator[Fault]:
    """Names of tenants."""
    for name in facts.names:
        if not _TENANT.fullmatch(name):
            yield Fault(f"{facts.shown(facts.settings.params)}: tenants", f"'{name}' is no tenant name")


@rule(
    "tenant-use-case", "error", "the use case of every tenant has a folder of contracts and one of SQL",
    why="a use case is what these two folders say",
    mend="correct use_case, or make the folders with `leadwise init`",
)  # fmt: skip
def tenant_use_case(facts: Facts) -> Iterator[Fault]:
    """Folders of use cases."""
    for name, params in facts.parameters.items():
        if isinstance(params, LeadwiseError):
            continue
        for folder in (facts.settings.expectations, facts.settings.feature_repo):
            if not (folder / params.use_case).is_dir():
                known = [path.name for path in folder.glob("[a-z]*") if path.is_dir()]
                what = f"the use case '{params.use_case}' has no folder in {facts.shown(folder)}: "
                where = f"{facts.shown(facts.settings.params)}: tenants.{name}"
                yield Fault(where, what + nearest(params.use_case, known))


@rule(
    "run-market", "error", "a simulated tenant runs over days that its market has",
    why="days that were never simulated have no rows",
    mend="let run lie between simulate.start and the days that follow it",
)  # fmt: skip
def run_market(facts: Facts) -> Iterator[Fault]:
    """The run's days against those of the market."""
    for tenant in facts.tenants:
        market, run = tenant.params.simulate, tenant.params.run
        if market is not None and (run.start < market.start or run.end > market.end):
            what = f"the run goes from {run.start} to {run.end}, the market from {market.start} to {market.end}"
            yield Fault(_place(facts, tenant, "run"), what)


@rule(
    "run-horizon", "error", "a target's horizon is shorter than the run",
    why="a label counts once its horizon is over: with a longer one no row is ever trained on",
    mend="shorten train.targets.<target>.horizon_days, or let run cover more days",
)  # fmt: skip
def run_horizon(facts: Facts) -> Iterator[Fault]:
    """Horizons against the length of the run."""
    for tenant in facts.tenants:
        days = (tenant.params.run.end - tenant.params.run.start).days
        for name, target in tenant.params.train.targets.items():
            if target.horizon_days >= days:
                what = f"the horizon of '{name}' is {target.horizon_days} days, the whole run {days}"
                yield Fault(_place(facts, tenant, "train.targets"), what)


@rule(
    "params-unused", "warning", "every section says something",
    why="a section that nothing reads, or that repeats the common one, looks like a decision and is none",
    mend="take it out",
)  # fmt: skip
def params_unused(facts: Facts) -> Iterator[Fault]:
    """A market that no source reads, and sections that say what the common ones say."""
    for tenant in facts.tenants:
        paths = [str(source.path) for source in tenant.params.sources.values() if source.path]
        if tenant.params.simulate is not None and not any("{home}" in path for path in paths):
            yield Fault(_place(facts, tenant, "simulate"), "no source reads the simulated market ({home}/source/…)")
        own = facts.document["tenants"][tenant.name]
        for section in _SECTIONS:
            if own.get(section) and own[section] == facts.document.get(section):
                yield Fault(_place(facts, tenant, section), f"'{section}' repeats the common section")


@rule(
    "use-case-unused", "warning", "every use case has a tenant",
    why="a use case that no tenant has is never checked nor run",
    mend="give it a tenant in params.yaml, or take its folder out",
)  # fmt: skip
def use_case_unused(facts: Facts) -> Iterator[Fault]:
    """Folders of contracts that no tenant names."""
    used = {own.get("use_case") for own in facts.document["tenants"].values() if isinstance(own, dict)}
    for folder in sorted(facts.settings.expectations.glob("[a-z]*")):
        if folder.is_dir() and any(folder.glob("*.y*ml")) and folder.name not in used:
            yield Fault(facts.shown(folder), f"no tenant has the use case '{folder.name}'")


@rule(
    "source-path", "error", "source paths use the placeholders there are",
    why="a path with an unknown placeholder leads nowhere",
    mend="use {home}, {data} and {date}",
)  # fmt: skip
def source_path(facts: Facts) -> Iterator[Fault]:
    """Placeholders of paths."""
    for tenant in facts.tenants:
        for name, source in tenant.params.sources.items():
            try:
                _ = source.path and tenant.source_path(source, "2026-01-01")
            except ConfigError as error:
                yield Fault(_place(facts, tenant, f"sources.{name}"), str(error))


@rule(
    "source-files", "warning", "files of a source that is read at once are there",
    why="`leadwise ingest` stops at a source that is missing",
    mend="put the file there, or set LEADWISE_DATA to the folder that holds it",
)  # fmt: skip
def source_files(facts: Facts) -> Iterator[Fault]:
    """Files of local sources that have no days."""
    from glob import glob

    for tenant in facts.tenants:
        for name, source in tenant.params.sources.items():
            if not source.path or source.daily or source.sparse or "://" in source.path:
                continue
            try:
                path = tenant.source_path(source)
            except ConfigError:
                continue
            if not glob(path, recursive=True):  # noqa: PTH207 - a whole path
                yield Fault(_place(facts, tenant, f"sources.{name}"), f"there is no file {path}")


@rule(
    "connection", "error", "every connection that a source names is known",
    why="a source without its connection stops `leadwise ingest`",
    mend="set LEADWISE_CONN_<NAME> to its URL, or add it to Airflow's connections",
)  # fmt: skip
def connection(facts: Facts) -> Iterator[Fault]:
    """Names of connections, looked up and not opened."""
    from pipelines.core.connections import resolve

    for tenant in facts.tenants:
        for name, source in tenant.params.sources.items():
            if source.connection is None:
                continue
            try:
                resolve(source.connection)
            except ConfigError as error:
                yield Fault(_place(facts, tenant, f"sources.{name}"), str(error))


def _place(facts: Facts, tenant: Tenant, section: str) -> str:
    return f"{facts.shown(facts.settings.params)}: tenants.{tenant.name}.{section}"
