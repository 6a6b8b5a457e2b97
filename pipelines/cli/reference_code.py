"""Parts of the reference that come from code: commands, settings, parameters, rules."""

from __future__ import annotations

import types
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines.cli.markdown import code, codes, table

_COMMON = "common value"
_KINDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "day",
    Path: "path",
    type(None): "none",
}
# How a bound of a field is written; pydantic keeps them in the field's metadata.
_BOUNDS = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "{} or more",
    "max_length": "{} at most",
}


def commands(app: typer.Typer) -> str:
    """Every command with its options, in the order of `leadwise --help`."""
    group: Any = typer.main.get_command(app)
    parts = ["## Commands\n\nOf `leadwise`; `--help` after any of them says the same.\n"]
    for name, command in group.commands.items():
        first, _, rest = (command.help or "").strip().partition("\n")
        parts.append(
            f"### leadwise {name}\n\n{first}\n{rest.rstrip()}\n"
            if rest.strip()
            else f"### leadwise {name}\n\n{first}\n"
        )
        rows = [_option(one) for one in command.params if not one.hidden]
        if rows:
            parts.append(table(["option", "value", "default", "meaning"], rows))
    return "\n".join(parts)


def _option(one: Any) -> tuple[str, str, str, str]:
    """A row about one option or argument."""
    names = (
        codes([*one.opts, *one.secondary_opts]) if one.opts and one.opts[0].startswith("-") else code(one.name.upper())
    )
    kind = "" if getattr(one, "is_flag", False) else _kind(one.type_descriptor.annotation)
    bounds = [f"≥ {one.min}" if one.min is not None else "", f"≤ {one.max}" if one.max is not None else ""]
    value = ", ".join(filter(None, [kind, *bounds])) if kind else ""
    needed = "**needed**" if one.required else ""
    shown = _default(one.default) if one.default not in (None, False, ()) and not callable(one.default) else needed
    return names, value, shown, " ".join((one.help or "").split())


def settings() -> str:
    """The environment variables, without the machine's own defaults."""
    from pipelines.core.connections import PREFIXES
    from pipelines.core.settings import ROOT, Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default: object = field.default
        if isinstance(default, Path):
            default = default.relative_to(ROOT)
        shown = "number of cores" if name == "threads" else _default(default)
        rows.append((code(f"LEADWISE_{name.upper()}"), _type(field), shown, field.description or ""))
    rows.append((code(f"{PREFIXES[0]}<NAME>"), "URL", "", "the connection NAME of a source; never in a file"))
    return "## Settings\n\nOf the machine, from the environment.\n\n" + table(
        ["variable", "value", "default", "meaning"], rows
    )


def parameters() -> str:
    """Every parameter of params.yaml, by its place, from the models that read it."""
    import yaml

    from pipelines.core.params import TenantParams
    from pipelines.core.settings import ROOT

    held = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    rows = list(_fields(TenantParams, "", held))
    head = (
        "## Parameters\n\nOf `params.yaml`. Common sections stand at the top; `tenants.<name>` holds `use_case`,"
        " `sources`, `run` and `simulate`, and may change any part of the others. A misspelt key is refused.\n\n"
    )
    return head + table(["parameter", "value", f"default, or {_COMMON}", "meaning"], rows)


def _fields(model: type[BaseModel], place: str, held: Any) -> Iterator[tuple[str, str, str, str]]:
    """A row for each field below `model`; `held` is what params.yaml has there."""
    for name, field in model.model_fields.items():
        path = f"{place}.{name}".lstrip(".")
        value = held.get(name) if isinstance(held, dict) else None
        inner, keyed = _model(field.annotation)
        if inner is None:
            yield code(path), _type(field), _common(field, value), field.description or ""
            continue
        if keyed:
            path, value = f"{path}.<name>", None
        what = field.description or (inner.__doc__ or "").strip().partition("\n")[0]
        needed = "" if field.is_required() else "none"
        yield code(path), "one section each" if keyed else "section", needed, what
        yield from _fields(inner, path, value)


def _model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """The model in an annotation, and whether it stands in a mapping by name."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind, get_origin(annotation) is dict
    return None, False


def _common(field: FieldInfo, value: Any) -> str:
    """The value all tenants start from; else the default; else that it is needed."""
    if value is not None:
        return _default(value)
    if field.is_required():
        return "**needed**"
    return _default(field.default)


def _type(field: FieldInfo) -> str:
    """Type and range of a field in words."""
    bounds = []
    for one in field.metadata:
        for name, words in _BOUNDS.items():
            limit = getattr(one, name, None)
            if limit is not None:
                bounds.append(words.format(limit))
    return ", ".join([_kind(field.annotation), *bounds])


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in arguments if one is not type(None)))
    if origin is dict:
        return f"{_kind(arguments[1])} by {_kind(arguments[0])}"
    if origin in (tuple, list):
        return f"list of {_kind(arguments[0])}"
    return _KINDS.get(annotation, getattr(annotation, "__name__", "text"))


def _default(value: object) -> str:
    if value is None or value in ((), "") or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, dict):
        return code(", ".join(f"{key}: {inner}" for key, inner in value.items()))
    return code(value)


def rules() -> str:
    """What `leadwise doctor` looks at."""
    from pipelines.doctor.rules import all_rules

    rows = [(one.group, code(one.id), one.level, one.headline, one.why) for one in all_rules().values()]
    head = "## Rules of the doctor\n\nWhat `leadwise doctor` looks at; `--only` takes a rule or a group.\n\n"
    return head + table(["group", "rule", "level", "what should be so", "else"], rows)
