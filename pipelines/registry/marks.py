"""What decisions leave on registered versions, for people who look into MLflow. The ledger is what counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.core.interval import utc_now
from pipelines.registry.tracking import CARD_LINK, PROMOTED

if TYPE_CHECKING:
    from mlflow import MlflowClient

WAITING, REFUSED, SHADOWED, REJECTED, TAKEN_BACK = "waiting", "refused", "shadow", "rejected", "taken back"
SUPERSEDED = "superseded"
"""What a version may be beside promoted: values of the tag `PROMOTED`. A person rejects, the gate refuses; one that
waited for a person when another was promoted is superseded."""

GATE, DIGEST, AGAINST, AS_OF = "gate", "gate.digest", "gate.against", "gate.as_of"
STANDING = "gate.standing"
"""Tags of a judged version: the verdict, and what it is valid for: these files, compared with that one, judged as of
then, while that version (or none) was in force."""

CHECK = "gate.check "
"""How the tags of single checks begin."""

LINK, ID, REASON, LOOKS = "gate.page", "gate.id", "gate.reason", "gate.looks"
LONGEST = 4_000
"""Characters of a tag or a sentence that MLflow is given."""

_DESCRIPTION = 5_000  # characters that MLflow's column takes


def mark(client: MlflowClient, name: str, version: str, word: str, reason: str, by: str | None = None) -> None:
    """Write what became of a version: the reasons first, the word last, so that a killed run tells all of it again.

    Args:
        client: of MLflow.
        name: registered model.
        version: which.
        word: promoted, refused, waiting, shadow, rejected or taken back.
        reason: one sentence.
        by: who decided, where it was a person.
    """
    tags = client.get_model_version(name, version).tags
    tag = PROMOTED[0]
    client.set_model_version_tag(name, version, f"{tag}.reason", reason[:LONGEST])
    if by is not None:
        client.set_model_version_tag(name, version, f"{tag}.by", by)
        client.set_model_version_tag(name, version, f"{tag}.at", utc_now().isoformat(timespec="seconds"))
    said = f"{word.capitalize()}{f' by {by}' if by else ''}: {reason}."
    links = "\n\n".join(filter(None, (tags.get(CARD_LINK, ""), tags.get(LINK, ""))))
    client.update_model_version(name, version, description=f"{said[:LONGEST]}\n\n{links}".strip()[:_DESCRIPTION])
    client.set_model_version_tag(name, version, tag, word)
