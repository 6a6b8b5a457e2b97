import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from models import metrics

rows = st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0])), min_size=2, max_size=60)


@given(rows)
def test_auc_and_logloss_agree_with_scikit_learn(pairs: list[tuple[bool, float]]) -> None:
    y = np.array([label for label, _ in pairs], dtype=float)
    p = np.array([score for _, score in pairs])
    if len(set(y)) == 2:
        assert metrics.auc(y, p) == pytest.approx(roc_auc_score(y, p))
    else:
        assert np.isnan(metrics.auc(y, p))
    expected = log_loss(y, np.clip(p, 1e-15, 1 - 1e-15), labels=[0, 1])
    assert metrics.logloss(y, p) == pytest.approx(expected, abs=1e-9)


def test_ece_of_fifteen_equal_bins_by_hand() -> None:
    p = np.linspace(0, 1, 150)
    y = (np.arange(150) % 3 == 0).astype(float)
    by_hand = np.mean([abs(p[i : i + 10].mean() - y[i : i + 10].mean()) for i in range(0, 150, 10)])
    assert metrics.ece(y, p) == pytest.approx(by_hand)


def test_ece_is_small_for_true_probabilities_and_large_for_shifted_ones() -> None:
    rng = np.random.default_rng(0)
    p = rng.beta(2, 8, 50_000)
    y = rng.random(50_000) < p
    assert metrics.ece(y, p) < 0.01
    assert metrics.ece(y, p + 0.1) == pytest.approx(0.1, abs=0.01)


@given(rows, st.integers(1, 20))
def test_calibration_bins_hold_every_row_once(pairs: list[tuple[bool, float]], bins: int) -> None:
    y = np.array([label for label, _ in pairs], dtype=float)
    p = np.array([score for _, score in pairs])
    predicted, observed, counts = metrics.calibration(y, p, bins)
    assert counts.sum() == len(y)
    assert counts.max() - counts.min() <= 1
    assert np.average(observed, weights=counts) == pytest.approx(y.mean())
    assert (np.diff(predicted) >= -1e-12).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="as many labels"):
        metrics.logloss([0, 1], [0.5])
