"""Reasons of the audience: those of the model, in words."""

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.tenant import Tenant
from pipelines.deliver.candidates import candidates
from pipelines.deliver.reasons import NAMES, phrase_of, reason, reasons
from pipelines.features.join import point_in_time
from pipelines.lake.catalog import Lake
from pipelines.registry.champion import load_champion
from pipelines.registry.frames import as_columns


@pytest.mark.parametrize(
    ("words", "short"),
    [
        ("Clicks in the last 30 days (conversions: what the lead did after).", "Clicks in the last 30 days"),
        (
            "Mobile operator the number belongs to; a free text, in which no number can stand.",
            "Mobile operator the number belongs to",
        ),
        ("How much competitors advertise, from 0 (nothing) to 1.", "How much competitors advertise"),
        ("", "clicks 30d"),
        ("(aside).", "clicks 30d"),
    ],
)
def test_words_are_short(words: str, short: str) -> None:
    assert phrase_of("clicks_30d", words) == short


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"),
        (3.0, "3"),
        (0.123456, "0.1235"),
        (None, "unknown"),
        (math.nan, "unknown"),
        (True, "yes"),
        ("JAL", "JAL"),
    ],
)
def test_values_are_shown(value: object, shown: str) -> None:
    assert reason("Clicks", value, 0.1) == f"Clicks: {shown} (raises it)"
    assert reason("Clicks", value, -0.1) == f"Clicks: {shown} (lowers it)"


@pytest.mark.slow
def test_they_are_those_of_the_champion(demo: Tenant) -> None:
    lake, contracts = Lake(demo), load_contracts(demo.contracts_dir)
    definitions, champion = load_definitions(demo, contracts), load_champion(demo, "conversion")
    audience = pq.read_table(demo.audience_dir / demo.whole_run.label / "audience.parquet")
    spine = candidates(demo, lake, definitions, contracts, demo.whole_run.as_of)
    features = point_in_time(demo, lake, definitions, spine).read_all()
    rows = dict(zip(features.column(0).to_pylist(), range(features.num_rows), strict=True))
    why = champion.estimator.explain(as_columns(features, champion.features), 3)
    names = champion.estimator.inputs_.names

    for row in audience.select(["lead_id", *NAMES]).to_pylist():
        at = rows[row["lead_id"]]
        for place, told in enumerate(row[name] for name in NAMES):
            moved = why.contributions[at, place]
            if told is None:
                assert moved == 0
                continue
            value = features[names[why.features[at, place]]][at].as_py()
            assert told.endswith("(raises it)" if moved > 0 else "(lowers it)")
            shown = "unknown" if value is None else value if isinstance(value, str) else None
            assert shown is None or f": {shown} (" in told
    assert len(set(audience["reason_1"].to_pylist())) > 10


@pytest.mark.slow
def test_only_those_who_are_asked_for_are_explained(demo: Tenant) -> None:
    lake, contracts = Lake(demo), load_contracts(demo.contracts_dir)
    definitions, champion = load_definitions(demo, contracts), load_champion(demo, "conversion")
    spine = candidates(demo, lake, definitions, contracts, demo.whole_run.as_of)
    explain = reasons(demo, lake, definitions, contracts, spine, champion)
    wanted = spine.column(0).slice(0, 3).combine_chunks()
    assert sorted(row["entity_id"] for rows in explain(wanted) for row in rows.to_pylist()) == sorted(
        wanted.to_pylist()
    )
    assert not list(explain(pa.array(["nobody"])))
