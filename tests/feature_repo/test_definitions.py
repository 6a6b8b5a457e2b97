"""What a use case's SQL says about itself, and how it is refused."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from expectations.contract import load_contracts
from feature_repo.definitions import Definitions, load_definitions, load_mappings
from pipelines.core.errors import ConfigError, LeadwiseError, SqlError
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant

MakeTenant = Callable[..., Tenant]
CALLS = (ROOT / "expectations" / "bank_marketing" / "calls.yaml").read_text(encoding="utf-8")
SQL = {
    "features_call.sql": "select call_id, age, job, housing, balance / 2 as half, called_at from calls",
    "labels/conversion.sql": (
        "select call_id, called_at as event_time, subscribed as label,"
        " called_at + to_days($horizon_days::int) as known_at from calls"
    ),
    "candidates.sql": "select call_id from calls where called_at <= $as_of",
}


def load(make_tenant: MakeTenant, change: dict[str, str | None] | None = None) -> Definitions:
    sql = {name: text for name, text in {**SQL, **(change or {})}.items() if text is not None}
    tenant = make_tenant("bank", contracts={"calls.yaml": CALLS}, sql=sql)
    return load_definitions(tenant, load_contracts(tenant.contracts_dir))


def test_schema_entity_and_kinds_come_from_the_query(make_tenant: MakeTenant) -> None:
    found = load(make_tenant)
    view = found.views["call"]
    assert view.entity == "call_id"
    assert view.tables == {"calls"}
    assert view.schema.types == [pa.string(), pa.int64(), pa.string(), pa.bool_(), pa.float64(), pa.timestamp("us")]
    assert found.model_features("call_id") == [
        ("age", "numeric"), ("job", "categorical"), ("housing", "boolean"), ("half", "numeric"),
        ("days_since_called", "numeric"),
    ]  # fmt: skip
    assert found.label("conversion").schema.field("label").type == pa.int64()


@pytest.mark.parametrize("name", ["demo", "bank"])
def test_the_shipped_use_cases_load(make_tenant: MakeTenant, name: str) -> None:
    tenant = make_tenant(name)
    found = load_definitions(tenant, load_contracts(tenant.contracts_dir))
    entity = found.label("conversion").entity
    features = [feature for feature, _ in found.model_features(entity)]
    assert len(features) == len(set(features)) > 20
    assert found.candidates is not None
    assert set(found.mappings) == set(load_contracts(tenant.contracts_dir))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"features_call.sql": "select age from calls"}, r"features_call.sql:1: no entity .* call_id"),
        ({"features_call.sql": "select call_id from calls"}, "no feature beside 'call_id'"),
        ({"features_call.sql": "select call_id,\n agee from calls"}, r"features_call.sql:2: DuckDB refuses"),
        ({"features_call.sql": "select call_id, 1 as a, 2 as a from calls"}, "two columns are named 'a'"),
        ({"features_call.sql": "select call_id, age as as_of from calls"}, "reserved"),
        ({"features_call.sql": "select call_id, [age] as a from calls"}, r"column 'a' is BIGINT\[\]: cast"),
        ({"features_call.sql": "select call_id, age from raw.calls"}, "looks past the views"),
        ({"features_call.sql": "select call_id, $horizon_days as h from calls"}, r"unknown parameter \$horizon_days"),
        ({"features_more.sql": "select call_id, age from calls"}, "'age' stands in view 'call' too"),
        ({"labels/conversion.sql": "select call_id, age from calls"}, "a label has the columns call_id, event_time"),
        ({"candidates.sql": "select call_id, age from calls"}, "candidates have the columns call_id"),
        ({"features_call.sql": None}, "has no features_"),
        ({"mapping.sql": "-- table: cals\nselect 1"}, r"mapping.sql:1: there is no contract 'cals'.*'calls'"),
        ({"mapping.sql": "\n-- table: calls\n\nselect *\nfrom call"}, r"mapping.sql:5: there is no view 'call'"),
    ],
)
def test_what_is_wrong_is_one_sentence(make_tenant: MakeTenant, change: dict[str, str | None], says: str) -> None:
    with pytest.raises(SqlError, match=says):
        load(make_tenant, change)


def test_a_target_needs_its_label(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match="target 'conversion' of tenant 'bank' has no"):
        load(make_tenant, {"labels/conversion.sql": None})


def test_a_label_that_is_no_target_of_the_tenant_is_left_out(make_tenant: MakeTenant) -> None:
    found = load(make_tenant, {"labels/other.sql": SQL["labels/conversion.sql"]})
    assert set(found.labels) == {"conversion"}


def test_misspelt_target_names_the_right_one(make_tenant: MakeTenant) -> None:
    with pytest.raises(ConfigError, match="did you mean 'conversion'"):
        load(make_tenant).label("conversions")


def test_mapping_sections_keep_their_lines_and_default_to_the_source(tmp_path: Path) -> None:
    (tmp_path / "mapping.sql").write_text("-- why\n-- table: a\nselect *\nfrom s;\n", encoding="utf-8")
    found = load_mappings(tmp_path, ["a", "b"], ["s", "b"])
    assert (found["a"].first_line, found["a"].sql.split()) == (3, ["select", "*", "from", "s"])
    assert (found["b"].first_line, found["b"].sql) == (0, 'select * from "b"')
    with pytest.raises(LeadwiseError, match="neither a source of its name nor a section"):
        load_mappings(tmp_path, ["a", "c"], ["s"])
