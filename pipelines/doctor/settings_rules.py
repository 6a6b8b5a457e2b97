"""Rules of the settings: variables `LEADWISE_*` and the folders they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.core.connections import PREFIXES
from pipelines.core.errors import ConfigError, nearest
from pipelines.core.settings import Settings, get_settings
from pipelines.doctor.rules import Fault, rule

if TYPE_CHECKING:
    from pipelines.doctor.facts import Facts

_PREFIX = "LEADWISE_"
_OWN = ("LEADWISE_LIVE_SINCE",)  # `leadwise up` tells its own processes


@rule(
    "setting-unknown", "warning", "every LEADWISE_* variable is a setting",
    why="a misspelt variable is ignored, and the default stays in force",
    mend="correct its name, or unset it; docs/reference.md lists all settings",
)  # fmt: skip
def setting_unknown(facts: Facts) -> Iterator[Fault]:
    """Variables of the environment that no setting reads."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted(facts.environment):
        upper = name.upper()
        if upper.startswith(_PREFIX) and upper not in known | set(_OWN) and not upper.startswith(PREFIXES):
            yield Fault(name, f"no setting is called {name}: {nearest(upper, known)}")


@rule(
    "setting-value", "error", "every setting has a value it can have",
    why="no command starts with a wrong setting",
    mend="correct the variable, or unset it",
)  # fmt: skip
def setting_value(facts: Facts) -> Iterator[Fault]:
    """Settings that can't be read."""
    from pydantic import ValidationError

    try:
        get_settings()
    except ConfigError as error:
        yield Fault(f"{_PREFIX}PROFILE", str(error))
    except ValidationError as error:
        for problem in error.errors():
            name = f"{_PREFIX}{str(problem['loc'][0]).upper()}"
            yield Fault(name, f"{name} is {problem['input']!r}: {problem['msg']}")


@rule(
    "setting-folder", "error", "the folders of contracts and SQL are there",
    why="use cases are looked for there",
    mend="set the variable to the folder, or unset it to take the repository's own",
)  # fmt: skip
def setting_folder(facts: Facts) -> Iterator[Fault]:
    """LEADWISE_EXPECTATIONS and LEADWISE_FEATURE_REPO."""
    settings = facts.settings
    for name, folder in (("EXPECTATIONS", settings.expectations), ("FEATURE_REPO", settings.feature_repo)):
        if not folder.is_dir():
            yield Fault(_PREFIX + name, f"there is no folder {folder}")


@rule(
    "setting-writable", "error", "the folder of all state can be written",
    why="every step writes there",
    mend="change its permissions, or set LEADWISE_VAR to a folder that can be written",
)  # fmt: skip
def setting_writable(facts: Facts) -> Iterator[Fault]:
    """LEADWISE_VAR, or the folder in which it will be made."""
    var = facts.settings.var.absolute()
    place = existing(var)
    if not place.is_dir():
        yield Fault("LEADWISE_VAR", f"{place} is no folder")
    elif not os.access(place, os.W_OK | os.X_OK):
        yield Fault("LEADWISE_VAR", f"the folder {place} can't be written")


@rule(
    "setting-threads", "warning", "a step uses no more threads than there are cores",
    why="more threads take turns, and memory grows with them",
    mend="unset LEADWISE_THREADS, or set it to the number of cores",
)  # fmt: skip
def setting_threads(facts: Facts) -> Iterator[Fault]:
    """LEADWISE_THREADS against the cores of this machine."""
    cores = os.cpu_count() or 1
    if facts.settings.threads > cores:
        yield Fault("LEADWISE_THREADS", f"{facts.settings.threads} threads on {cores} cores")


def existing(path: Path) -> Path:
    """The nearest folder or file on the way to `path` that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
