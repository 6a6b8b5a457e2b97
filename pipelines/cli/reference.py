"""`leadwise reference`: docs/reference.md, written from the code it describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PATH = Path("docs/reference.md")

_HEAD = """# Reference

Written by `leadwise reference` from the code, the contracts and `params.yaml`: change those, then run it again.

- [Commands](#commands), [settings](#settings), [parameters](#parameters)
- [Contracts](#contracts): the words and fields that are read
- [Tables of the lake](#tables-of-the-lake), [data](#data) of the use cases
- [Rules of the doctor](#rules-of-the-doctor)
"""


def reference(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with 1 when the file is not current.")
    ] = False,
    path: Annotated[
        Path | None, typer.Option("--path", help="Another file than docs/reference.md.", metavar="PATH", dir_okay=False)
    ] = None,
) -> None:
    """Write docs/reference.md: commands, settings, parameters, contract vocabulary, tables and rules.

    - `leadwise reference`
    - `leadwise reference --check`
    """
    from pipelines.core.errors import ConfigError
    from pipelines.core.settings import ROOT

    target = path or ROOT / _PATH
    text = build()
    if not check:
        target.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {target}")
        return
    held = target.read_text(encoding="utf-8") if target.is_file() else ""
    if held != text:
        raise ConfigError(f"{target} is not what the code says: run `leadwise reference` to write it anew")
    typer.echo(f"{target} is current")


def build() -> str:
    """The whole file; the same text for the same code, whatever the environment says."""
    from pipelines.cli import reference_code, reference_data
    from pipelines.cli.main import app

    sections = (
        reference_code.commands(app),
        reference_code.settings(),
        reference_code.parameters(),
        reference_data.vocabulary(),
        reference_data.lake(),
        reference_data.use_cases(),
        reference_code.rules(),
    )
    return "\n".join([_HEAD, *sections])


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(rich_help_panel="Help")(reference)
