"""UCI Bank Marketing (Moro, Cortez & Rita 2014): rows in order of time, without what is known only after the call."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.core.settings import ROOT, get_settings

SEEDS = (0, 1, 2, 3, 4, 42)
TEST_SHARE = 0.2
_KNOWN_AFTER = "duration"


class Absent(Exception):
    """Data that this machine does not have; says where it was looked for."""


@dataclass(frozen=True)
class Rows:
    """Columns as they come, outcomes of 0.0 and 1.0, and times where there are any."""

    X: pd.DataFrame
    y: npt.NDArray[np.float64]
    time: npt.NDArray[np.datetime64] | None = None

    def take(self, at: npt.NDArray[np.intp] | slice) -> "Rows":
        """Some of the rows."""
        return Rows(self.X.iloc[at], self.y[at], None if self.time is None else self.time[at])

    def without_time(self) -> "Rows":
        """The same rows, with nothing said of their order."""
        return Rows(self.X, self.y)


def found(name: str) -> Path:
    """A file of other people's data. Raises Absent."""
    for folder in (get_settings().data, ROOT.parent / "shared" / "data"):
        if (folder / name).is_file():
            return folder / name
    raise Absent(f"{name} is neither in {get_settings().data} nor in ../shared/data: set LEADWISE_DATA")


def additional() -> Rows:
    """`bank-additional-full.csv`, 41,188 calls in order of time. They bear no dates: row n is given the n-th minute."""
    table = pd.read_csv(found("bank_marketing/bank-additional-full.csv"), sep=";")
    time = np.datetime64("2008-05-01") + np.arange(len(table)).astype("timedelta64[m]")
    return _rows(table, time)


def dated() -> Rows:
    """`bank-full.csv` with the day of each of its 45,211 calls."""
    table = pd.read_csv(found("bank_marketing/bank-full-dated.csv"))
    return _rows(table, table.pop("contact_date").to_numpy(dtype="datetime64[D]"))


def _rows(table: pd.DataFrame, time: npt.NDArray[np.datetime64]) -> Rows:
    y = (table.pop("y") == "yes").to_numpy(dtype=np.float64)
    return Rows(table.drop(columns=_KNOWN_AFTER), y, time)


def split(y: npt.NDArray[np.float64], seed: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions of a stratified 80/20 split: training rows, test rows."""
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(np.arange(len(y)), stratify=y, test_size=TEST_SHARE, random_state=seed)
    return train, test


def free(y: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Positions of the rows that no test split of `SEEDS` holds: parameters are chosen on these."""
    tested = np.concatenate([split(y, seed)[1] for seed in SEEDS])
    return np.setdiff1d(np.arange(len(y)), tested)
