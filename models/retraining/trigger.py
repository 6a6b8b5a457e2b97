"""Whether to train again: at least k of the last n windows and the newest are bad, and nothing holds it back.

One bad window may be chance, a holiday or a broken export; several are the world. So do Databricks' MLOps Stacks, whose
monitor asks for several violations and a violation in the newest window.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from models.inputs import InputError
from models.retraining.changes import Change
from models.retraining.outcomes import Judged

State = Literal["good", "bad", "quality break", "unknown"]


@dataclass(frozen=True)
class Limits:
    """When training starts.

    Attributes:
        k: so many windows have to be bad, at least 1 and at most n.
        n: of so many last ones.
        cool_down_days: after a training none starts for so many days; 0 to wait for the next date.
        monthly_budget: trainings that may start in a calendar month; 0 for none.
        gap_days: windows further apart than this do not belong together, and one that is older decides nothing.
    """

    k: int
    n: int
    cool_down_days: int
    monthly_budget: int
    gap_days: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise InputError(f"k has to lie between 1 and n, not {self.k} of {self.n}: give 3 of 5, such as")
        odd = [name for name in ("cool_down_days", "monthly_budget", "gap_days") if getattr(self, name) < 0]
        if odd:
            raise InputError(f"{odd[0]} has to be 0 or more, not {getattr(self, odd[0])}")


@dataclass(frozen=True)
class Window:
    """One stretch of time; no outcome or row belongs to two of them.

    Attributes:
        date: its last day.
        state: "bad" counts for training. A "quality break" never does, since it is not a new market, and neither does
            an "unknown" one; both keep their place among the last n.
        why: one sentence.
    """

    date: date
    state: State
    why: str


@dataclass(frozen=True)
class Decision:
    """Whether to train.

    Attributes:
        train: start it.
        wanted: whether the windows ask for it; without `train` something holds it back.
        reason: one sentence, to be written on the run.
        held: what holds it back, such as "cool-down until 2026-03-14"; None where nothing does.
        until: the first date on which that holds it back no longer; None where no date is.
        trained: trainings of this calendar month, up to this date.
        windows: that were looked at, the oldest first.
    """

    train: bool
    wanted: bool
    reason: str
    held: str | None
    until: date | None
    trained: int
    windows: tuple[Window, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready values."""
        return {
            "train": self.train,
            "wanted": self.wanted,
            "reason": self.reason,
            "held": self.held,
            "until": self.until and self.until.isoformat(),
            "trained": self.trained,
            "windows": [{"date": one.date.isoformat(), "state": one.state, "why": one.why} for one in self.windows],
        }


def window(day: date, change: Change | None, outcomes: Judged | None) -> Window:
    """What a window comes to.

    A quality break stands above all else: outcomes of a broken source are no outcomes. Then outcomes that are not what
    was said, data drift and prior shift make it bad.

    Args:
        day: the last day of the window.
        change: of columns and sources; None where nothing was compared.
        outcomes: that became known within it; None where there are none.
    """
    if change is not None and change.kind == "quality break":
        return Window(day, "quality break", change.said)
    found = [] if outcomes is None or outcomes.state != "broken" else [f"outcomes are not as was said: {outcomes.said}"]
    if change is not None and change.kind != "quiet":
        found.append(f"{change.kind}: {change.said}")
    if found:
        return Window(day, "bad", "; ".join(found))
    if change is None and (outcomes is None or outcomes.state == "unknown"):
        return Window(day, "unknown", "nothing was compared" if outcomes is None else outcomes.said)
    return Window(day, "good", "; ".join(one.said for one in (change, outcomes) if one is not None))


