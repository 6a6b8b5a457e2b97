"""A small use case without a fault, in which each test plants one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.core.params import _merge
from pipelines.core.settings import ROOT
from pipelines.doctor.facts import Facts
from pipelines.doctor.rules import Finding, examine

QUICK = ("contracts", "sql", "params", "settings", "state")

VISITS = """
kind: DataContract
apiVersion: v3.2.0
id: shop-visits
name: Visits
version: 1.0.0
status: active
schema:
  - name: visits
    properties:
      - name: visit_id
        logicalType: string
        primaryKey: true
      - name: guest
        logicalType: string
        classification: restricted
        customProperties: [{property: entity, value: guest_id}]
      - name: came_at
        logicalType: timestamp
        customProperties: [{property: event_time, value: true}]
      - name: spent
        logicalType: number
"""

MAPPING = '-- table: visits\nselect id as visit_id, who as guest, "at" as came_at, amount as spent from visits\n'
FEATURES = "select guest_id, sum(spent) as spent_in_all from visits where came_at <= $as_of group by guest_id\n"
LABEL = (
    "select guest_id, came_at as event_time, spent > 10 as label,"
    " came_at + to_days($horizon_days::int) as known_at from visits\n"
)
CANDIDATES = "select distinct guest_id from visits where came_at <= $as_of\n"

SHOP = {
    "use_case": "shop",
    "sources": {"visits": {"path": "{data}/visits/{date}.csv"}},
    "run": {"start": "2026-01-01", "end": "2026-03-01", "dates": []},
    "train": {"targets": {"spender": {"horizon_days": 7}}},
}

Planted = Callable[..., list[Finding]]


class World:
    """The shop, with changes: `look()` says what the doctor finds in it."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home, self.patch = home, monkeypatch
        for name in ("expectations", "feature_repo", "var", "data"):
            monkeypatch.setenv(f"LEADWISE_{name.upper()}", str(home / name))
        monkeypatch.setenv("LEADWISE_PARAMS", str(home / "params.yaml"))
        common = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        common["train"]["targets"] = {}
        self.document: dict[str, Any] = {**common, "tenants": {"shop": SHOP}}
        self.params({})
        for file, text in {
            "expectations/shop/visits.yaml": VISITS,
            "feature_repo/shop/mapping.sql": MAPPING,
            "feature_repo/shop/features_guest.sql": FEATURES,
            "feature_repo/shop/labels/spender.sql": LABEL,
            "feature_repo/shop/candidates.sql": CANDIDATES,
        }.items():
            self.write(file, text)

    def write(self, file: str, text: str) -> Path:
        """A file below the world's folder."""
        path = self.home / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def remove(self, file: str) -> None:
        """Without that file."""
        (self.home / file).unlink()

    def params(self, change: dict[str, Any]) -> None:
        """params.yaml with `change` laid over it."""
        self.document = _merge(self.document, change)
        self.write("params.yaml", yaml.safe_dump(self.document, sort_keys=False))

    def shop(self, change: dict[str, Any]) -> None:
        """The tenant with `change` laid over it."""
        self.params({"tenants": {"shop": change}})

    def look(self, *only: str, **facts: Any) -> list[Finding]:
        """All findings of the quick groups, or of `only`."""
        return examine(Facts(**facts), only or QUICK)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The shop without a fault."""
    return World(tmp_path, monkeypatch)
