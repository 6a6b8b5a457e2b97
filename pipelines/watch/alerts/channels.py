"""Where messages go: the log, or any address that Apprise understands, such as Slack, e-mail or a webhook."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

log = logging.getLogger("leadwise")

LOG = "log"
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR, "over": logging.INFO}
_BETWEEN = re.compile(r"(?:\s*,\s*|\s+)(?=log\b|[A-Za-z][A-Za-z0-9+.-]*://)")  # an address may hold commas
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class AlertSettings(BaseSettings):
    """Where messages go, from the environment (`LEADWISE_ALERTS…`)."""

    model_config = SettingsConfigDict(env_prefix="LEADWISE_", extra="ignore", frozen=True)

    alerts: SecretStr = Field(SecretStr(LOG), description="log, and Apprise's addresses, separated by commas")
    alerts_seconds: float = Field(10, gt=0, description="seconds after which a channel that does not answer is left")
    alerts_hours: float = Field(24, gt=0, description="hours after which what lasts is told again")


@dataclass(frozen=True)
class Channel:
    """A way to people.

    Attributes:
        name: as logs show it: its scheme, and its number where several have that, such as "slack" or "slack 2".
        address: a secret; None for the log.
    """

    name: str
    address: SecretStr | None = field(default=None, repr=False)

    def send(self, title: str, text: str, severity: str, seconds: float) -> str | None:
        """Send a message, and give up after so many seconds.

        Args:
            title: a short line.
            text: plain text.
            severity: "info", "warning", "error" or "over".
            seconds: in which the channel has to be done, whatever its server does.

        Returns:
            Why it could not be sent, without a secret; None where it was.
        """
        if self.address is None:
            log.log(_LEVELS[severity], "%s. %s", title, text.replace("\n", ". "))
            return None
        order = {"address": self.address.get_secret_value(), "title": title, "text": text, "severity": severity}
        return _carried(json.dumps({**order, "seconds": seconds}), seconds)


def channels(settings: AlertSettings | None = None) -> list[Channel]:
    """The channels of the settings, each address once; the log where nothing is set."""
    text = (settings or AlertSettings()).alerts.get_secret_value().strip().strip(",")
    found: list[Channel] = []
    numbers: Counter[str] = Counter()
    for address in dict.fromkeys(one for one in _BETWEEN.split(text or LOG) if one):
        if address.rstrip(":/") == LOG:
            found.append(Channel(LOG))
            continue
        match = _SCHEME.match(address)
        scheme = match[1].lower() if match else "unknown"
        numbers[scheme] += 1
        name = scheme if numbers[scheme] == 1 else f"{scheme} {numbers[scheme]}"
        found.append(Channel(name, SecretStr(address)))
    return found


def _carried(order: str, seconds: float) -> str | None:
    """Have a process send it, and end that one after so many seconds."""
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.watch.alerts.courier"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        with subprocess.Popen(command, text=True, **pipes) as courier:  # type: ignore[call-overload]  # noqa: S603
            try:
                said, _ = courier.communicate(order, timeout=seconds)
            except subprocess.TimeoutExpired:
                return f"it did not answer within {seconds:g} seconds"
            finally:
                courier.kill()
    except OSError as error:
        return f"no process could be started for it ({error.strerror})"
    try:
        why = json.loads(said)["why"]
    except (ValueError, KeyError, TypeError):
        return "its process died"
    return None if why is None else str(why)
