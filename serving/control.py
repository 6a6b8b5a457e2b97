"""What the processes of one endpoint share: a private folder with what is served and where things are."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = "LEADWISE_SERVING"
"""Variable that names the folder to the processes of an endpoint."""


@dataclass(frozen=True)
class Serving:
    """What a worker serves.

    Attributes:
        tenant: whose.
        bundle: folder of the champion.
        seq: number of the ledger's decision that put it to work.
        sqlite: file of the online store; None where it is a Redis.
        redis: address of that Redis, with its password; None where it is a file.
        mark: file that says up to when features are online.
        cold: whether a lead without features gets a score.
        queue: requests for scores that may wait in a worker.
        rate: how often a key may ask, such as "600/minute"; None is no limit.
        fresh_hours: age of the features from which on a worker is not ready; None is never.
        cache: answers that a worker keeps.
        cache_seconds: for which "now" stands still where answers are kept.
        served: folder for what was served; None where that is not recorded.
        keys: salt and hash of each API key, by its id; None where everybody may ask.
    """

    tenant: str
    bundle: str
    seq: int
    sqlite: str | None
    redis: str | None
    mark: str
    cold: bool
    queue: int
    rate: str | None
    fresh_hours: float | None
    cache: int
    cache_seconds: int
    served: str | None
    keys: dict[str, tuple[str, str]] | None


class Control:
    """The folder, which nobody else may read: an address in it may hold a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def here(cls) -> Control:
        """The folder of the endpoint that this process is of."""
        return cls(Path(os.environ[FOLDER]))

    @property
    def socket(self) -> Path:
        """Where MLflow's scoring app listens."""
        return self.folder / "mlflow.sock"

    def say(self, serving: Serving) -> None:
        """Put what is served in the place of what was."""
        draft = self.folder / "serving.tmp"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(serving)), encoding="utf-8")
        draft.replace(self._file)

    def said(self) -> Serving | None:
        """What is served; None before the first time."""
        try:
            told: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if told["keys"] is not None:
            told["keys"] = {number: tuple(pair) for number, pair in told["keys"].items()}
        return Serving(**told)

    def fail(self, sentence: str) -> None:
        """Say why nothing can be served."""
        (self.folder / "failed.txt").write_text(sentence, encoding="utf-8")

    def failed(self) -> str | None:
        """What `fail` said."""
        try:
            return (self.folder / "failed.txt").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def begin(self) -> None:
        """Say that a worker answers."""
        (self.folder / "begun").touch()

    def begun(self) -> bool:
        """Whether a worker answered ever since."""
        return (self.folder / "begun").exists()

    @property
    def _file(self) -> Path:
        return self.folder / "serving.json"
