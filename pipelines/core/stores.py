"""What stores say when they are away, full or have lost a file, as one sentence for a person."""

import errno
import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.core.errors import ConfigError, LeadwiseError, StoreLost, StoreUnreachable

_ROOM = "make room or point LEADWISE_VAR at a folder that can be written"
_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EFBIG: "no file may be as large",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "writing or reading is not permitted",
    errno.EPERM: "the operation is not permitted",
}
# What SQLite says, through any library, when the disk is the trouble.
_SQLITE = {
    "readonly database": "the disk is read-only",
    "unable to open database file": "the folder can't be written",
    "database or disk is full": "the disk is full",
    "disk i/o error": "the disk can't be read or written",
}
_AGAIN = "run again when it is back: what was cut off is written anew"
_BACK = "bring catalog and lake back from one and the same backup, or remove both and run the days again"
# States of PostgreSQL (SQLSTATE) that no waiting mends, by their first letters.
_REFUSALS = {
    "28": "refuses user or password: correct them in LEADWISE_CATALOG_URL and LEADWISE_MLFLOW_URI",
    "3D": "has no such database: create it, or correct LEADWISE_CATALOG_URL and LEADWISE_MLFLOW_URI",
    "42501": "does not permit it: grant the right to create tables to the user of LEADWISE_CATALOG_URL",
}
# The server says these before a session has a state.
_LOGIN = {"password authentication failed": "28", "does not exist": "3D", "no pg_hba.conf entry": "28"}
_POSTGRES = re.compile(r'server at "([^"]+)", port (\d+)')
_AWS = re.compile(r"AWS Error ([A-Z_]+)(?: \(HTTP status (\d+)\))?")
_REDIS = re.compile(r"(?:connecting to|from|to) ([\w.-]+:\d+)")
_S3_AWAY = {
    "NETWORK_CONNECTION", "SERVICE_UNAVAILABLE", "SLOW_DOWN", "INTERNAL_FAILURE", "THROTTLING", "REQUEST_TIMEOUT",
    "REQUEST_TIME_TOO_SKEWED",
}  # fmt: skip
_S3_KEYS = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_SIGNATURE", "SIGNATURE_DOES_NOT_MATCH"}
_PATH = re.compile(r"'([^']+)'|(?:not exist|not found): (\S+)")

_told: deque[LeadwiseError] = deque(maxlen=8)


@contextmanager
def sentences(what: str, root: str) -> Iterator[None]:
    """Raise what a store says as a sentence.

    Args:
        what: begins it, e.g. "table clean.leads of tenant 'demo'".
        root: address of the lake; a missing file beyond it is none of ours.

    Raises:
        StoreUnreachable: a server does not answer, or broke off.
        StoreLost: a file of the lake is gone.
        LeadwiseError: the disk is full or can't be written.
        ConfigError: a server refuses the password, or does not have what is asked for.
    """
    try:
        yield
    except LeadwiseError:
        raise
    except Exception as error:
        meant = explained(error, what, root)
        if meant is None:
            raise
        _told.append(meant)
        raise meant from error


def explained(error: BaseException, what: str = "", root: str | None = None) -> LeadwiseError | None:
    """The sentence for `error` or what it came from; None where it is not a store's. See `sentences`."""
    for cause in causes(error):
        if isinstance(cause, LeadwiseError):
            return cause
        found = behind(cause)
        if found is None:
            found = _meaning(cause, f"{what}: " if what else "", root)
        if found is not None:
            return found
    return None


def behind(error: BaseException) -> LeadwiseError | None:
    """The sentence within the error of a library that read one of our streams, as DuckDB does; else None."""
    text = str(error)
    return next((one for one in reversed(_told) if str(one) in text), None)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, nearest first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _meaning(error: BaseException, what: str, root: str | None) -> LeadwiseError | None:
    """By the library it is of; none of them is imported for it."""
    library = type(error).__module__.partition(".")[0]
    if "sqlite" in type(error).__module__:
        words = str(error).lower()
        said = next((meaning for text, meaning in _SQLITE.items() if text in words), None)
        return LeadwiseError(f"{what}{said}{f' at {root}' if root else ''}: {_ROOM}") if said else None
    if library == "psycopg":
        return _postgres(error, what)
    if library == "redis":
        return _redis(error, what)
    if library in ("botocore", "requests") and "onnect" in type(error).__name__ + str(error)[:60]:
        server = "the S3 server" if library == "botocore" else "the MLflow server"
        return StoreUnreachable(f"{what}{server} does not answer or broke off: {_AGAIN}")
    return _file(error, what, root) if isinstance(error, OSError) else None


def _postgres(error: BaseException, what: str) -> LeadwiseError | None:
    if type(error).__name__ not in ("OperationalError", "AdminShutdown", "CannotConnectNow", "DiskFull",
                                    "InsufficientPrivilege", "TooManyConnections", "CrashShutdown"):  # fmt: skip
        return None
    place = _POSTGRES.search(str(error))
    server = f"PostgreSQL at {place[1]}:{place[2]}" if place else "PostgreSQL"
    state = getattr(error, "sqlstate", None) or next((s for text, s in _LOGIN.items() if text in str(error)), "")
    if state == "53100":
        return LeadwiseError(f"{what}the disk of {server} is full: make room there, then run again")
    refusal = next((meaning for start, meaning in _REFUSALS.items() if state.startswith(start)), None)
    if refusal:
        return ConfigError(f"{what}{server} {refusal}")
    return StoreUnreachable(f"{what}{server} does not answer or broke off: {_AGAIN}")


def _redis(error: BaseException, what: str) -> LeadwiseError | None:
    name = type(error).__name__
    if name in ("AuthenticationError", "AuthenticationWrongNumberOfArgsError", "NoPermissionError"):
        return ConfigError(f"{what}Redis refuses user or password: correct them in LEADWISE_ONLINE_URL")
    if name == "OutOfMemoryError":
        return LeadwiseError(f"{what}Redis has no memory left: give it more (maxmemory), then run again")
    if name in ("ConnectionError", "TimeoutError", "BusyLoadingError", "ReadOnlyError"):
        place = _REDIS.search(str(error))
        server = f"Redis at {place[1].rstrip('.')}" if place else "Redis"
        return StoreUnreachable(f"{what}{server} does not answer or broke off: {_AGAIN}")
    return None


def _file(error: OSError, what: str, root: str | None) -> LeadwiseError | None:
    if error.errno in _DISK:
        place = error.filename or root
        return LeadwiseError(f"{what}{_DISK[error.errno]}{f' at {place}' if place else ''}: {_ROOM}")
    said = _AWS.search(str(error))
    if said is not None:
        return _s3(said, what)
    found = _PATH.search(str(error)) if isinstance(error, FileNotFoundError) else None
    path = error.filename or (found and (found[1] or found[2]))
    if path and root and root.split("://")[-1] in str(path):
        return StoreLost(f"{what}the file {path} is gone: {_BACK}")
    return None


def _s3(said: re.Match[str], what: str) -> LeadwiseError | None:
    if said[1] in _S3_KEYS:
        return ConfigError(
            f"{what}the S3 server refuses the keys: correct LEADWISE_S3_KEY and LEADWISE_S3_SECRET, or the rights"
        )
    if said[1] == "NO_SUCH_BUCKET":
        return ConfigError(f"{what}the S3 server has no such bucket: create it, or correct LEADWISE_LAKE_URL")
    if said[1] in _S3_AWAY or (said[2] or "").startswith("5"):
        return StoreUnreachable(f"{what}the S3 server does not answer or broke off: {_AGAIN}")
    return None
