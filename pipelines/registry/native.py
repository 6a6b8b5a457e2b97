"""What a model of Leadwise looks like in MLflow: native files, and an `MLmodel` that asks for no code but ours."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipelines.core.errors import NotReady, UnsafeModel

LOADER = "pipelines.registry.loader"
"""The only module that models are loaded by."""

ADDED = "registered_model_meta"
"""What MLflow writes beside a model when it fetches it by its registered name."""

DESCRIPTION = "MLmodel"
_LARGEST = 1_000_000  # bytes of MLmodel
_ABOUT = {
    DESCRIPTION, "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json",
    "serving_input_example.json",
}  # fmt: skip
"""Files that MLflow itself writes beside the model's own folder: text that nothing here runs."""

_SAID = {
    "artifact_path", "flavors", "is_signature_from_type_hint", "mlflow_version", "model_id", "model_size_bytes",
    "model_uuid", "prompts", "run_id", "saved_input_example_info", "signature", "type_hint_from_example",
    "utc_time_created",
}  # fmt: skip
"""What `MLmodel` says of a model; MLflow lays anything else over its own object."""

_FLAVOR = {"data", "env", "loader_module", "python_version"}
"""What `MLmodel` says of how to load it; the rest, such as `code`, `config` and `predict_fn`, is empty."""

_NATIVE = {
    "estimator.json": b"{", "inputs.json": b"[", "lightgbm.txt": b"tree", "linear.json": b"{", "network.json": b"{",
    "network.weights.h5": b"\x89HDF\r\n\x1a\n", "ranks.json": b"{", "scorer.json": b"{", "uncertainty.json": b"{",
    "xgboost.ubj": b"{",
}  # fmt: skip
"""Files that estimators write, numbers and text in native formats, and how each begins."""


def check(folder: Path, what: str) -> None:
    """Make sure that a model has only files that Leadwise writes, and that loading it runs no code of others.

    Args:
        folder: where it is; nobody else may write there.
        what: begins sentences.

    Raises:
        UnsafeModel: it has others, or could run code.
        NotReady: it lost its files.
    """
    data = _data_folder(folder, what)
    for path in files(folder, what):
        inside = path.is_relative_to(data)
        name = path.relative_to(folder).as_posix()
        if not (path.name in _NATIVE if inside else name in _ABOUT or name == ADDED):
            raise unsafe(what, f"{shown(name)} is no file that Leadwise writes")
        _check_beginning(path, _NATIVE[path.name] if inside else b"", what, name)
        if path.suffix == ".h5":
            _check_weights(path, what, name)


def files(folder: Path, what: str) -> Iterator[Path]:
    """All files below a folder. Raises UnsafeModel at a link, or anything else that is no ordinary file."""
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            raise unsafe(what, f"{shown(path.relative_to(folder).as_posix())} is a link or no ordinary file")


def _data_folder(folder: Path, what: str) -> Path:
    """Check what `MLmodel` says, and return the folder of the model's own files."""
    told = _description(folder / DESCRIPTION, what)
    if odd := set(told) - _SAID:
        raise unsafe(what, f"its {DESCRIPTION} says {shown(min(odd, key=str))}, which Leadwise does not write")
    flavors = told.get("flavors")
    flavor: Any = flavors.get("python_function") if isinstance(flavors, Mapping) and len(flavors) == 1 else None
    if not isinstance(flavor, Mapping):
        raise unsafe(what, f"its {DESCRIPTION} has other flavors than python_function")
    if flavor.get("loader_module") != LOADER:
        raise unsafe(what, f"it is loaded by {shown(flavor.get('loader_module'))}, not by {LOADER}")
    if odd := {key for key, value in flavor.items() if value} - _FLAVOR:
        raise unsafe(what, f"its {DESCRIPTION} brings {shown(min(odd, key=str))} along")
    _check_references(told, flavor, what)
    named = flavor.get("data")
    path = PurePosixPath(named if isinstance(named, str) else "")
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise unsafe(what, f"its data are said to lie at {shown(named)}, which is no folder within it")
    if not (folder / path).is_dir():
        raise gone(what)
    return folder / path


def _description(path: Path, what: str) -> Mapping[Any, Any]:
    """What `MLmodel` says."""
    if not path.is_file():
        raise gone(what)
    if (size := path.stat().st_size) > _LARGEST:
        raise unsafe(what, f"its {DESCRIPTION} has {size:,} bytes, more than {_LARGEST:,}")
    try:
        # ASCII, as MLflow writes it, reads the same in every locale: MLflow reads it once more, in its own.
        told = yaml.safe_load(path.read_bytes().decode("ascii"))
    except Exception:  # a hostile one makes the parser fail in a dozen ways
        told = None
    if not isinstance(told, Mapping):
        raise unsafe(what, f"its {DESCRIPTION} is no plain YAML")
    return told


def _check_references(told: Mapping[Any, Any], flavor: Mapping[Any, Any], what: str) -> None:
    """Make sure that `MLmodel` refers to no file but those beside it."""
    example, env = told.get("saved_input_example_info") or {}, flavor.get("env") or {}
    named = list(env.values()) if isinstance(env, Mapping) else [env]
    if isinstance(example, Mapping):
        named += [example[key] for key in ("artifact_path", "serving_input_path") if example.get(key)]
    else:
        named.append(example)
    odd = [one for one in named if str(one) not in _ABOUT]
    if ".." in PurePosixPath(str(told.get("artifact_path"))).parts:
        odd.append(told["artifact_path"])
    if odd:
        raise unsafe(what, f"its {DESCRIPTION} refers to {shown(odd[0])}")


def _check_beginning(path: Path, wanted: bytes, what: str, name: str) -> None:
    """Make sure that a file begins as its format does, and, where it is text, as no pickle, archive or program does."""
    with path.open("rb") as file:
        begin = file.read(8)
    text = begin[:1].isascii() and all((byte >= 32 and byte != 127) or byte in b"\t\n\r" for byte in begin)
    if not (begin.startswith(wanted) and (text or path.suffix in (".h5", ".ubj"))):
        raise unsafe(what, f"{shown(name)} is not of the format that its name says")


def _check_weights(path: Path, what: str, name: str) -> None:
    """Make sure that a weights file holds plain numbers itself: HDF5 may refer to any other file of the machine."""
    import h5py

    size = path.stat().st_size

    def odd(_: str, item: Any) -> bool | None:
        if not isinstance(item, h5py.Dataset):
            return None
        filters = item.id.get_create_plist().get_nfilters()  # one may be a program of the machine's
        return True if item.external or item.is_virtual or filters or item.nbytes > size else None

    try:
        with h5py.File(path, "r") as file:
            linked = file.visititems_links(lambda _, link: None if isinstance(link, h5py.HardLink) else True)
            found = linked or file.visititems(odd)
    except (OSError, RuntimeError, ValueError, LookupError):
        found = True
    if found:
        raise unsafe(what, f"{shown(name)} is damaged, or refers to more than the numbers it holds")


def shown(value: object) -> str:
    """A value that somebody else wrote, short and on one line."""
    return repr(value)[:200]


def unsafe(what: str, why: str) -> UnsafeModel:
    """The error that says why a model is not loaded."""
    return UnsafeModel(f"{what} is not loaded: {why}; train it again, or roll back with `leadwise rollback`")


def gone(what: str) -> NotReady:
    """The error that says that a model is not there any more."""
    return NotReady(f"the files of {what} are gone from MLflow: train it again, or roll back with `leadwise rollback`")
