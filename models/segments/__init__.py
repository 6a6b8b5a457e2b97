"""Segments of leads: how many there are, who is in which, what they are called, today as yesterday.

`Segments.learn` finds them in a sample, `Segments.assign` says where each lead belongs, `follow` goes on to the next
day, and `Tally` sums them up for a page.
"""

from models.segments.clustering import Limits, Segment, Segments
from models.segments.following import Followed, follow, matched
from models.segments.naming import Trait
from models.segments.space import Space
from models.segments.stability import Tried
from models.segments.summary import Summary, Tally, budget

__all__ = [
    "Followed",
    "Limits",
    "Segment",
    "Segments",
    "Space",
    "Summary",
    "Tally",
    "Trait",
    "Tried",
    "budget",
    "follow",
    "matched",
]
