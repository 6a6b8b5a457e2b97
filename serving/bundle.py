"""A champion as files that a lean worker reads: no MLflow, no Arrow, no Feast between it and a score."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.core.errors import NotReady
from serving.moment import Clock
from serving.online import Layout, View

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models import Estimator
    from pipelines.core.tenant import Tenant
    from pipelines.registry.champion import Champion

_ABOUT = "bundle.json"
_MODEL = "model"


@dataclass(frozen=True)
class Bundle:
    """What scoring one lead takes.

    Attributes:
        target: what is predicted.
        name: registered model.
        version: of it.
        digest: of the version's files, as the ledger has it.
        task: "binary" or "regression".
        features: inputs of the model, in order.
        base_rate: share of ones among its training rows; of a regression the mean.
        tiers: lowest probability of A, B and C, as multiples of the base rate.
        layout: where stored features lie.
        clock: what is derived from the moment.
        estimator: loaded, for one thread.
    """

    target: str
    name: str
    version: str
    digest: str
    task: str
    features: tuple[str, ...]
    base_rate: float
    tiers: Mapping[str, float]
    layout: Layout
    clock: Clock
    estimator: Estimator = field(repr=False)

    @property
    def given(self) -> dict[str, str | None]:
        """What may be handed over instead of being looked up, and its kind where the model reads it."""
        stored: dict[str, str | None] = dict.fromkeys(self.layout.features)
        return stored | {column.name: column.kind for column in self.estimator.inputs_.columns}


def stage(tenant: Tenant, champion: Champion) -> Path:
    """Write a champion as a bundle, once; a folder that is there is whole.

    Args:
        tenant: whose.
        champion: loaded, and so checked against the ledger.

    Returns:
        The folder, named after the version and what decides its scores.
    """
    layout, clock = layout_of(tenant, champion.target)
    model = champion.estimator.state()
    about: dict[str, Any] = {
        "target": champion.target,
        "name": champion.name,
        "version": champion.version,
        "digest": champion.digest,
        "task": champion.task,
        "features": [name for name, _ in champion.features],
        "base_rate": champion.train_base_rate,
        "tiers": {str(tier): value for tier, value in tenant.params.score.tiers.items()},
        "layout": layout.to_dict(),
        "clock": clock.to_dict(),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(model.items())},
    }
    text = json.dumps(about, indent=1, sort_keys=True) + "\n"
    home = tenant.home / "serving" / champion.target
    folder = home / f"{champion.version}-{_digest(text)}"
    if folder.is_dir():
        return folder
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
    try:
        (draft / _ABOUT).write_text(text, encoding="utf-8")
        for name, data in model.items():
            path = draft / _MODEL / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else somebody else wrote the same one meanwhile
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def read(folder: Path) -> Bundle:
    """A bundle, ready to score.

    Raises:
        NotReady: it is gone, or its files are not those that were written.
        InputError: no estimator that this version of Leadwise knows.
    """
    from models.base import load_state

    try:
        text = (folder / _ABOUT).read_text(encoding="utf-8")
        about = json.loads(text)
        files = {name: (folder / _MODEL / name).read_bytes() for name in about["files"]}
    except OSError as error:
        raise NotReady(
            f"the served model {folder} can't be read ({error.strerror}): start `leadwise serve` again"
        ) from None
    if not folder.name.endswith(f"-{_digest(text)}"):
        raise NotReady(f"the served model's file {folder / _ABOUT} was changed: remove {folder}")
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != about["files"][name]:
            raise NotReady(f"the served model's file {folder / _MODEL / name} was changed: remove {folder}")
    return Bundle(
        target=about["target"],
        name=about["name"],
        version=about["version"],
        digest=about["digest"],
        task=about["task"],
        features=tuple(about["features"]),
        base_rate=about["base_rate"],
        tiers=about["tiers"],
        layout=Layout.of(about["layout"]),
        clock=Clock.of(about["clock"]),
        estimator=load_state(files, threads=1),
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def layout_of(tenant: Tenant, target: str) -> tuple[Layout, Clock]:
    """Where the online store keeps the features of a target's entity, and what is derived from the moment."""
    import pyarrow as pa

    from expectations.contract import load_contracts
    from feature_repo.definitions import load_definitions
    from feature_repo.on_demand import moment_of

    definitions = load_definitions(tenant, load_contracts(tenant.contracts_dir))
    entity = definitions.label(target).schema.field(0)
    redis = tenant.settings.online_url is not None
    views = []
    for view in definitions.views_of(entity.name):
        names = [one.name for one in view.features]
        if redis:
            views.append(View(view.name, tuple((name, _hashed(f"{view.name}:{name}")) for name in names)))
        else:
            views.append(
                View(f"{tenant.feast_project}_{view.name}", tuple((name, name.encode().hex()) for name in names))
            )
    moment = moment_of(definitions, entity.name)
    layout = Layout(entity.name, pa.types.is_integer(entity.type), tenant.feast_project, tuple(views))
    return layout, Clock(moment.times, moment.timezone)


def _hashed(field: str) -> str:
    """The name of a field in Feast's Redis store: the murmur hash of view and feature, little-endian, in hex."""
    import mmh3

    return mmh3.hash(field, signed=False).to_bytes(4, "little").hex()
