"""Airflow's own approval task as Leadwise asks with it: one question for each version that passed the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator, HITLOperator
from airflow.sdk import Param

FORM = {"reason": Param("", type="string", title="Reason", description="Why; without it nothing is carried out.")}
"""What a person fills in beside yes or no. Airflow checks the empty default too: no length can be asked for."""


class Review(ApprovalOperator):  # type: ignore[misc] # mypy does not follow Airflow's imports
    """Waits for a person without holding a worker. A no is an answer too: the task after it writes it down."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """The answer, whichever it is: nothing is skipped."""
        return HITLOperator.execute_complete(self, context, event)


def answers(asked: Sequence[Mapping[str, Any]], given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each question's target and version with what was answered, why and by whom."""
    found = []
    for question, answer in zip(asked, given, strict=True):
        person = answer.get("responded_by_user") or {}
        found.append(
            {
                "target": question["target"],
                "version": question["version"],
                "approve": answer["chosen_options"] == [ApprovalOperator.APPROVE],
                "reason": str((answer.get("params_input") or {}).get("reason", "")),
                "by": str(person.get("name") or person.get("id") or "unknown"),
            }
        )
    return found
