"""Carries one message to one address, in a process of its own, which can be ended whatever the server does.

The address is a secret: it comes by standard input, where no list of processes shows it, and what Apprise and the
server say is not passed on but for a status.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from threading import Timer
from typing import Any

_STATUS = re.compile(r"error=(\d{3})\b")
_TYPES = {"info": "INFO", "warning": "WARNING", "error": "FAILURE", "over": "SUCCESS"}


def carry(address: str, title: str, text: str, severity: str) -> str | None:
    """Send.

    Args:
        address: a URL that Apprise understands.
        title: a short line.
        text: plain text.
        severity: "info", "warning", "error" or "over".

    Returns:
        Why it could not be sent, without a secret; None where it was.
    """
    try:
        apprise: Any = import_module("apprise")
    except ImportError:
        return "the package apprise is not installed"
    said = io.StringIO()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [logging.StreamHandler(said)], False
    channel = apprise.Apprise()
    if not channel.add(address):
        return "its address in LEADWISE_ALERTS is none that Apprise understands"
    kind = getattr(apprise.NotifyType, _TYPES[severity])
    if channel.notify(body=text, title=title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT):
        return None
    status = _STATUS.search(said.getvalue())
    return f"its server answered {status[1]}" if status else "its server can't be reached or refused the message"


def main() -> None:
    """Read an order from standard input, and write what came of it to standard output."""
    order = json.load(sys.stdin)
    # Whoever waits for us may have been killed: nobody else would end us then.
    timer = Timer(float(order.pop("seconds")), os._exit, [1])
    timer.daemon = True
    timer.start()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            why = carry(**order)
    except Exception as error:
        why = f"sending broke off with {type(error).__name__}"
    sys.stdout.write(json.dumps({"why": why}))
    sys.stdout.flush()
    os._exit(0)  # threads that a library left behind do not keep us


if __name__ == "__main__":
    main()
