"""The constants of the causal story: what moves what in the simulated market, and how strongly.

Effects on an outcome are in log-odds, durations in the unit the name ends in.
"""

from dataclasses import dataclass

PLATFORMS = ("whatsapp", "instagram", "facebook", "google", "apple")
OBJECTIVES = ("promo", "reminder", "launch", "survey")
VARIANTS = ("A", "B", "C")
CARRIERS = ("Telcel", "AT&T", "Movistar", "Bait", "Altan")
LINE_TYPES = ("mobile", "landline", "voip")
HOURS = tuple(range(9, 21))
"""Local hours in which messages may be sent."""


@dataclass(frozen=True)
class Story:
    """Every constant of the market. The latent quality of a lead has mean 0 and standard deviation 1."""

    # Leads
    present_share: float = 0.7
    """Share of leads that exist from the first day; the others arrive in the first two thirds."""
    consent_share: float = 0.94
    carrier_shares: tuple[float, ...] = (0.56, 0.18, 0.14, 0.08, 0.04)
    carrier_slowness: tuple[float, ...] = (0.0, 0.08, 0.15, 0.25, 0.2)
    """Added to the logarithm of every response time, per carrier."""
    line_shares: tuple[float, ...] = (0.93, 0.04, 0.03)
    delivery: tuple[float, ...] = (0.975, 0.05, 0.85)
    """Probability of delivery, per line type."""
    delivery_silent: float = 0.05
    delivery_seconds: float = 8.0
    """Median of what a delivery takes."""
    delivery_sd: float = 1.0
    silence_hazard: float = 0.0012
    """Probability per day that a lead gives up its number: no platform, no delivery, no reaction from then on."""
    dropped_after_days: int = 14
    """Days after which the marketer stops contacting a silent lead."""
    mood_sd: float = 0.4
    """Quality moves: a slow autoregressive mood is added to it."""
    mood_memory: float = 0.97
    ported_share: float = 0.01
    """Leads that change their carrier: a correction of their row."""
    withdrawn_share: float = 0.35
    """Leads that withdraw consent after they opted out: a correction too."""

    # Validations
    platform_base: tuple[float, ...] = (1.35, 0.1, 0.7, 0.5, -0.75)
    """A platform is active when base + load x quality + the lead's own habit + noise is above zero."""
    platform_load: tuple[float, ...] = (1.1, 1.0, 0.7, 0.9, 0.8)
    habit_sd: float = 0.65
    platform_noise_sd: float = 0.45
    answered_active: float = 0.985
    answered_inactive: float = 0.55
    response_base: tuple[float, ...] = (5.6, 6.0, 5.9, 5.3, 5.5)
    """Mean logarithm of the response time in ms."""
    response_load: float = 0.24
    """How much a unit of quality shortens the logarithm of a response time."""
    response_inactive: float = 0.5
    pace_sd: float = 0.22
    """Of the logarithm of response times between leads of equal quality, whatever the platform."""
    response_sd: float = 0.45

    # Sending: the policy's taste (softmax over hour and variant) and its spread
    policy_hour: tuple[float, ...] = (0.2, 0.6, 0.9, 0.7, 0.3, 0.0, -0.2, 0.1, 0.6, 0.9, 0.8, 0.3)
    policy_weekend_shift: int = 2
    """Hours by which the policy sends later on Saturdays and Sundays."""
    policy_variant: tuple[tuple[float, ...], ...] = (
        (0.2, 0.7, 0.0),
        (0.8, 0.2, 0.0),
        (0.0, 0.5, 0.6),
        (0.4, 0.3, 0.1),
    )
    """Per objective, then variant."""
    sending_weekday: tuple[float, ...] = (1.0, 1.1, 1.15, 1.1, 1.2, 0.85, 0.6)
    """How many messages go out, Monday first."""
    length_mean: tuple[float, ...] = (85.0, 140.0, 230.0)
    length_sd: float = 0.25
    cost_per_part: float = 0.42
    """MXN for each 160 characters begun."""

    # Conversion (a click or a purchase) of a delivered message
    conversion_base: float = -3.27
    quality: float = 1.62
    hour: tuple[float, ...] = (-0.35, -0.05, 0.25, 0.3, 0.05, -0.3, -0.35, -0.1, 0.15, 0.4, 0.45, 0.1)
    weekday: tuple[float, ...] = (-0.2, 0.0, 0.1, 0.1, 0.25, 0.05, -0.3)
    objective: tuple[float, ...] = (0.2, 0.0, 0.05, -0.25)
    variant: tuple[float, ...] = (0.0, 0.15, -0.1)
    evening_variant: tuple[float, ...] = (0.0, 0.2, -0.1)
    """Added to the variant's effect from `evening_from` o'clock on."""
    evening_from: int = 18
    best_length: float = 130.0
    length_penalty: float = 0.3
    """Lost for 100 characters more or fewer than the best length, growing with the square."""
    fatigue: float = -0.3
    """Per recent message; a message counts e^-1 after `fatigue_days`."""
    fatigue_days: float = 5.0
    warmth: float = 0.45
    """A lead that just converted is warm; it cools over `warmth_days`."""
    warmth_days: float = 12.0
    economy: float = 0.3
    """Per ten points of the state's economic index above 100."""
    holiday: float = -0.4
    payday: float = 0.2
    """On the 15th, the last day of the month and the day after each."""
    competitor: float = -0.5
    big_city: float = 0.2
    """For area codes of the largest cities."""
    big_city_weight: float = 3000.0

    # What else comes of a message
    click_given_purchase: float = 0.9
    """Some buy without a click; who converts and does not buy has clicked."""
    purchase_base: float = -1.1
    purchase_quality: float = 0.5
    reply_base: float = -3.5
    reply_quality: float = 0.7
    reply_delay_minutes: float = 15.0
    reply_delay_sd: float = 1.3
    opt_out_base: float = -5.4
    opt_out_quality: float = -0.45
    opt_out_fatigue: float = 0.3
    click_delay_minutes: float = 40.0
    click_delay_sd: float = 1.6
    longest_click_days: float = 5.0
    purchase_delay_hours: float = 5.0
    purchase_delay_sd: float = 1.1
    longest_purchase_days: float = 1.9
    """Together with the longest click this stays below seven days, the horizon of the true probability."""
    opt_out_delay_minutes: float = 30.0
    opt_out_delay_sd: float = 1.4
    revenue_log_mean: float = 6.1
    revenue_log_sd: float = 0.6
    refund_share: float = 0.02
    """Purchases whose revenue is corrected later."""

    # Market
    economy_sd: float = 4.0
    economy_memory: float = 0.95
    competitor_memory: float = 0.9
    revised_share: float = 0.05
    """State days whose economic index is corrected later."""
    campaign_every_days: int = 4
    campaign_days: int = 14

    # Arrival
    arrival_minutes: float = 4.0
    """Median of what every row waits."""
    arrival_sd: float = 1.0
    late_days: float = 1.5
    """Mean of what a late row waits in addition to a quarter of a day."""
    latest_days: float = 10.0
    duplicate_share: float = 0.003
    """Rows that are exported twice."""

    # Drift scenario, from two thirds of the period on
    drift_platform: float = -0.9
    drift_response: float = 0.6
    drift_conversion: float = -0.7

    # Fraud scenario
    fraud_share: float = 0.02
    fraud_ring: int = 40
    """Leads of one ring, on consecutive numbers."""
    fraud_conversion: float = 0.55
    fraud_longest_ms: int = 15
    fraud_burst: tuple[int, int] = (3, 8)
    """Clicks on one message within a minute: fewest and most."""
