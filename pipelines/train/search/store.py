"""Where studies are kept: a file of Optuna's on SQLite, one a target."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from pipelines.core.params import TuneParams


def storage(path: Path) -> BaseStorage:
    """Optuna's storage on SQLite. A new one is put in its place at once: making its tables is no transaction.

    Raises:
        ConfigError: the file can't be written.
    """
    from optuna.storages import RDBStorage

    with saying(path), quiet():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                made = RDBStorage(f"sqlite:///{folder}/{path.name}")
                made.engine.dispose()
                (Path(folder) / path.name).replace(path)
        found = RDBStorage(f"sqlite:///{path}", skip_table_creation=True)
    _without_waiting(found.engine)
    return found


def _without_waiting(engine: Any) -> None:
    """Let commits go to the operating system, not through to the disk: a killed process loses nothing of them."""
    from sqlalchemy import event

    def tell(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(engine, "connect", tell)
    engine.dispose()  # those that were opened before


def opened(store: BaseStorage, name: str, params: TuneParams) -> Study:
    """The study of that name, made where it is missing; lower values are better."""
    import optuna

    with quiet():
        # The losses of a trial and of the best one stand in pairs, the same rows part by part, and that is what
        # Wilcoxon's test asks for; a median over trials would judge by the first fold, where fewest rows were learnt.
        pruner: Any = optuna.pruners.NopPruner()
        if params.prune_at:
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=params.prune_at, n_startup_steps=params.blocks)
        return optuna.create_study(
            storage=store, study_name=name, direction="minimize", pruner=pruner, load_if_exists=True
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna's log lines and its hints on what is experimental off a person's terminal."""
    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna(\..*)?")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is experimental.*")
        yield


@contextmanager
def saying(path: Path) -> Iterator[None]:
    """Tell of a folder that can't be written in one sentence."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} can't be written ({error.strerror or error}): make room there or set LEADWISE_VAR"
        ) from None
