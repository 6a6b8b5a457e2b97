"""What a rule and a finding are, the registry of all rules, and the walk over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from pipelines.core.errors import ConfigError, LeadwiseError, nearest

if TYPE_CHECKING:
    from pipelines.doctor.facts import Facts

Level = Literal["error", "warning"]

GROUPS = ("dags", "contracts", "sql", "params", "settings", "machine", "state")
"""The kinds of rules, in the order in which they are looked at; each is a module `pipelines.doctor.<kind>_rules`."""


class Unavailable(Exception):
    """A rule can't look, because of something that another rule reports."""


@dataclass(frozen=True)
class Fault:
    """What a rule found.

    Attributes:
        where: file and line, tenant, variable or address.
        what: one sentence with the value; never personal data or a credential.
        mend: what to do here; None takes the rule's own advice.
    """

    where: str
    what: str
    mend: str | None = None


Check = Callable[["Facts"], Iterable[Fault]]


@dataclass(frozen=True)
class Rule:
    """One thing that is looked at.

    Attributes:
        id: short name, as `--only` takes it.
        group: one of `GROUPS`.
        level: how bad it is; an error ends `leadwise doctor` with 1.
        headline: what should be so.
        why: what goes wrong otherwise.
        mend: what to do.
        check: yields what is not so.
    """

    id: str
    group: str
    level: Level
    headline: str
    why: str
    mend: str
    check: Check


@dataclass(frozen=True)
class Finding:
    """A fault with the rule that found it: what a person reads, and a program as JSON."""

    rule: str
    level: Level
    where: str
    what: str
    mend: str

    def to_dict(self) -> dict[str, str]:
        """Plain JSON-ready values."""
        return asdict(self)


_RULES: dict[str, Rule] = {}


def rule(name: str, level: Level, headline: str, *, why: str, mend: str) -> Callable[[Check], Check]:
    """Register the decorated function as a rule of the group that its module is named after.

    Args:
        name: the rule's id.
        level: error or warning.
        headline: what should be so.
        why: what goes wrong otherwise.
        mend: what to do.
    """

    def decorate(check: Check) -> Check:
        group = check.__module__.rpartition(".")[2].removesuffix("_rules")
        if name in _RULES:
            raise ValueError(f"two rules are called '{name}'")
        _RULES[name] = Rule(name, group, level, headline, why, mend, check)
        return check

    return decorate


def all_rules() -> dict[str, Rule]:
    """Every rule by its id, group by group."""
    for group in GROUPS:
        import_module(f"pipelines.doctor.{group}_rules")
    return {one.id: one for group in GROUPS for one in _RULES.values() if one.group == group}


def chosen(only: Iterable[str]) -> list[Rule]:
    """The rules that `only` names by id or group; all of them when it names none.

    Raises:
        ConfigError: an unknown name, with the nearest right one.
    """
    known = all_rules()
    wanted = list(only)
    for name in wanted:
        if name not in known and name not in GROUPS:
            raise ConfigError(f"there is no rule '{name}': {nearest(name, [*known, *GROUPS])}")
    return [one for one in known.values() if not wanted or one.id in wanted or one.group in wanted]


def examine(facts: Facts, only: Iterable[str] = (), advance: Callable[[int], None] = lambda _: None) -> list[Finding]:
    """Look at everything; a rule that finds something, or fails itself, does not keep the others from looking.

    Args:
        facts: what is looked at.
        only: ids or groups of rules; empty is all.
        advance: told after each rule.

    Raises:
        ConfigError: `only` names no rule.
    """
    found: list[Finding] = []
    for one in chosen(only):
        found += _apply(one, facts)
        advance(1)
    return found


def _apply(one: Rule, facts: Facts) -> Iterator[Finding]:
    try:
        for fault in one.check(facts):
            yield Finding(one.id, one.level, fault.where, fault.what, fault.mend or one.mend)
    except Unavailable:
        return
    except LeadwiseError as error:
        yield Finding(one.id, one.level, one.group, str(error), one.mend)
    except Exception as error:  # the examination goes on, and says what it could not see
        first = (str(error).strip() or "no message").splitlines()[0]
        what = f"this rule could not look: {type(error).__name__}: {first}"
        yield Finding(one.id, "error", one.group, what, "mend what the other findings say, then run it again")
