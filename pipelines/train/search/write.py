"""Found values as YAML, to be pasted or put into `params.yaml`."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import ConfigError
from pipelines.core.params import load_params

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.train.search.space import Values


def as_yaml(tenant: str, found: Mapping[str, Values]) -> str:
    """The values of each estimator at their place in `params.yaml`: the tenant's own, which change no other tenant."""
    return _text({"tenants": {tenant: {"train": {kind: dict(values) for kind, values in found.items()}}}})


def write(path: Path, tenant: str, found: Mapping[str, Values]) -> None:
    """Put the values into the tenant's section of the parameter file; comments and all else stay as they are.

    Raises:
        ConfigError: the file is not readable any more, can't be written, or would not be valid.
    """
    try:
        held = _yaml().load(path.read_text(encoding="utf-8"))
        section = held["tenants"][tenant]
        for kind, values in found.items():
            _below(_below(section, "train"), kind).update(values)
        unfinished = path.with_name(f".{path.name}.new")
        shutil.copyfile(path, unfinished)
        shutil.copymode(path, unfinished)
        unfinished.write_text(_text(held), encoding="utf-8")
        try:
            load_params(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{path} can't be written ({error.strerror or error}): paste the values there yourself"
        ) from None


def _below(section: Any, name: str) -> Any:
    """A mapping inside a mapping, made where it is missing or empty."""
    if section.get(name) is None:
        from ruamel.yaml.comments import CommentedMap

        section[name] = CommentedMap()
    return section[name]


def _text(content: Any) -> str:
    told = io.StringIO()
    _yaml().dump(content, told)
    return told.getvalue()


def _yaml() -> Any:
    """YAML that keeps comments, quotes and the order of keys."""
    from ruamel.yaml import YAML

    made = YAML()
    made.preserve_quotes = True
    made.width = 4096
    made.indent(mapping=2, sequence=4, offset=2)
    return made
