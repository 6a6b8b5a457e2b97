"""Why a lead stands where it stands in the audience: its strongest reasons, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.features.join import point_in_time
from pipelines.registry.frames import as_columns
from pipelines.train.card_words import words_of
from pipelines.train.made_by import texts

if TYPE_CHECKING:
    from expectations.contract import Contract
    from feature_repo.definitions import Definitions
    from pipelines.core.tenant import Tenant
    from pipelines.lake.catalog import Lake
    from pipelines.registry.champion import Champion

TOP = 3
NAMES = tuple(f"reason_{place}" for place in range(1, TOP + 1))
"""Columns of the audience."""

SCHEMA = pa.schema([("entity_id", pa.string()), *((name, pa.string()) for name in NAMES)])

Explain = Callable[[pa.Array], Iterator[pa.Table]]
"""Gives rows of `SCHEMA` for ids of entities, in any order, a batch at a time."""

_ASIDE = re.compile(r"\s*\([^()]*\)\s*\.?$")
_CLAUSE = re.compile(r"[;:,.].*$", re.DOTALL)


def reasons(
    tenant: Tenant,
    lake: Lake,
    definitions: Definitions,
    contracts: Mapping[str, Contract],
    spine: pa.Table,
    champion: Champion,
) -> Explain:
    """A function that explains scored entities; in flat memory.

    Args:
        tenant: whose scores.
        lake: of the tenant.
        definitions: the views.
        contracts: by table name; their descriptions are the words.
        spine: the candidates that were scored, entity and instant.
        champion: that scored them.
    """
    label = definitions.label(champion.target)
    names = [name for name, _ in champion.features]
    known = words_of(names, contracts, texts(contracts, label, definitions.views.values()))
    phrases = {name: phrase_of(name, known.get(name, "")) for name in names}

    def explain(ids: pa.Array) -> Iterator[pa.Table]:
        mine = spine.filter(pc.is_in(pc.cast(spine.column(0), pa.string()), value_set=ids))
        if not mine.num_rows:
            return
        for batch in point_in_time(tenant, lake, definitions, mine, tenant.params.score.batch_rows):
            if batch.num_rows:
                yield _told(pa.Table.from_batches([batch]), champion, phrases)

    return explain


def phrase_of(name: str, words: str) -> str:
    """What a feature is, short enough for a cell: without asides, up to the first pause."""
    short = _CLAUSE.sub("", _ASIDE.sub("", words.strip())).strip()
    return short or name.replace("_", " ")


def _told(rows: pa.Table, champion: Champion, phrases: Mapping[str, str]) -> pa.Table:
    order = champion.estimator.inputs_.names
    why = champion.estimator.explain(as_columns(rows, champion.features), min(TOP, len(order)))
    values = {name: rows[name].to_pylist() for name in {order[at] for at in set(why.features.ravel().tolist())}}
    columns: list[list[str | None]] = []
    for place in range(TOP):
        if place >= why.features.shape[1]:
            columns.append([None] * rows.num_rows)
            continue
        pairs = zip(why.features[:, place].tolist(), why.contributions[:, place].tolist(), strict=True)
        columns.append(
            [
                reason(phrases[order[at]], values[order[at]][row], moved) if moved else None
                for row, (at, moved) in enumerate(pairs)
            ]
        )
    ids = pc.cast(rows.column(0), pa.string())
    return pa.Table.from_arrays([ids, *(pa.array(one, pa.string()) for one in columns)], schema=SCHEMA)


def reason(phrase: str, value: object, moved: float) -> str:
    """One reason: what, its value, and where it moved the score, which it did if `moved` is not 0."""
    return f"{phrase}: {_shown(value)} ({'raises' if moved > 0 else 'lowers'} it)"


def _shown(value: object) -> str:
    if value is None or value != value:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
