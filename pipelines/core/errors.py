"""Errors a person can meet: one sentence with the object, the value and the way out."""

from collections.abc import Iterable
from difflib import get_close_matches


class LeadwiseError(Exception):
    """Base of every error whose message is one clear sentence for a person."""


class ConfigError(LeadwiseError):
    """A setting, parameter, tenant, use case or target that is wrong or unknown."""


class SourceError(LeadwiseError):
    """A source that is missing, empty or unreadable."""


class SourceUnreachable(SourceError):
    """A database or bucket that does not answer, or broke off: the same run may succeed later."""


class ContractError(LeadwiseError):
    """A contract that is not valid ODCS or says what Leadwise does not know."""


class BatchRejected(LeadwiseError):
    """A batch as a whole breaks its contract: nothing of it was published."""


class SqlError(LeadwiseError):
    """SQL of a use case that fails, looks past its views or returns the wrong shape."""


class NotReady(LeadwiseError):
    """An earlier step has to run first."""


class Busy(NotReady):
    """Another run of the same step is at work: the same call succeeds later."""


class UnsafeModel(LeadwiseError):
    """A model whose files are not those that were promoted, or that would run code: nothing of it was loaded."""


class StoreUnreachable(LeadwiseError):
    """The server of lake, catalog, MLflow or online store does not answer, or broke off: the same call works later."""


class StoreLost(LeadwiseError):
    """A file that a catalog says is there was taken away."""


def nearest(name: str, options: Iterable[str]) -> str:
    """Return the tail of a sentence that helps after a misspelt `name`.

    Args:
        name: what was given.
        options: what would have been right.

    Returns:
        "did you mean 'x'?" for a near match, else "choose one of a, b, c", without a leading space.
    """
    choices = sorted(options)
    if not choices:
        return "there is none yet"
    close = get_close_matches(name, choices, n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'?" if close else f"choose one of {', '.join(choices)}"