def decided(windows: Sequence[Window], trainings: Iterable[date], today: date, limits: Limits) -> Decision:
    """Whether training starts on a date. The same call gives the same answer; once it trained, the answer is no.

    Windows may come late and in any order; of several with one date the last given counts, since a date that is judged
    again replaces its verdict. A window up to the last training speaks of the model before and is answered by it. Later
    windows than `today` are not known yet; a training on `today` or later has answered it.

    With `judged` at alpha .04 and tolerance .1, and k 3 of n 5, none of 1,000 simulated quiet months starts a training,
    of daily or weekly windows of 500 to 5,000 outcomes, be the model sound, off by harmless noise, or all month at the
    edge of the tolerance. A shift is answered in 95 % of cases within so many windows, of probabilities that average .1
    and have an AUC of .73 (median in brackets; 200 to 400 runs each). `tests/models/test_retraining.py` repeats both.

    Windows must not share outcomes: of months at the edge of the tolerance, looked at daily by windows of 28 days, 9 %
    train.

    | outcomes a window | log odds move by .4 | half the signal is lost | all of it |
    |-------------------|---------------------|-------------------------|-----------|
    | 500               | more than 60 (24)   | 18 (6)                  | 3 (3)     |
    | 1,000             | 16 (6)              | 6 (3)                   | 3 (3)     |
    | 2,000             | 5 (3)               | 4 (3)                   | 3 (3)     |
    | 5,000             | 3 (3)               | 3 (3)                   | 3 (3)     |

    Args:
        windows: of one target.
        trainings: dates as of which training started; all for the cool-down, and each counts for the budget.
        today: the date to decide on.
        limits: see `Limits`.
    """
    past = sorted(trainings)
    last = past[-1] if past else None
    looked = _last(windows, last, today, limits)
    month = today.replace(day=1)
    trained = sum(month <= one <= today for one in past)
    bad = [one for one in looked if one.state == "bad"]
    count = f"{len(bad)} of the last {len(looked)} windows are bad"
    wanted = len(bad) >= limits.k and looked[-1].state == "bad"
    if not wanted:
        return Decision(False, False, _quiet(looked, count, last, today, limits), None, None, trained, looked)
    dates = ", ".join(one.date.isoformat() for one in bad)
    reason = f"{count} ({dates}) and the newest is: {looked[-1].why}"
    held, until = _held(last, trained, today, limits)
    if held is not None:
        return Decision(False, True, f"{reason}; not trained: {held}", held, until, trained, looked)
    return Decision(True, True, reason, None, None, trained, looked)


def _last(windows: Sequence[Window], trained: date | None, today: date, limits: Limits) -> tuple[Window, ...]:
    """The last n windows that belong together, the oldest first."""
    by_date = {one.date: one for one in windows if one.date <= today and (trained is None or one.date > trained)}
    gap = timedelta(days=limits.gap_days)
    found: list[Window] = []
    later = today
    for day in sorted(by_date, reverse=True)[: limits.n]:
        if later - day > gap:
            break
        found.append(by_date[day])
        later = day
    return tuple(reversed(found))


def _quiet(looked: Sequence[Window], count: str, last: date | None, today: date, limits: Limits) -> str:
    """Why the windows do not ask for training."""
    if not looked:
        if last is not None and last >= today:
            return f"a training as of {last} has answered {today}"
        since = "" if last is None else f" since the training of {last}"
        return f"there is no window of the {limits.gap_days} days up to {today}{since}: nothing is decided"
    newest = looked[-1]
    asked = f"at least {limits.k} of {limits.n}, and the newest, have to be"
    return f"{count}, {asked}; the newest ({newest.date}) is {_state(newest.state)}: {newest.why}"


def _state(state: State) -> str:
    return "a quality break" if state == "quality break" else state


def _held(last: date | None, trained: int, today: date, limits: Limits) -> tuple[str | None, date | None]:
    """What holds training back, and until when; the later of two."""
    found: list[tuple[date | None, str]] = []
    over = None if last is None else last + timedelta(days=limits.cool_down_days)
    if over is not None and today < over:
        found.append((over, f"cool-down until {over}, after the training of {last}"))
    if trained >= limits.monthly_budget:
        renewed = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
        words = f"budget used, {trained} of {limits.monthly_budget} trainings in {today:%Y-%m}"
        found.append((renewed if limits.monthly_budget else None, words))
    if not found:
        return None, None
    ends = [until for until, _ in found]
    return "; ".join(words for _, words in found), None if None in ends else max(one for one in ends if one)
