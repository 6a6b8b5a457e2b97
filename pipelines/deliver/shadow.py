"""Challengers that are scored beside the champion: what they say is kept for the gate and reaches no audience."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.expressions import And, EqualTo

from models.inputs import InputError
from pipelines.core.errors import NotReady, UnsafeModel
from pipelines.core.interval import DAY, utc_now
from pipelines.core.report import progress
from pipelines.registry.champion import load_version
from pipelines.registry.tracking import SHADOW, by_alias, connect, reached

if TYPE_CHECKING:
    from feature_repo.definitions import Definitions
    from pipelines.core.interval import Interval
    from pipelines.core.report import Report
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake
    from pipelines.registry.champion import Champion

SHADOW_TABLE = "deliver.shadow"
SHADOW_SCHEMA = pa.schema(
    [
        ("date", pa.date32()),
        ("as_of", pa.timestamp("us")),
        ("target", pa.string()),
        ("entity_id", pa.string()),
        ("predicted", pa.float64()),
        ("model_version", pa.string()),
        ("_loaded_at", pa.timestamp("us")),
    ]
)


def score_shadows(
    tenant: Tenant, interval: Interval, lake: Lake, definitions: Definitions, spine: pa.Table, report: Report
) -> None:
    """Score the candidates of a date by each version that bears the alias `shadow`, one commit each.

    What is kept is what is held against the labels: of a target that is served as a rank the number that is ranked.
    """
    if not reached(tenant):
        return
    client, given = connect(tenant), definitions.model_features(spine.schema.names[0])
    for target in tenant.target():
        version = by_alias(client, tenant.model_name(target), SHADOW)
        if version is None or version.tags["as_of"] > interval.as_of.isoformat():
            continue  # it knows more than could be known on an old day
        try:
            model = load_version(tenant, target, version)
            missing = [name for name, kind in model.features if (name, kind) not in given]
        except (InputError, NotReady, UnsafeModel) as error:  # no audience waits for a shadow
            report.notes.append(f"'{target}': the shadow was not scored: {error}")
            continue
        if missing:
            words = f"version {model.version} reads '{missing[0]}', which no longer exists"
            report.notes.append(f"'{target}': the shadow was not scored: {words}")
            continue
        with progress(f"shadow: {target}", spine.num_rows):
            stale = And(EqualTo(term="date", value=interval.label), EqualTo(term="target", value=target))
            rows = _said(tenant, interval, lake, definitions, spine, model)
            lake.write(SHADOW_TABLE, SHADOW_SCHEMA, rows, replace=stale)
        report.notes.append(f"version {model.version} of {model.name} was scored in the champion's shadow")


def _said(
    tenant: Tenant, interval: Interval, lake: Lake, definitions: Definitions, spine: pa.Table, model: Champion
) -> Iterator[pa.Table]:
    from pipelines.features.join import point_in_time

    for batch in point_in_time(tenant, lake, definitions, spine, tenant.params.score.batch_rows):
        count = batch.num_rows
        same = {
            "date": (interval.end - DAY).date(),
            "as_of": interval.as_of,
            "target": model.target,
            "model_version": model.version,
            "_loaded_at": utc_now(),
        }
        columns = {
            name: pa.repeat(pa.scalar(value, SHADOW_SCHEMA.field(name).type), count) for name, value in same.items()
        }
        columns["entity_id"] = pc.cast(batch.column(0), pa.string())
        columns["predicted"] = pa.array(model.judged(batch), pa.float64())
        yield pa.table({name: columns[name] for name in SHADOW_SCHEMA.names}, schema=SHADOW_SCHEMA)
