"""Walks through the days: who is validated, who gets a message, and what comes of it.

Each day is one set of vectorised draws; only what a lead remembers (mood, fatigue, warmth, opting out) passes from one
day to the next.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from pipelines.collect.simulator.economy import is_weekend
from pipelines.collect.simulator.kit import DAY_SECONDS, NEVER, Columns, Floats, Ints, stream
from pipelines.collect.simulator.outcomes import Mind, Outcomes, draw_outcomes, merge
from pipelines.collect.simulator.policy import choose, policy_table
from pipelines.collect.simulator.population import Population
from pipelines.collect.simulator.story import HOURS, Story
from pipelines.collect.simulator.validations import draw_validations
from pipelines.collect.simulator.world import World


@dataclass(frozen=True)
class Traffic:
    """What happened; `lead` is an index into the population, instants are seconds.

    Attributes:
        validations: lead, at, and per platform `<platform>_active` and `<platform>_ms` (-1 when not answered).
        messages: lead, campaign, sent, delivered (-1 when it failed), variant, length, cost, randomized, propensity,
            probability (of a click or purchase within seven days, before the draw), converted.
        conversions: lead, message (index into `messages`), at, kind, revenue (NaN unless a purchase).
        opted_out: instant at which each lead opted out, `NEVER` if it did not.
    """

    validations: Columns
    messages: Columns
    conversions: Columns
    opted_out: Ints


class _Memory:
    """What passes from day to day, one entry per lead."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        n = len(world.people)
        self.rng = rng
        self.mood = world.story.mood_sd * rng.standard_normal(n, dtype=np.float32)
        self.fatigue = np.zeros(n, dtype=np.float32)
        self.warmth = np.zeros(n, dtype=np.float32)
        self.opted_out = np.full(n, NEVER, dtype=np.int64)
        self.next_validation = world.people.active_day + rng.exponential(2.0, n)

    def next_day(self, story: Story) -> None:
        """Let a night pass."""
        shock = story.mood_sd * np.sqrt(1 - story.mood_memory**2)
        self.mood *= np.float32(story.mood_memory)
        self.mood += np.float32(shock) * self.rng.standard_normal(len(self.mood), dtype=np.float32)
        self.fatigue *= np.float32(np.exp(-1 / story.fatigue_days))
        self.warmth *= np.float32(np.exp(-1 / story.warmth_days))


def run_traffic(world: World) -> Traffic:
    """Simulate every day of the period."""
    rng = stream(world.params.seed, "traffic")
    memory, table = _Memory(world, rng), policy_table(world.story)
    offsets = world.places.noon_offsets(world.params.start, world.params.drawn_days)
    weekend = is_weekend([world.params.start + timedelta(days=d) for d in range(world.params.drawn_days)])
    validations: list[Columns] = []
    outcomes: list[Outcomes] = []
    for day in range(world.params.drawn_days):
        contacted = _contacted(world.people, world.story, day)
        quality = world.people.quality + memory.mood
        validations.append(_validate(world, memory, contacted, quality, day))
        messages = _send(world, memory, table, contacted, day, bool(weekend[day]), offsets[:, day])
        minds = Mind(quality, memory.fatigue, memory.warmth, memory.opted_out < NEVER)
        outcome = draw_outcomes(rng, world, messages, minds, day)
        _remember(memory, outcome)
        outcomes.append(outcome)
        memory.next_day(world.story)
    messages, conversions = merge(outcomes)
    columns = {name: np.concatenate([part[name] for part in validations]) for name in validations[0]}
    return Traffic(columns, messages, conversions, memory.opted_out)


def _contacted(people: Population, story: Story, day: int) -> Ints:
    """Leads that the marketer knows and has not given up yet."""
    given_up = people.silent_day + story.dropped_after_days
    return np.flatnonzero((people.active_day <= day) & (day < given_up))


def _validate(world: World, memory: _Memory, contacted: Ints, quality: Floats, day: int) -> Columns:
    """Validate the leads whose turn it is, and set their next turn."""
    lead = contacted[memory.next_validation[contacted] <= day]
    pause = 30.0 / world.params.validations_per_lead_month
    memory.next_validation[lead] = day + np.maximum(1.0, memory.rng.gamma(4.0, pause / 4.0, len(lead)))
    midnight = world.start + day * DAY_SECONDS
    at = midnight + memory.rng.integers(DAY_SECONDS // 4, DAY_SECONDS, len(lead))
    silent = world.people.silent_day[lead] <= day
    found = draw_validations(memory.rng, world.people, world.story, lead, quality[lead], silent, world.drifted(day))
    return {"lead": lead, "at": at, **found}


def _send(
    world: World, memory: _Memory, table: Floats, contacted: Ints, day: int, weekend: bool, offset: Ints
) -> Columns:
    """Choose who gets a message on this local day, from which campaign, when and in which variant."""
    story, rng, people = world.story, memory.rng, world.people
    weekday = (world.params.start + timedelta(days=day)).weekday()
    busy = story.sending_weekday[weekday] / np.mean(story.sending_weekday) * rng.lognormal(-0.02, 0.2)
    daily = min(1.0, world.params.messages_per_lead_week / 7.0) * busy
    lead = contacted[rng.random(len(contacted), dtype=np.float32) < daily * people.rate[contacted]]
    last_hour = world.start + day * DAY_SECONDS + (HOURS[-1] + 1) * 3600 - offset[people.lada[lead]]
    # Whoever opts out in the course of the day is left out whatever the hour: dropping by hour would bias propensities
    lead = lead[people.consent[lead] & (memory.opted_out[lead] > last_hour)]
    campaign = rng.choice(world.campaigns.running(day, story.campaign_days), size=len(lead))
    choice = choose(rng, table, world.campaigns.objective[campaign], weekend, world.params.randomized_share)
    second = choice.hour * 3600 + rng.integers(0, 3600, len(lead))
    sent = world.start + day * DAY_SECONDS + second - offset[people.lada[lead]]
    length = np.array(story.length_mean)[choice.variant] * np.exp(story.length_sd * rng.standard_normal(len(lead)))
    length = length.astype(np.int64).clip(20, 480)
    cost = np.round(story.cost_per_part * -(-length // 160), 2)
    return {
        "lead": lead,
        "campaign": campaign,
        "sent": sent,
        "hour": choice.hour,
        "variant": choice.variant,
        "length": length,
        "cost": cost,
        "randomized": choice.randomized,
        "propensity": choice.propensity,
    }


def _remember(memory: _Memory, outcome: Outcomes) -> None:
    """Note messages, conversions and opting out; a lead has at most one message a day."""
    lead = outcome.messages["lead"]
    memory.fatigue[lead] += outcome.messages["delivered"] >= 0
    memory.warmth[lead[outcome.messages["converted"]]] = 1.0
    memory.opted_out[outcome.opt_out_lead] = outcome.opt_out_at
