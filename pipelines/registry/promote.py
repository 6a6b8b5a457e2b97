"""The step `promote`: the challenger becomes champion if it earned it, and the reasons stay with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from models.inputs import InputError
from pipelines.core.errors import NotReady
from pipelines.core.locks import exclusive
from pipelines.core.report import Report, progress
from pipelines.registry.champion import Champion, load_alias, load_version
from pipelines.registry.frames import columns
from pipelines.registry.leaks import refusal
from pipelines.registry.tracking import (
    CARD_LINK,
    CHALLENGER,
    CHAMPION,
    HOLDOUT,
    PROMOTED,
    by_alias,
    connect,
    run_table,
    version_link,
    versions_with,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from models.inputs import Floats
    from models.judges import Judge
    from pipelines.core.interval import Interval
    from pipelines.core.tenant import Tenant


@dataclass(frozen=True)
class Decision:
    """What was decided on a challenger and why.

    Attributes:
        promoted: whether it becomes champion.
        reason: one sentence.
        rows: the compared on the challenger's holdout, side by side.
    """

    promoted: bool
    reason: str
    rows: list[dict[str, Any]] = field(default_factory=list)


def promote(tenant: Tenant, interval: Interval, target: str | None = None) -> Report:
    """Judge the challenger of each target, on its holdout, against the base rate and the champion.

    It has to beat the base rate (or mean) of its training as a constant guess, and must not be worse than the champion
    by more than `params.promote.tolerance` of log loss (of a regression: of the constant guess's RMSE, as a share), nor
    know less: a backfill of an earlier date replaces no later model. A refused one stays the challenger. Running again
    changes nothing. One that rests on a feature that may know the outcome is refused until `accept_leaks` in
    `params.train` names the feature.

    Where several days were trained on before any was judged, each run judges the version of its own day.

    Args:
        tenant: whose models.
        interval: of the run; where a version was trained as of its end, that one is judged, else the alias'.
        target: one target; None is all. Then one without a challenger is left out with a note, but not the first.

    Raises:
        NotReady: `target` or the first one has no challenger, or the holdout of its run is gone.
        ConfigError: an unknown target.
    """
    report = Report("promote", tenant.name, interval)
    with exclusive(tenant, "promote"):
        targets = tenant.target(target)
        for name in targets:
            with progress(f"promote: {name}"):
                _promote(tenant, name, interval, report, needed=name == targets[0])
    return report


def _challenger(tenant: Tenant, target: str, interval: Interval) -> Champion | None:
    """The version that was trained as of the interval's end, or else what bears the alias."""
    client, name, as_of = connect(tenant), tenant.model_name(target), interval.as_of.isoformat()
    named = by_alias(client, name, CHALLENGER)
    if named is None or named.tags["as_of"] == as_of:
        return None if named is None else load_version(tenant, target, named)
    trained = versions_with(client, name, "as_of", as_of)
    return load_version(tenant, target, max(trained, key=lambda one: int(one.version), default=named))


def _champion(tenant: Tenant, target: str, report: Report) -> Champion | None:
    """The champion; None where there is none, or none that this version of Leadwise can read: it can't score either."""
    try:
        return load_alias(tenant, target, CHAMPION)
    except InputError as error:
        report.notes.append(f"{target}: the champion can't be read, so the challenger is judged without it: {error}")
        return None


def _promote(tenant: Tenant, target: str, interval: Interval, report: Report, needed: bool) -> None:
    client = connect(tenant)
    name = tenant.model_name(target)
    challenger = _challenger(tenant, target, interval)
    if challenger is None:
        sentence = f"tenant '{tenant.name}' has no challenger for '{target}' yet"
        if not needed:
            report.notes.append(sentence)
            return
        raise NotReady(f"{sentence}: run `leadwise train --tenant {tenant.name}` first")
    report.links[f"challenger of {target}"] = version_link(name, challenger.version)
    champion = _champion(tenant, target, report)
    if champion is not None and champion.version == challenger.version:
        report.counts[f"{target}: champion"] = champion.version
        report.notes.append(f"{target}: version {champion.version} of {name} is the champion already: nothing changed")
        return
    holdout = run_table(challenger.tracking_uri, challenger.run_id, HOLDOUT)
    if holdout is None:
        raise NotReady(
            f"the run {challenger.run_id} of the challenger of '{target}' lost its {HOLDOUT}:"
            f" run `leadwise train --tenant {tenant.name}` again"
        )
    decision = decide(challenger, champion, holdout, tenant.params.promote.tolerance)
    if leak := refusal(challenger.tags, tenant.params.train, target):
        decision = replace(decision, promoted=False, reason=leak)
    word = PROMOTED[1] if decision.promoted else "refused"
    tag, once = PROMOTED
    if challenger.tags.get(tag) != once:  # what once was champion keeps its reasons
        client.set_model_version_tag(name, challenger.version, f"{tag}.reason", decision.reason)
        said = f"{word.capitalize()}: {decision.reason}."
        link = challenger.tags.get(CARD_LINK, "")
        client.update_model_version(name, challenger.version, description=f"{said}\n\n{link}".strip())
        client.set_model_version_tag(name, challenger.version, tag, word)  # last: without it all is told again
    if decision.promoted:
        client.set_registered_model_alias(name, CHAMPION, challenger.version)
    standing = challenger if decision.promoted else champion
    report.counts[f"{target}: champion"] = standing.version if standing else "none"
    report.details += [{"target": target, **row} for row in decision.rows]
    report.notes.append(f"{target}: version {challenger.version} of {name} is {word}: {decision.reason}")


def decide(challenger: Champion, champion: Champion | None, holdout: pa.Table, tolerance: float) -> Decision:
    """Compare on one holdout.

    Args:
        challenger: the newcomer.
        champion: what is in force; None where there is nothing yet.
        holdout: `label` and features of the challenger's holdout.
        tolerance: by which the challenger may be worse than the champion: of log loss, or of a regression as a share of
            the constant guess's RMSE, which has a unit.
    """
    import numpy as np

    from models.judges import judge_of

    judge = judge_of(challenger.task)
    y = holdout["label"].to_numpy()
    guess = np.full(len(y), challenger.train_base_rate)
    ours, theirs = _judged(challenger, holdout), None
    hindrance = _hindrance(challenger, champion, holdout) if champion else ""
    rows = [_row("challenger", challenger, judge, y, ours), _row(f"{judge.guess} only", None, judge, y, guess)]
    if champion and not hindrance:
        theirs = _judged(champion, holdout)
        rows.insert(1, _row("champion", champion, judge, y, theirs))
    loss, guess_loss = judge.score(y, ours), judge.score(y, guess)
    beats = f"{judge.words} {loss:.4f} against {guess_loss:.4f} of the training {judge.centre} as a constant guess"
    if loss >= guess_loss:
        return Decision(False, f"it does not beat the {judge.centre}: {beats}", rows)
    if champion is None:
        return Decision(True, f"there was no champion, and it beats the {judge.centre}: {beats}", rows)
    if theirs is None:
        return Decision(True, f"champion {champion.version} {hindrance}; {beats}", rows)
    old = judge.score(y, theirs)
    low, high = judge.difference_interval(y, ours, theirs)
    versus = (
        f"{judge.words} {loss:.4f} against {old:.4f} of champion {champion.version} on the same holdout"
        f" ({len(y)} rows, difference {low:+.4f} to {high:+.4f} with 95 % confidence)"
    )
    if challenger.tags["as_of"] < champion.tags["as_of"]:
        then, now = champion.tags["as_of"][:10], challenger.tags["as_of"][:10]
        return Decision(False, f"it was trained as of {now}, the champion as of {then}: {versus}", rows)
    allowed = tolerance if challenger.task == "binary" else tolerance * guess_loss
    if loss > old + allowed:
        return Decision(False, f"it is worse than the champion by more than {allowed:g}: {versus}", rows)
    return Decision(True, f"it is not worse than the champion by more than {allowed:g}: {versus}; {beats}", rows)


def _hindrance(challenger: Champion, champion: Champion, holdout: pa.Table) -> str:
    """Why the champion can't judge this holdout; empty where it can."""
    if champion.task != challenger.task:
        return f"predicts something else ({champion.task})"
    gone = [name for name, _ in champion.features if name not in holdout.schema.names]
    return f"reads '{gone[0]}', which no longer exists" if gone else ""


def _judged(model: Champion, holdout: pa.Table) -> Floats:
    return model.judged(columns(holdout, model.features))


def _row(who: str, model: Champion | None, judge: Judge, y: Any, p: Floats) -> dict[str, Any]:
    return {
        "who": who,
        "version": model.version if model else "",
        "kind": model.tags.get("kind", "") if model else "",
        **{name: round(value, 4) for name, value in judge.evaluate(y, p).items()},
    }
