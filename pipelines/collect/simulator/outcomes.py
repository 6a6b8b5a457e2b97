"""Draws what comes of the messages of one day, and keeps the probability it was drawn with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.collect.simulator.kit import DAY_SECONDS, Bools, Columns, Floats, Ints, logistic
from pipelines.collect.simulator.kit import lognormal_seconds as delays
from pipelines.collect.simulator.story import HOURS, Story
from pipelines.collect.simulator.world import World

KINDS = ("reply", "click", "purchase", "opt_out")
REPLY, CLICK, PURCHASE, OPT_OUT = range(4)


@dataclass(frozen=True)
class Mind:
    """What a lead is and remembers in the morning of a day, one entry per lead or per message.

    Attributes:
        quality: with its mood of the day.
        fatigue: messages it recently got, faded.
        warmth: 1 after a conversion, faded.
        left: whether it has opted out or is about to.
    """

    quality: Floats
    fatigue: Floats
    warmth: Floats
    left: Bools

    def of(self, lead: Ints) -> Mind:
        """The entries at `lead`."""
        return Mind(self.quality[lead], self.fatigue[lead], self.warmth[lead], self.left[lead])


@dataclass(frozen=True)
class Outcomes:
    """One day's messages with what is known about them, and their conversions (`message` counts within the day)."""

    messages: Columns
    conversions: Columns
    opt_out_lead: Ints
    opt_out_at: Ints


