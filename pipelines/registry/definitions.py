"""Which models and runs rest on which definitions: hashes of label, views and on-demand columns, kept when trained."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import NotReady
from pipelines.registry.runs import Run, runs
from pipelines.registry.standing import in_force
from pipelines.registry.tracking import connect, reached, version_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

    from feature_repo.definitions import Definitions
    from pipelines.core.tenant import Tenant

HASHES = "sql_hashes"
"""Tag of a registered version: JSON of the hashes by name, such as `features.messages`."""

_PARAM = "sql."
_MOST = 5  # runs that a sentence names


def users(tenant: Tenant, current: Mapping[str, str]) -> dict[str, list[Run]]:
    """The runs that were trained on another definition than today's, newest first.

    Args:
        tenant: whose runs.
        current: hash of today by name, such as `features.messages`; empty where the definition is gone.

    Returns:
        Runs by name; names that no run used otherwise are left out.
    """
    every = runs(tenant)
    found = {name: [run for run in every if run.params.get(_PARAM + name, now) != now] for name, now in current.items()}
    return {name: used for name, used in found.items() if used}


def listed(used: Iterable[Run]) -> str:
    """Runs as a sentence names them, those with a version first."""
    told = sorted(used, key=lambda run: (not run.aliases, not run.version))
    named = [words(run) for run in told[:_MOST]]
    return ", ".join(named) + (f" and {len(told) - _MOST} more" if len(told) > _MOST else "")


def words(run: Run) -> str:
    """A run as sentences name it: the beginning of its id, its version and aliases."""
    version = f" (v{run.version}{', ' + ', '.join(run.aliases) if run.aliases else ''})" if run.version else ""
    return f"{run.short}{version}"


def older(tags: Mapping[str, Any], definitions: Definitions, target: str) -> list[str]:
    """What a registered version rests on that is defined otherwise today, or is gone.

    Args:
        tags: of the version.
        definitions: of today.
        target: what it predicts.
    """
    held: dict[str, str] = json.loads(tags.get(HASHES, "{}"))
    today = definitions.hashes(target)
    return [_named(name) for name, value in held.items() if today.get(name) != value]


def _named(name: str) -> str:
    """A definition as a sentence names it."""
    kind, _, rest = name.partition(".")
    words = {"label": "the label", "features": f"view '{rest}'", "on_demand": f"the on-demand columns of {rest}"}
    return words.get(kind, name)


def note_on_age(tags: Mapping[str, Any], definitions: Definitions, target: str, version: str) -> list[str]:
    """A sentence where a version was trained on older definitions; none otherwise."""
    if found := older(tags, definitions, target):
        return [
            f"'{target}': version {version} was trained on an older definition of {' and '.join(found)}:"
            " train and promote again"
        ]
    return []


def champions(tenant: Tenant) -> dict[str, ModelVersion]:
    """The version in force of each target that has one. Nothing is created or loaded."""
    found = in_force(tenant)
    if not found or not reached(tenant):
        return {}
    client, versions = connect(tenant), {}
    for target, entry in found.items():
        with suppress(NotReady):  # it is gone from MLflow, and status says so
            versions[target] = version_of(client, tenant.model_name(target), entry.version)
    return versions


def missing(version: ModelVersion, definitions: Definitions, target: str) -> list[str]:
    """Features that a version reads and no view gives any more, or gives as another kind."""
    given = dict(definitions.model_features(definitions.label(target).entity))
    return [str(name) for name, kind in json.loads(version.tags["features"]) if given.get(name) != kind]
