"""Draws what a validation finds: on which platforms a number is active, and how fast each answered."""

import numpy as np

from pipelines.collect.simulator.kit import Bools, Columns, Floats, Ints
from pipelines.collect.simulator.population import Population
from pipelines.collect.simulator.story import PLATFORMS, Story


def draw_validations(
    rng: np.random.Generator,
    people: Population,
    story: Story,
    lead: Ints,
    quality: Floats,
    silent: Bools,
    drifted: bool,
) -> Columns:
    """Draw one validation per entry of `lead`.

    Args:
        rng: source of the draws.
        people: all leads.
        story: the constants.
        lead: whose numbers are validated.
        quality: of each of them on this day.
        silent: leads that gave up their number: nothing is active.
        drifted: whether activity and response times have shifted.

    Returns:
        Per platform `<platform>_active` and `<platform>_ms`, -1 when it did not answer.
    """
    shape = (len(lead), len(PLATFORMS))
    base = np.array(story.platform_base, dtype=np.float32) + (story.drift_platform if drifted else 0.0)
    score = base + np.outer(quality, story.platform_load) + people.habit[lead]
    score += story.platform_noise_sd * rng.standard_normal(shape, dtype=np.float32)
    fraud = people.ring[lead] >= 0
    active = ((score > 0) & ~silent[:, None]) | fraud[:, None]
    answered = rng.random(shape, dtype=np.float32) < np.where(active, story.answered_active, story.answered_inactive)
    slowness = np.array(story.carrier_slowness)[people.carrier[lead]] - story.response_load * quality
    slowness = slowness + people.pace[lead] + (story.drift_response if drifted else 0.0)
    log_ms = np.array(story.response_base, dtype=np.float32) + slowness[:, None]
    log_ms = log_ms + np.where(active, 0.0, story.response_inactive)
    log_ms += story.response_sd * rng.standard_normal(shape, dtype=np.float32)
    ms = np.exp(log_ms).clip(20, 30_000).astype(np.int64)
    ms[fraud] = rng.integers(2, story.fraud_longest_ms + 1, (int(fraud.sum()), len(PLATFORMS)))
    ms[~answered] = -1
    columns: Columns = {}
    for index, name in enumerate(PLATFORMS):
        columns[f"{name}_active"] = active[:, index]
        columns[f"{name}_ms"] = ms[:, index]
    return columns
