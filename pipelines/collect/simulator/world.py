"""All that stands before the first day of a simulated market."""

from dataclasses import dataclass

from pipelines.collect.simulator.economy import Campaigns, Economy, draw_campaigns, draw_economy
from pipelines.collect.simulator.geography import Geography, epoch, geography
from pipelines.collect.simulator.population import Population, draw_population
from pipelines.collect.simulator.story import Story
from pipelines.core.errors import ConfigError
from pipelines.core.params import SimulateParams

MOST_LEADS, MOST_DAYS, YEARS = 5_000_000, 3_660, range(2000, 2100)
"""A market is drawn in memory, about 6 kB a lead for 90 days; a day of each table is a file."""


@dataclass(frozen=True)
class World:
    """Parameters, constants, places, leads, surroundings; `start` is the first midnight, in seconds since 1970."""

    params: SimulateParams
    story: Story
    places: Geography
    people: Population
    economy: Economy
    campaigns: Campaigns
    start: int
    drift: bool

    def drifted(self, day: int) -> bool:
        """Whether the drift scenario has set in on `day`: from two thirds of the period on."""
        return self.drift and 3 * day >= 2 * self.params.days


def create_world(params: SimulateParams, story: Story, *, drift: bool, fraud: bool) -> World:
    """Draw all that stands before the first day.

    Raises:
        ConfigError: more leads or days than can be drawn.
    """
    most_days = MOST_DAYS - params.ahead_days
    for name, wanted, most in (("leads", params.leads, MOST_LEADS), ("days", params.days, most_days)):
        if wanted > most:
            raise ConfigError(f"the market can't be simulated with {name} = {wanted}: choose at most {most}")
    if params.start.year not in YEARS:
        years = f"from {YEARS[0]} to {YEARS[-1]}"
        raise ConfigError(f"the market can't be simulated with start = {params.start}: choose a day {years}")
    places, start = geography(), epoch(params.start)
    return World(
        params=params,
        story=story,
        places=places,
        people=draw_population(params, story, places, start, fraud),
        economy=draw_economy(params, story, places),
        campaigns=draw_campaigns(params, story),
        start=start,
        drift=drift,
    )
