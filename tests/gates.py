"""Gates that ask less, for markets that are too small to show much."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.core.tenant import Tenant

EASY: dict[str, Any] = {
    "level": 0.51,
    "draws": 200,
    "rows": 20,
    "fresh_days": 1000,
    "loss": {"tolerance": 1.0, "gain": None},
    "ranking": {"tolerance": 1.0},
    "calibration": 10.0,
    "coverage": 0.95,
    "segments": {"rows": 20, "tolerance": 10.0},
}
"""Bounds, for `params.yaml`, that let through whatever seems to be better than a guess on 20 rows."""


def gated(tenant: Tenant, **bounds: object) -> Tenant:
    """The tenant with other bounds of the gate, such as `rows=501`."""
    promotion = tenant.params.promotion
    gate = type(promotion.gate).model_validate({**promotion.gate.model_dump(), **bounds})
    return replace(
        tenant,
        params=tenant.params.model_copy(update={"promotion": promotion.model_copy(update={"gate": gate})}),
    )


def easy(tenant: Tenant) -> Tenant:
    """The tenant with bounds that let through whatever is better than a guess."""
    return gated(tenant, **eased(tenant.params.promotion.gate.model_dump()))


def eased(gate: Mapping[str, Any]) -> dict[str, Any]:
    """A gate as `params.yaml` has it, with these bounds laid over it."""
    changed = {name: {**gate[name], **v} if isinstance(v, dict) else v for name, v in EASY.items()}
    return {**gate, **changed}
