"""The files that a training leaves with its run: what it is judged by, shown with and made again from."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.registry.frames import frame
from pipelines.registry.tracking import CARD, ENTITY, HOLDOUT, REFERENCE
from pipelines.train import made_by
from pipelines.train.card import card
from pipelines.train.plots import draw

if TYPE_CHECKING:
    from pathlib import Path

    from pipelines.train.card_evidence import Evidence
    from pipelines.train.record import Training


def write_artifacts(folder: Path, training: Training, evidence: Evidence, made: dict[str, Any]) -> None:
    """Write pictures, the judged holdout, the sample that drift is measured by, the model card and what made it all.

    Args:
        folder: a new one.
        training: a finished one.
        evidence: what its card tells.
        made: the parameters that decided it, by dotted name.
    """
    data, tenant = training.data, training.tenant
    for part in ("plots", "holdout", "reference"):
        (folder / part).mkdir(parents=True)
    draw(folder / "plots", data, training.candidates, training.winner)
    (folder / "features.json").write_text(json.dumps(data.features) + "\n", encoding="utf-8")
    held = data.rows.take(pa.array(data.parts.holdout))
    if data.keys is not None:  # what a comparison of two runs finds common rows by
        held = held.append_column(ENTITY, veiled(data.keys.column(0).take(pa.array(data.parts.holdout))))
    for candidate in training.candidates:
        held = held.append_column(f"p_{candidate.kind}", pa.array(candidate.probabilities))
    pq.write_table(held, folder / HOLDOUT)
    made_by.write(folder / made_by.FOLDER, data, tenant.params.train, made, training.digest, tenant.settings.threads)
    pq.write_table(_sample(training), folder / REFERENCE)
    told = [
        {"feature": one.feature, "rule": one.rule, "sentence": one.sentence, **one.figures} for one in training.leaks
    ]
    (folder / "leaks.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(evidence), encoding="utf-8")


def veiled(entities: pa.ChunkedArray) -> pa.Array:
    """A digest of each entity: enough to find the same one in another run, on a server that others may read."""
    coded = entities.combine_chunks().dictionary_encode()
    names = [blake2b(str(name).encode(), digest_size=8).hexdigest() for name in coded.dictionary.to_pylist()]
    return pa.array(names, pa.string()).take(coded.indices)


def _sample(training: Training) -> pa.Table:
    """Training rows drawn by the seed, in time order, with the `score` that is served of them."""
    data, params = training.data, training.tenant.params
    rows = data.parts.train
    if len(rows) > params.monitor.sample_rows:
        drawn = np.random.default_rng(params.train.seed).choice(rows, params.monitor.sample_rows, replace=False)
        rows = np.sort(drawn)
    sample = data.rows.take(pa.array(rows)).select([name for name, _ in data.features])
    scores = training.served.expected(frame(sample, data.features))
    return sample.append_column("score", pa.array(scores))
