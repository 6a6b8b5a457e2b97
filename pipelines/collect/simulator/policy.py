"""Chooses hour and variant of each message, and records the probability of the choice."""

from dataclasses import dataclass

import numpy as np

from pipelines.collect.simulator.kit import Bools, Floats, Ints
from pipelines.collect.simulator.story import HOURS, OBJECTIVES, VARIANTS, Story

ACTIONS = len(HOURS) * len(VARIANTS)


@dataclass(frozen=True)
class Choice:
    """One entry a message.

    Attributes:
        hour: local hour of sending.
        variant: index into `VARIANTS`.
        randomized: whether the action was drawn uniformly.
        propensity: probability with which hour and variant together were drawn, in (0, 1].
    """

    hour: Ints
    variant: Ints
    randomized: Bools
    propensity: Floats


def policy_table(story: Story) -> Floats:
    """Probabilities of the policy's actions.

    Returns:
        Array of objective x weekend (0, 1) x action, where action = hour index x variants + variant; rows sum to 1.
    """
    hours = np.array(story.policy_hour)
    by_day = np.stack([hours, np.roll(hours, story.policy_weekend_shift)])
    taste = by_day[None, :, :, None] + np.array(story.policy_variant)[:, None, None, :]
    weight = np.exp(taste).reshape(len(OBJECTIVES), 2, ACTIONS)
    return np.asarray(weight / weight.sum(axis=2, keepdims=True))


def choose(rng: np.random.Generator, table: Floats, objective: Ints, weekend: bool, randomized_share: float) -> Choice:
    """Draw the action of each message of one day.

    Args:
        rng: source of the draws.
        table: what `policy_table` returns.
        objective: of the campaign of each message.
        weekend: whether the local day is a Saturday or Sunday.
        randomized_share: share of the messages whose action is drawn uniformly.
    """
    randomized = rng.random(len(objective)) < randomized_share
    day = table[:, int(weekend)]
    draw = rng.random(len(objective))
    policy = np.empty(len(objective), dtype=np.int64)
    for index, cumulative in enumerate(day.cumsum(axis=1)):
        here = objective == index
        policy[here] = np.searchsorted(cumulative, draw[here], side="right")
    policy = policy.clip(0, ACTIONS - 1)  # a sum of 0.999... must not lead past the last action
    action = np.where(randomized, (draw * ACTIONS).astype(np.int64), policy)
    propensity = np.where(randomized, 1 / ACTIONS, day[objective, action])
    return Choice(np.array(HOURS)[action // len(VARIANTS)], action % len(VARIANTS), randomized, propensity)
