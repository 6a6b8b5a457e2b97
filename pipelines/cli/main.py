"""`leadwise`: one command per step, the whole way (`run`), and a look at the state (`status`).

Nothing heavy is imported until a command needs it, so that `leadwise --help` is there at once.
"""

from __future__ import annotations

import typer

from pipelines.cli import (
    ask,
    doctor,
    experiments,
    explain,
    init,
    keys,
    market,
    parity,
    plan,
    privacy,
    reference,
    replay,
    run,
    serve,
    services,
    state,
    steps,
    tune,
    up,
    versions,
)
from pipelines.cli.errors import FriendlyGroup
from pipelines.core.lean import own

app = typer.Typer(
    name="leadwise",
    cls=FriendlyGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""
Leadwise turns raw lead data into a scored audience: who is worth a message, and how sure we are.

The whole way, on a simulated market:

    leadwise simulate && leadwise run && leadwise status

A tenant is a customer with its own data, models and results; `params.yaml` lists them. Every step can also be run
by itself, again and again: it replaces what it wrote before.
""",
)

for group in (
    run,
    up,
    services,
    init,
    market,
    steps,
    tune,
    replay,
    plan,
    versions,
    serve,
    keys,
    state,
    parity,
    experiments,
    explain,
    privacy,
    ask,
    doctor,
    reference,
):
    group.register(app)


def main() -> None:
    """Run the command line; the entry point `leadwise`."""
    own()
    app()
