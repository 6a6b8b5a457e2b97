"""The one way by which a model of MLflow is loaded: checked before any of its code could run, from the copy checked.

`MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false` is no sandbox: a `loader_module` of somebody's, or a `code` folder, still
runs. So the files are fetched once into a folder that nobody else can write, held against what Leadwise itself writes,
and loaded from there. Only `MLmodel` is read before that, as plain YAML.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote, urlsplit

from pipelines.core.errors import UnsafeModel
from pipelines.registry.native import ADDED, DESCRIPTION, check, files, gone, shown, unsafe
from pipelines.registry.tracking import connect, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.pyfunc import PyFuncModel

    from models import Estimator
    from pipelines.core.tenant import Tenant


@dataclass(frozen=True)
class LoadedModel:
    """A model that was checked.

    Attributes:
        model: MLflow's pyfunc.
        estimator: what it wraps.
        digest: of its files.
    """

    model: PyFuncModel = field(repr=False)
    estimator: Estimator = field(repr=False)
    digest: str


def load(tenant: Tenant, uri: str, what: str, digest: str | None = None) -> LoadedModel:
    """Fetch, check and load a model.

    Args:
        tenant: whose.
        uri: `models:/NAME/VERSION` or `runs:/ID/model`.
        what: begins sentences, such as "version 3 of demo.conversion".
        digest: that its files must have; None asks for none.

    Raises:
        UnsafeModel: its files are others, lie elsewhere, or could run code. None of it ran.
        NotReady: it is gone.
        InputError: no estimator that this version of Leadwise knows.
    """
    import mlflow

    with _checked(tenant, uri, what, digest) as (folder, found), quiet():
        model = mlflow.pyfunc.load_model(str(folder), suppress_warnings=True)
    return LoadedModel(model, cast("Estimator", model.get_raw_model()), found)


def verify(tenant: Tenant, uri: str, what: str, digest: str) -> None:
    """Fetch and check a model as `load` does, with the same arguments and errors, but don't load it."""
    with _checked(tenant, uri, what, digest):
        pass


@contextmanager
def _checked(tenant: Tenant, uri: str, what: str, digest: str | None) -> Iterator[tuple[Path, str]]:
    """A private copy of a model that may be loaded, and its digest."""
    client = connect(tenant)  # which forbids pickles, whatever the environment says
    location = _location(client, uri, what)
    with tempfile.TemporaryDirectory(prefix="leadwise-") as private:
        folder = _fetched(location, _local(tenant, location, what), Path(private) / "model", what)
        found = _compared(folder, what, digest)
        check(folder, what)
        yield folder, found


def digest(folder: Path) -> str:
    """SHA-256, in hex, over names and contents of all files of a model, but for what MLflow adds while fetching it."""
    total = hashlib.sha256()
    named = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(named.keys() - {ADDED}):
        for part in (os.fsencode(name), named[name].read_bytes()):
            total.update(b"%d:" % len(part))
            total.update(part)
    return total.hexdigest()


def _location(client: MlflowClient, uri: str, what: str) -> str:
    """Where the files of a model lie: asked once, so that what is checked is what is fetched."""
    from mlflow.exceptions import MlflowException

    try:
        if uri.startswith("models:/"):
            name, version = uri.removeprefix("models:/").rsplit("/", 1)
            found = str(client.get_model_version_download_uri(name, version))
            logged = found.removeprefix("models:/")
            if logged == found or not logged.startswith("m-"):
                return found
            return str(client.get_logged_model(logged).artifact_location)
        run_id, _, name = uri.removeprefix("runs:/").partition("/")
        outputs = client.get_run(run_id).outputs
        models = [client.get_logged_model(one.model_id) for one in (outputs.model_outputs if outputs else [])]
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise gone(what) from None
    places = [str(one.artifact_location) for one in models if one.name == name]
    if not places:
        raise gone(what)
    return places[-1]


def _local(tenant: Tenant, location: str, what: str) -> Path | None:
    """The folder of this disk that `location` means, among the tenant's own; None where it is a store elsewhere."""
    said = f"its files are said to lie at {shown(location)}"
    try:
        place = urlsplit(location)
        path = Path(unquote(place.path))
        folder = path.resolve()
    except (ValueError, RuntimeError):  # no address, or links in a circle
        raise unsafe(what, said) from None
    if ".." in path.parts or place.query or place.fragment or place.scheme in ("models", "runs"):
        raise unsafe(what, said)
    if place.scheme not in ("", "file"):
        return None
    home = (tenant.settings.mlflow_dir / "artifacts" / tenant.experiment).resolve()
    if place.netloc or home not in folder.parents:
        raise unsafe(what, f"{said}, and not below {home}")
    return folder


def _fetched(location: str, local: Path | None, to: Path, what: str) -> Path:
    """The files of a model, copied into the new folder `to` or below it: the folder they are in."""
    import mlflow
    from mlflow.exceptions import MlflowException

    to.mkdir()
    try:
        if local is None:
            with quiet():
                return Path(mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=str(to)))
        for path in files(local, what):  # MLflow would follow links, and copy what they point at
            copy = to / path.relative_to(local)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy, follow_symlinks=False)
    except FileNotFoundError:
        raise gone(what) from None
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise gone(what) from None
    return to


def _compared(folder: Path, what: str, wanted: str | None) -> str:
    """Digest of the files of a model. Raises UnsafeModel where it is not the wanted one."""
    if folder / DESCRIPTION not in list(files(folder, what)):
        raise gone(what)
    found = digest(folder)
    if wanted is not None and found != wanted:
        raise UnsafeModel(
            f"{what} has other files than those it was promoted with (digest {found[:12]}, not {wanted[:12]}):"
            " roll back with `leadwise rollback`, and find out who changed the artifacts"
        )
    return found
