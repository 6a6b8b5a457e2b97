"""Phones live in one table; elsewhere stands a lead id that leads nowhere without its salt."""

import pyarrow as pa
import pytest

from pipelines.lake.catalog import Lake
from pipelines.lake.identities import Identities, lead_id
from tests.conftest import MakeTenant

PHONES = pa.array(["+525512345678", "+523312345678", None, "+525512345678"])


@pytest.fixture
def lake(make_tenant: MakeTenant) -> Lake:
    return Lake(make_tenant())


def test_a_phone_keeps_its_id_and_null_stays_null(lake: Lake) -> None:
    first = Identities(lake)
    ids = first.resolve(PHONES, "b")
    assert first.commit() == 2

    again = Identities(lake)

    assert again.resolve(PHONES, "c").equals(ids)
    assert again.commit() == 0
    assert ids.to_pylist()[2] is None
    assert ids[0] == ids[3]
    assert again.phones(ids).equals(PHONES)


def test_nothing_is_kept_before_commit(lake: Lake) -> None:
    Identities(lake).resolve(PHONES, "b")

    assert Identities(lake).phones(pa.array(["x"])).to_pylist() == [None]
    assert not lake.exists("identity.identities")


def test_ids_depend_on_the_salt() -> None:
    assert lead_id("+525512345678", b"a" * 16) != lead_id("+525512345678", b"b" * 16)
