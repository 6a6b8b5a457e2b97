"""How MLflow loads our models: native formats read by code that is installed, nothing unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models import Estimator
    from models.inputs import Floats


class Loaded:
    """What `mlflow.pyfunc.load_model` wraps. `estimator` is the estimator itself."""

    def __init__(self, estimator: Estimator) -> None:
        self.estimator = estimator

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Floats:
        """What is served for each row of a DataFrame (or dict of sequences) of features: a probability or a number."""
        return self.estimator.expected(model_input)

    def get_raw_model(self) -> Estimator:
        """The estimator, for `PyFuncModel.get_raw_model()`."""
        return self.estimator


def write_model(folder: Path, estimator: Estimator) -> Path:
    """Write an estimator's state as files into `folder`, and return it."""
    for name, data in estimator.state().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_model(folder: Path) -> Estimator:
    """The estimator that `write_model` wrote.

    Raises:
        InputError: the files are no estimator's.
    """
    from models import load_state
    from models.inputs import InputError
    from pipelines.core.settings import get_settings

    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        return load_state(files, threads=get_settings().threads)
    except InputError:
        raise
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise InputError(f"the stored model is damaged ({type(error).__name__}): train it again") from None


def _load_pyfunc(data_path: str, model_config: dict[str, Any] | None = None) -> Loaded:
    """MLflow's hook: `data_path` is the folder `write_model` wrote."""
    return Loaded(read_model(Path(data_path)))
