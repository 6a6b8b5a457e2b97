"""Features that know too much: what a training says of them, and whether somebody accepted them by name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.leaks import Leak
    from pipelines.core.params import TrainParams

LEAKS = "leaks"
"""Tag of a run and a version: JSON list of the features that know too much."""

TOLD = "leaks.told"
"""Tag of a run and a version: why, a sentence each."""

_LONGEST = 3000  # characters of a tag


def leak_tags(leaks: Iterable[Leak]) -> dict[str, str]:
    """The tags of a run and its version; none where no feature knows too much."""
    found = list(leaks)
    if not found:
        return {}
    told = "; ".join(leak.sentence for leak in found)
    return {LEAKS: json.dumps([leak.feature for leak in found]), TOLD: told[:_LONGEST]}


def accepted(params: TrainParams, target: str) -> set[str]:
    """The features of `target` that may know much: those of the tenant and those of the target."""
    return {*params.accept_leaks, *params.targets[target].accept_leaks}


def refusal(tags: Mapping[str, str], params: TrainParams, target: str) -> str | None:
    """Why a version may not be promoted, as a sentence; None where no feature is flagged or each was accepted."""
    flagged: list[str] = json.loads(tags.get(LEAKS, "[]"))
    missing = [name for name in flagged if name not in accepted(params, target)]
    if not missing:
        return None
    names = ", ".join(f"'{name}'" for name in missing)
    listed = ", ".join(missing)
    which = "a feature that may know the outcome" if len(missing) == 1 else "features that may know the outcome"
    return (
        f"it rests on {which}: {names} ({tags.get(TOLD, '')}): leave it out of the SQL and train again, or accept it"
        f" with accept_leaks: [{listed}] at train.targets.{target} in params.yaml"
    )
