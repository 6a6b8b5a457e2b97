"""Draws the leads: who they are, what is hidden about them, and when they were acquired."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.collect.simulator.geography import Geography
from pipelines.collect.simulator.kit import DAY_SECONDS, NEVER, Bools, Floats, Ints, arrival_lag, stream
from pipelines.collect.simulator.phones import draw_phones
from pipelines.collect.simulator.story import CARRIERS, LINE_TYPES, PLATFORMS, Story
from pipelines.core.params import SimulateParams


@dataclass(frozen=True)
class Population:
    """One entry per lead; instants are seconds since 1970, days count from the first simulated one.

    Attributes:
        phones: E.164, unique.
        lada: index of the area code.
        quality: hidden, mean 0, standard deviation 1.
        habit: hidden taste for each platform, one column a platform.
        pace: hidden, added to the logarithm of every response time.
        rate: how often the lead is messaged, mean 1.
        active_day: first day on which it can be validated or messaged, after its row has arrived.
        silent_day: day on which it gives up its number.
        ring: number of its fraud ring, -1 for honest leads.
    """

    phones: NDArray[np.str_]
    lada: Ints
    state: Ints
    carrier: Ints
    line: Ints
    consent: Bools
    quality: Floats
    habit: Floats
    pace: Floats
    rate: Floats
    acquired: Ints
    received: Ints
    active_day: Ints
    silent_day: Ints
    ring: Ints

    def __len__(self) -> int:
        return len(self.lada)


def draw_population(params: SimulateParams, story: Story, places: Geography, start: int, fraud: bool) -> Population:
    """Draw all leads.

    Args:
        params: number of leads, seed, lateness.
        story: the constants.
        places: area codes and how many leads each has.
        start: first midnight, in seconds.
        fraud: whether rings of fraudulent leads are among them.

    Raises:
        ConfigError: more leads than there are numbers.
    """
    n, rng = params.leads, stream(params.seed, "leads")
    lada = rng.choice(len(places.ladas), size=n, p=places.weights / places.weights.sum())
    ring = _rings(n, story, fraud)
    if fraud:
        homes = lada[rng.integers(0, n, size=int(ring.max()) + 1)]
        lada = np.where(ring >= 0, homes[ring], lada)
    acquired, received = _acquisition(rng, params, story, start, ring)
    second_of_first_day = received - start
    active = np.where(second_of_first_day < DAY_SECONDS // 4, 0, second_of_first_day // DAY_SECONDS + 1)
    silent = active + rng.geometric(story.silence_hazard, n)
    return Population(
        phones=draw_phones(stream(params.seed, "phones"), lada, ring, places.ladas),
        lada=lada,
        state=places.state[lada],
        carrier=rng.choice(len(CARRIERS), size=n, p=story.carrier_shares),
        line=np.where(ring >= 0, LINE_TYPES.index("voip"), rng.choice(len(LINE_TYPES), size=n, p=story.line_shares)),
        consent=(rng.random(n) < story.consent_share) | (ring >= 0),
        quality=rng.standard_normal(n, dtype=np.float32),
        habit=story.habit_sd * rng.standard_normal((n, len(PLATFORMS)), dtype=np.float32),
        pace=story.pace_sd * rng.standard_normal(n, dtype=np.float32),
        rate=rng.gamma(3.0, 1 / 3.0, n).astype(np.float32),
        acquired=acquired,
        received=received,
        active_day=active,
        silent_day=np.where(ring >= 0, NEVER, silent),
        ring=ring,
    )


def _rings(n: int, story: Story, fraud: bool) -> Ints:
    """The ring of each lead: the first leads, ring by ring, are the fraudulent ones."""
    ring = np.full(n, -1, dtype=np.int64)
    if fraud:
        size = max(1, round(n * story.fraud_share))
        ring[:size] = np.arange(size) // story.fraud_ring
    return ring


def _acquisition(
    rng: np.random.Generator, params: SimulateParams, story: Story, start: int, ring: Ints
) -> tuple[Ints, Ints]:
    """When each lead was acquired and when its row arrived.

    Leads older than the period arrive in the first quarter of its first day; a fraud ring is acquired within an hour.
    """
    n = params.leads
    order = rng.permutation(n)
    present = order < np.ceil(n * story.present_share)
    lag = arrival_lag(rng, n, params.late_share, story)
    late = lag > DAY_SECONDS // 4
    age = rng.exponential(120 * DAY_SECONDS, n).clip(1, 720 * DAY_SECONDS)
    joining = rng.integers(0, max(1, params.drawn_days * DAY_SECONDS * 2 // 3), n)
    if ring.max(initial=-1) >= 0:
        hours = rng.integers(0, max(1, params.drawn_days * DAY_SECONDS // 2), int(ring.max()) + 1)
        joining = np.where(ring >= 0, hours[ring] + rng.integers(0, 3600, n), joining)
        present = present & (ring < 0)
    first_load = rng.integers(0, DAY_SECONDS // 4, n)
    acquired = np.where(present, start - age.astype(np.int64), start + joining)
    received = np.where(present, start + first_load + np.where(late, lag, 0), acquired + lag)
    return acquired, received
