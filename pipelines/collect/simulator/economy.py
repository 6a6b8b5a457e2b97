"""Draws what surrounds the leads: the economy of each state, holidays, competitors, and the campaigns."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from pipelines.collect.simulator.geography import Geography
from pipelines.collect.simulator.kit import Bools, Floats, Ints, stream
from pipelines.collect.simulator.story import OBJECTIVES, Story
from pipelines.core.params import SimulateParams


@dataclass(frozen=True)
class Economy:
    """Arrays of one row a state and one column a day, or one entry a day.

    Attributes:
        index: economic index, about 100.
        pressure: competitors' activity between 0 and 1.
        holiday: national holidays, per day.
        season: log-odds of conversion that state and day add, apart from the quality of the lead.
    """

    index: Floats
    pressure: Floats
    holiday: Bools
    season: Floats


@dataclass(frozen=True)
class Campaigns:
    """One entry a campaign; days count from the first simulated one and may lie before it.

    Attributes:
        objective: index into `OBJECTIVES`.
        first_day: day on which it starts; it runs for `Story.campaign_days`.
        budget: MXN.
    """

    objective: Ints
    first_day: Ints
    budget: Floats

    def __len__(self) -> int:
        return len(self.objective)

    def running(self, day: int, days: int) -> Ints:
        """Indices of those that run on `day`, each for `days` days."""
        return np.flatnonzero((self.first_day <= day) & (day < self.first_day + days))


def draw_economy(params: SimulateParams, story: Story, places: Geography) -> Economy:
    """Draw the index and the competitors' pressure of each state as slow autoregressions."""
    rng, shape = stream(params.seed, "economy"), (len(places.states), params.drawn_days)
    index = places.economy[:, None] + story.economy_sd * _autoregression(rng, shape, story.economy_memory)
    pressure = 1 / (1 + np.exp(0.6 - _autoregression(rng, shape, story.competitor_memory)))
    dates = [params.start + timedelta(days=d) for d in range(params.drawn_days)]
    holiday = np.array([is_holiday(day) for day in dates])
    calendar = story.holiday * holiday + story.payday * np.array([_payday(day) for day in dates])
    season = story.economy * (index - 100) / 10 + story.competitor * (pressure - 0.35) + calendar[None, :]
    return Economy(index.round(2), pressure.round(4), holiday, season)


def draw_campaigns(params: SimulateParams, story: Story) -> Campaigns:
    """Draw a campaign every few days, two of them on the first."""
    rng = stream(params.seed, "campaigns")
    first = np.concatenate([[0], np.arange(0, params.drawn_days, story.campaign_every_days)])
    objective = np.concatenate([[0], rng.integers(0, len(OBJECTIVES), len(first) - 1)])
    budget = np.round(rng.lognormal(10.0, 0.5, len(first)), 2)
    return Campaigns(objective, first, budget)


def _autoregression(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> Floats:
    """Rows of AR(1) series with mean 0 and standard deviation 1."""
    series = rng.standard_normal(shape)
    for day in range(1, shape[1]):
        series[:, day] = memory * series[:, day - 1] + np.sqrt(1 - memory**2) * series[:, day]
    return np.asarray(series)


def is_holiday(day: date) -> bool:
    """Whether wages are due without work in Mexico (Ley Federal del Trabajo, art. 74, elections left aside)."""
    if (day.month, day.day) in ((1, 1), (5, 1), (9, 16), (12, 25)):
        return True
    first_of_term = (day.month, day.day) == (10, 1) and day.year >= 2024 and (day.year - 2024) % 6 == 0
    week = (day.day - 1) // 7 + 1
    return first_of_term or (day.weekday() == 0 and (day.month, week) in ((2, 1), (3, 3), (11, 3)))


def _payday(day: date) -> bool:
    """Whether wages were paid on this day or the one before (on the 15th and at the end of the month)."""
    return day.day in (15, 16, 1) or (day + timedelta(days=1)).day == 1


def is_weekend(dates: list[date]) -> Bools:
    """Which days are Saturdays or Sundays."""
    return np.array([day.weekday() >= 5 for day in dates])
