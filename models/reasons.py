"""Why a row got its score: the inputs that added or took most, on the raw scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.inputs import Floats

_CHUNK = 20_000


@dataclass(frozen=True)
class Explanation:
    """Additive reasons of n rows: `raw = base + contributions.sum(axis=1) + rest`.

    Contributions of boosted members follow the trees' paths; those of XGBoost are an approximation (Saabas 2014).

    Attributes:
        features: (n, top) positions of the inputs that moved the row most, the strongest first.
        contributions: (n, top) what each of them added, in log odds or in units of the value.
        base: (n,) where every row starts.
        rest: (n,) all other inputs together, and what a member can't attribute.
        raw: (n,) the score before calibration, in log odds or in units of the value.
    """

    features: npt.NDArray[np.intp]
    contributions: Floats
    base: Floats
    rest: Floats
    raw: Floats


def explained(
    named: Callable[[Floats], Floats], unnamed: Callable[[Floats], Floats], matrix: Floats, top: int
) -> Explanation:
    """The strongest `top` terms of each encoded row.

    Args:
        named: gives the terms of encoded rows by input, the base last.
        unnamed: gives what no input can be named for.
        matrix: encoded rows.
        top: how many.
    """
    rows = len(matrix)
    features = np.empty((rows, top), dtype=np.intp)
    strongest, base, raw = np.empty((rows, top)), np.empty(rows), np.empty(rows)
    for at in range(0, rows, _CHUNK):
        here = slice(at, at + _CHUNK)
        terms = named(matrix[here])
        order = np.argsort(-np.abs(terms[:, :-1]), axis=1, kind="stable")[:, :top]
        features[here] = order
        strongest[here] = np.take_along_axis(terms, order, axis=1)
        base[here] = terms[:, -1]
        raw[here] = terms.sum(axis=1) + unnamed(matrix[here])
    return Explanation(features, strongest, base, raw - base - strongest.sum(axis=1), raw)