def conversion_odds(world: World, messages: Columns, mind: Mind, day: int) -> Floats:
    """Log-odds that a delivered message is clicked or followed by a purchase; `mind` runs over the messages."""
    story, people = world.story, world.people
    lead, variant = messages["lead"], messages["variant"]
    weekday = int((world.start // DAY_SECONDS + day + 3) % 7)  # 1970 began on a Thursday
    evening = messages["hour"] >= story.evening_from
    excess = (messages["length"] - story.best_length) / 100.0
    odds = story.conversion_base + story.quality * mind.quality
    odds = odds + np.array(story.hour)[messages["hour"] - HOURS[0]] + story.weekday[weekday]
    odds += np.array(story.objective)[world.campaigns.objective[messages["campaign"]]]
    odds += np.array(story.variant)[variant] + evening * np.array(story.evening_variant)[variant]
    odds -= story.length_penalty * excess**2
    odds += story.fatigue * mind.fatigue + story.warmth * mind.warmth
    odds += world.economy.season[people.state[lead], day]
    odds += story.big_city * (world.places.weights[people.lada[lead]] >= story.big_city_weight)
    if world.drifted(day):
        odds += story.drift_conversion
    return np.asarray(odds)


def draw_outcomes(rng: np.random.Generator, world: World, messages: Columns, minds: Mind, day: int) -> Outcomes:
    """Draw delivery, replies, clicks, purchases and opting out.

    Args:
        rng: source of the draws.
        world: all that stands before the first day.
        messages: of one local day, at most one per lead.
        minds: one entry per lead.
        day: counted from the first simulated one.
    """
    story, lead = world.story, messages["lead"]
    mind, n = minds.of(lead), len(lead)
    fraud, silent = world.people.ring[lead] >= 0, world.people.silent_day[lead] <= day
    arrives = np.where(silent, story.delivery_silent, np.array(story.delivery)[world.people.line[lead]])
    delivered = rng.random(n) < arrives
    at = messages["sent"] + delays(rng, n, story.delivery_seconds, story.delivery_sd, 3600)
    odds = conversion_odds(world, messages, mind, day)
    converts = np.where(fraud, story.fraud_conversion, logistic(odds)) * ~silent
    converted = delivered & (rng.random(n) < converts)
    known = {
        **messages,
        "delivered": np.where(delivered, at, -1),
        "probability": arrives * converts,
        "converted": converted,
    }
    reachable = delivered & ~silent & ~fraud
    leaving = _leaving(rng, story, at, reachable, mind)
    events = [
        *_clicks_and_purchases(rng, story, at, np.flatnonzero(converted & ~fraud), mind.quality),
        _bursts(rng, story, at, np.flatnonzero(converted & fraud)),
        _replies(rng, story, at, reachable, mind),
        leaving,
    ]
    merged = {name: np.concatenate([event[name] for event in events]) for name in leaving}
    merged["lead"] = lead[merged["message"]]
    return Outcomes(known, merged, lead[leaving["message"]], leaving["at"])


def _leaving(rng: np.random.Generator, story: Story, at: Ints, reachable: Bools, mind: Mind) -> Columns:
    """Leads that opt out."""
    odds = story.opt_out_base + story.opt_out_quality * mind.quality + story.opt_out_fatigue * mind.fatigue
    message = np.flatnonzero(reachable & ~mind.left & (rng.random(len(at)) < logistic(odds)))
    delay = delays(rng, len(message), 60 * story.opt_out_delay_minutes, story.opt_out_delay_sd, 2 * DAY_SECONDS)
    return _event(message, at[message] + delay, OPT_OUT)


def _replies(rng: np.random.Generator, story: Story, at: Ints, reachable: Bools, mind: Mind) -> Columns:
    """Leads that answer."""
    odds = story.reply_base + story.reply_quality * mind.quality
    message = np.flatnonzero(reachable & (rng.random(len(at)) < logistic(odds)))
    delay = delays(rng, len(message), 60 * story.reply_delay_minutes, story.reply_delay_sd, DAY_SECONDS)
    return _event(message, at[message] + delay, REPLY)


def _clicks_and_purchases(
    rng: np.random.Generator, story: Story, at: Ints, message: Ints, quality: Floats
) -> tuple[Columns, Columns]:
    """Clicks and purchases that come of the messages that convert: at least one of the two for each."""
    n = len(message)
    buys = rng.random(n) < logistic(story.purchase_base + story.purchase_quality * quality[message])
    clicks = ~buys | (rng.random(n) < story.click_given_purchase)
    longest_click, longest_wait = story.longest_click_days * DAY_SECONDS, story.longest_purchase_days * DAY_SECONDS
    clicked_at = at[message] + delays(rng, n, 60 * story.click_delay_minutes, story.click_delay_sd, longest_click)
    bought_at = clicked_at + delays(rng, n, 3600 * story.purchase_delay_hours, story.purchase_delay_sd, longest_wait)
    revenue = np.round(rng.lognormal(story.revenue_log_mean, story.revenue_log_sd, n), 2)
    click = _event(message[clicks], clicked_at[clicks], CLICK)
    return click, _event(message[buys], bought_at[buys], PURCHASE, revenue[buys])


def _bursts(rng: np.random.Generator, story: Story, at: Ints, message: Ints) -> Columns:
    """Several clicks on each message of fraudulent leads within a minute, and nothing bought."""
    fewest, most = story.fraud_burst
    repeated = np.repeat(message, rng.integers(fewest, most + 1, len(message)))
    return _event(repeated, at[repeated] + rng.integers(1, 60, len(repeated)), CLICK)


def _event(message: Ints, at: Ints, kind: int, revenue: Floats | None = None) -> Columns:
    nothing = np.full(len(message), np.nan)
    return {
        "message": message,
        "at": at,
        "kind": np.full(len(message), kind, dtype=np.int64),
        "revenue": nothing if revenue is None else revenue,
    }


def merge(days: list[Outcomes]) -> tuple[Columns, Columns]:
    """Put the days together; `message` of the conversions then counts through all messages."""
    messages = {name: np.concatenate([day.messages[name] for day in days]) for name in days[0].messages}
    first = np.cumsum([0, *(len(day.messages["lead"]) for day in days)])
    conversions = {name: np.concatenate([day.conversions[name] for day in days]) for name in days[0].conversions}
    shift = np.repeat(first[:-1], [len(day.conversions["message"]) for day in days])
    conversions["message"] = conversions["message"] + shift
    return messages, conversions
