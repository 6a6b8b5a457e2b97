"""`init`: files in, a use case and a tenant out, all of it or nothing."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from filelock import FileLock

from pipelines.core.errors import ConfigError
from pipelines.core.report import progress
from pipelines.core.settings import Settings
from pipelines.init import contracts, sql, tenants
from pipelines.init.plan import Plan, check_wanted, plan
from pipelines.init.profile import Facts, profile
from pipelines.init.roles import Wanted
from pipelines.init.source import File, open_file
from pipelines.init.words import check_case

_MEMORY = "1GB"
_PASSES = 3


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        case: name of the use case.
        files: where the rows are; the first has those who are scored.
        tenant: name of the tenant; None is the case's.
        wanted: columns the user named.
        horizon: days after the event in which the outcome counts; None is guessed.
        force: an existing use case and tenant of these names are replaced.
    """

    case: str
    files: Sequence[Path]
    tenant: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    horizon: int | None = None
    force: bool = False


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes:
        case, tenant: the names.
        files: what was written, and `params.yaml`.
        guesses: sentences about what was concluded, with how sure it is.
        tables: rows by table.
        plan: start, train date and end.
    """

    case: str
    tenant: str
    files: list[Path]
    guesses: list[str]
    tables: dict[str, int]
    plan: dict[str, str]


def init(request: Request, settings: Settings) -> Made:
    """Look at the files, and write contracts, SQL and a tenant that run at once.

    The same files give the same texts, byte for byte. Nothing is written before everything has been read, made and
    checked by the same code that a run uses.

    Raises:
        SourceError: a file that can't be read, or holds too little to make a use case of.
        ConfigError: a bad or taken name, or a column that is not there.
    """
    tenant = request.tenant or request.case
    _check_names(request, tenant, settings)
    with tempfile.TemporaryDirectory(prefix="leadwise-init-") as folder:
        with _duckdb(Path(folder), settings) as connection:
            read = _read(request, connection, settings)
            check_wanted(request.wanted, read)
            made = plan(request.case, tenant, read, request.wanted, request.horizon, connection)
        texts = _texts(made)
        with _alone(settings):
            _check_names(request, tenant, settings)  # again: another one may have taken them by now
            params = tenants.with_tenant(settings.params, tenant, tenants.lines_of(made, settings.data.absolute()))
            _check(Path(folder) / "draft", texts, params, made, settings)
            written = _publish(texts, params, request, settings)
    return Made(
        request.case,
        tenant,
        written,
        made.guesses,
        {table.name: next(iter(table.facts.values())).rows for table in made.tables},
        {"start": str(made.start), "train": str(made.train), "end": str(made.end)},
    )


def _check_names(request: Request, tenant: str, settings: Settings) -> None:
    check_case(request.case)
    check_case(tenant, "tenant")
    if request.horizon is not None and request.horizon < 1:
        raise ConfigError(f"--horizon is {request.horizon}: an outcome needs at least one day to happen")
    if not request.files:
        raise ConfigError("there is nothing to start from: name at least one file with --from")
    if request.force:
        return
    again = "choose another name, or replace it with --force"
    for room in _rooms(settings):
        if (room / request.case).exists():
            raise ConfigError(f"the use case '{request.case}' exists already in {room}: {again}")
    if tenants.has_tenant(settings.params, tenant):
        raise ConfigError(f"the tenant '{tenant}' exists already in {settings.params}: {again}")


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `init` at a time reads the parameters and publishes: else the later one drops the earlier one's tenant."""
    try:
        settings.var.mkdir(parents=True, exist_ok=True)
        lock = FileLock(settings.var / "init.lock")
        lock.acquire()
    except OSError as error:
        raise ConfigError(
            f"the folder {settings.var} can't be written ({error.strerror}): make room there or set LEADWISE_VAR"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _rooms(settings: Settings) -> tuple[Path, Path]:
    return settings.expectations, settings.feature_repo


@contextmanager
def _duckdb(folder: Path, settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose memory has a limit; what does not fit goes to `folder`."""
    config = {"threads": settings.threads, "memory_limit": _MEMORY, "temp_directory": str(folder / "spill")}
    connection = duckdb.connect(config=config)
    try:
        connection.execute("SET TimeZone = 'UTC'")
        with suppress(duckdb.InvalidInputException):  # a notebook without widgets has no bar to switch off
            connection.execute("SET enable_progress_bar = false")
        yield connection
    finally:
        connection.close()


def _read(
    request: Request, connection: duckdb.DuckDBPyConnection, settings: Settings
) -> list[tuple[File, dict[str, Facts]]]:
    found: list[tuple[File, dict[str, Facts]]] = []
    for path in request.files:
        with progress(f"init: {path.name}", _PASSES + 1) as advance:
            file = open_file(path, connection)
            advance(1)
            twin = next((other for other, _ in found if other.name == file.name), None)
            if twin is not None:
                raise ConfigError(
                    f"{twin.path} and {file.path} would both be the table '{file.name}': rename one of them"
                )
            file.view(connection)
            found.append((file, profile(file, connection, advance)))
    return found


def _texts(made: Plan) -> dict[str, dict[str, str]]:
    """Text by path, by room."""
    return {
        "expectations": {f"{table.name}.yaml": contracts.contract(made, table) for table in made.tables},
        "feature_repo": sql.files(made),
    }


def _write(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _check(draft: Path, texts: dict[str, dict[str, str]], params: str, made: Plan, settings: Settings) -> None:
    """Read the drafts as a run would, so that nothing is published that does not load."""
    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from pipelines.core.tenant import Tenant

    for room, files in texts.items():
        _write(draft / room / made.case, files)
    (draft / "params.yaml").write_text(params, encoding="utf-8")
    places = {room: draft / room for room in texts}
    tenant = Tenant.load(made.tenant, settings.model_copy(update={**places, "params": draft / "params.yaml"}))
    load_definitions(tenant, load_contracts(tenant.contracts_dir))


def _publish(texts: dict[str, dict[str, str]], params: str, request: Request, settings: Settings) -> list[Path]:
    """Move everything to its place; what fails on the way puts back what was there."""
    written: list[Path] = []
    undo: list[tuple[Path, Path | None]] = []
    drafts: list[Path] = []
    target = settings.params.resolve()  # a link stays one
    try:
        for room, files in zip(_rooms(settings), texts.values(), strict=True):
            room.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{request.case}.", dir=room))
            drafts.append(draft)
            draft.chmod(0o755)
            _write(draft, files)
        draft_params = target.with_name(f".{target.name}.new")
        drafts.append(draft_params)
        draft_params.write_text(params, encoding="utf-8")
        shutil.copymode(target, draft_params)
        for room, draft in zip(_rooms(settings), drafts, strict=False):
            undo.append(_swap(draft, room / request.case))
        draft_params.replace(target)
    except BaseException:
        for place, old in reversed(undo):
            shutil.rmtree(place, ignore_errors=True)
            if old is not None:
                old.rename(place)
        raise
    finally:
        for draft in drafts:
            _remove(draft)
    for _, old in undo:
        if old is not None:
            _remove(old)
    for room, files in zip(_rooms(settings), texts.values(), strict=True):
        written += [room / request.case / name for name in sorted(files)]
    return [*written, settings.params]


def _swap(draft: Path, place: Path) -> tuple[Path, Path | None]:
    """Put a folder in the place of another, which is kept beside it; returns the place and the old one."""
    old = None
    if place.exists():
        old = place.with_name(f".{place.name}.old")
        _remove(old)
        place.rename(old)
    draft.rename(place)
    return place, old


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
