"""From files to a use case: contracts and SQL that run at once, with every guess written beside what it led to."""

from pipelines.init.roles import Wanted
from pipelines.init.step import Made, Request, init

__all__ = ["Made", "Request", "Wanted", "init"]
