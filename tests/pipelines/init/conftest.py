"""A project of the test's own: parameters and rooms in a temporary folder, and files to start from."""

import csv
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.settings import ROOT, Settings, get_settings
from pipelines.init import Made, Request, Wanted, init

Rows = Iterable[dict[str, Any]]
Start = Callable[..., Made]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of an empty project with the repository's parameters, in force as the environment has them."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("var", "expectations", "feature_repo", "data"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"LEADWISE_{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("LEADWISE_PARAMS", str(tmp_path / "params.yaml"))
    return get_settings()


@pytest.fixture
def start(project: Settings) -> Start:
    """`init` in the project: `start("shop", files, label="orders", horizon=30, force=False)`."""

    def run(case: str, *files: Path, horizon: int | None = None, force: bool = False, **wanted: str) -> Made:
        return init(Request(case, files, None, Wanted(**wanted), horizon, force), project)

    return run


def write(path: Path, rows: Rows, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Rows as CSV."""
    rows = list(rows)
    with path.open("w", encoding=encoding, newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def contacts(people: int = 600, each: int = 1, seed: int = 3) -> list[dict[str, Any]]:
    """Contacts over 60 days, `each` of them per person, with an outcome that follows from the age."""
    draw = random.Random(seed)
    rows = []
    for number in range(people * each):
        age = draw.randint(18, 80)
        when = datetime(2026, 1, 1) + timedelta(days=60 * number / (people * each), minutes=draw.randint(0, 600))
        rows.append(
            {
                "contact_id": f"K{number:05d}",
                "client_id": number % people + 1000,
                "contacted_at": when.isoformat(sep=" ", timespec="seconds"),
                "age": age,
                "channel": draw.choice(["mail", "shop", "web"]),
                "bought": "yes" if draw.random() < (0.6 if age > 50 else 0.2) else "no",
            }
        )
    return rows
