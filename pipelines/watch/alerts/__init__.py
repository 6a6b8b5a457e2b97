"""What people are told of, once each: messages, the channels that carry them, and a table of what was told.

`tell` is the one way in, for steps and for whoever watches DAGs.
"""

from pipelines.watch.alerts.book import Open
from pipelines.watch.alerts.message import Message, Severity
from pipelines.watch.alerts.tell import Told, ongoing, tell

__all__ = ["Message", "Open", "Severity", "Told", "ongoing", "tell"]
