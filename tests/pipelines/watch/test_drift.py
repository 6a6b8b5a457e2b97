"""Drift is found where it was planted, and nowhere else."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from pipelines.core.params import MonitorParams
from pipelines.watch.drift import Kind, compare

PARAMS = MonitorParams.model_validate(
    {
        "sample_rows": 2000,
        "numeric": {"method": "wasserstein", "threshold": 0.15},
        "categorical": {"method": "jensenshannon", "threshold": 0.1},
        "share": 0.3,
    }
)
KINDS: dict[str, Kind] = {
    "calm": "numeric",
    "shifted": "numeric",
    "gaps": "numeric",
    "lost": "numeric",
    "never": "numeric",
    "place": "categorical",
    "flag": "categorical",
    "score": "numeric",
}


def sample(seed: int, moved: bool = False) -> pd.DataFrame:
    """A sample of one distribution; `moved` moves three of its columns."""
    rng = np.random.default_rng(seed)
    n = 2000
    frame = pd.DataFrame(
        {
            "calm": rng.normal(size=n),
            "shifted": rng.normal(size=n) + 0.5 * moved,
            "gaps": rng.normal(size=n),
            "lost": rng.normal(size=n) if not moved else np.nan,
            "never": np.full(n, np.nan),
            "place": rng.choice(["x", "y", "z"], n, p=[0.2, 0.2, 0.6] if moved else [0.4, 0.4, 0.2]),
            "flag": rng.random(n) < 0.4,
            "score": rng.random(n),
        }
    )
    frame.loc[rng.random(n) < (0.6 if moved else 0.2), "gaps"] = np.nan
    return frame


def test_drift_fires_on_what_was_moved_and_nothing_else(tmp_path: Path) -> None:
    drift = compare(sample(1), sample(2, moved=True), KINDS, PARAMS)

    assert drift.drifted == ["shifted", "gaps", "lost", "place"]
    assert drift.share == pytest.approx(4 / 8)


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_drift_stays_quiet_on_the_same_distribution(seed: int) -> None:
    assert compare(sample(1), sample(seed), KINDS, PARAMS).drifted == []


def test_values_are_those_of_the_formulas() -> None:
    before, now = sample(1), sample(2, moved=True)

    found = {(item.column, item.aspect): item for item in compare(before, now, KINDS, PARAMS).columns}

    distance = wasserstein_distance(before["shifted"], now["shifted"]) / np.std(before["shifted"])
    shares = [frame["place"].value_counts(normalize=True).sort_index() for frame in (before, now)]
    assert found["shifted", "value"].value == pytest.approx(distance)
    assert found["place", "value"].value == pytest.approx(jensenshannon(*shares))
    assert found["lost", "value"].value is None
    assert found["lost", "missing"].drifted
    assert not found["never", "missing"].drifted


def test_the_page_needs_no_network_and_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "drift.html"
    compare(sample(1), sample(2), {"calm": "numeric", "place": "categorical"}, PARAMS, page)

    html = page.read_text(encoding="utf-8")
    assert "calm" in html
    assert "<script src=" not in html
    assert "<link" not in html
    assert capfd.readouterr() == ("", "")
