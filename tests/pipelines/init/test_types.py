"""Types, limits and personal data are told from cells, held against values that are known."""

import random
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.init.personal import judge
from pipelines.init.profile import Facts, profile
from pipelines.init.source import open_file
from tests.pipelines.init.conftest import write


def facts_of(folder: Path, cells: list[str], name: str = "thing", delimiter: str = ",") -> Facts | None:
    """Facts of one column beside a counter."""
    file = write(folder / "rows.csv", ({"n": i, name: cell} for i, cell in enumerate(cells)), delimiter)
    connection = duckdb.connect()
    try:
        connection.execute("SET TimeZone = 'UTC'")
        opened = open_file(file, connection)
        opened.view(connection)
        found = profile(opened, connection, lambda n: None)
    finally:
        connection.close()
    return next((one for key, one in found.items() if key != "n"), None)


fast = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fast
@given(values=st.lists(st.integers(-(10**17), 10**17), min_size=3, max_size=40))
def test_whole_numbers(values: list[int], tmp_path: Path) -> None:
    one = facts_of(tmp_path, [str(value) for value in values])
    assert one is not None
    assert (one.type, one.minimum, one.maximum, one.misfits) == ("integer", min(values), max(values), 0)


@fast
@given(values=st.lists(st.floats(-1e9, 1e9).filter(lambda x: x != int(x)), min_size=3, max_size=40))
def test_numbers(values: list[float], tmp_path: Path) -> None:
    one = facts_of(tmp_path, [repr(value) for value in values])
    assert one is not None
    assert (one.type, one.minimum, one.maximum) == ("number", min(values), max(values))


@fast
@given(
    values=st.lists(st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1)), min_size=3, max_size=30),
    form=st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S"]),
)
def test_times(values: list[datetime], form: str, tmp_path: Path) -> None:
    one = facts_of(tmp_path, [value.strftime(form) for value in values])
    assert one is not None
    whole = [value.replace(microsecond=0) for value in values]
    assert (one.type, one.minimum, one.maximum, one.misfits) == ("timestamp", min(whole), max(whole), 0)


@fast
@given(values=st.lists(st.dates(date(1980, 1, 13), date(2090, 1, 1)), min_size=3, max_size=30), american=st.booleans())
def test_days_with_slashes(values: list[date], american: bool, tmp_path: Path) -> None:
    values = [*values, date(2026, 3, 25)]  # a day that can be no month settles the order
    one = facts_of(tmp_path, [value.strftime("%m/%d/%Y" if american else "%d/%m/%Y") for value in values])
    assert one is not None
    assert one.minimum.date() == min(values)
    assert one.maximum.date() == max(values)


def test_an_unclear_order_of_day_and_month_is_a_weak_guess(tmp_path: Path) -> None:
    one = facts_of(tmp_path, ["01/02/2026", "03/04/2026", "05/06/2026"])
    assert one is not None
    assert one.sure <= 60


@fast
@given(
    values=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs", "Cc"])),
        min_size=1,
        max_size=30,
    )
)
def test_any_text_is_read_to_its_end(values: list[str], tmp_path: Path) -> None:
    one = facts_of(tmp_path, values)
    filled = sum(bool(value.strip(" ")) for value in values)
    assert (one.filled if one else 0) <= filled
    if one is not None and one.type == "string":
        assert one.filled == filled


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["00123", "04567", "99999"], "string"),  # codes: a leading zero would be lost
        (["12345678901234567890", "2", "3"], "string"),  # too long for 64 bits
        (["1", "2", "NA", "4"], "integer"),
        (["1,5", "2,25", "1.234,5"], "number"),
        (["yes", "no", "NO"], "boolean"),
        (["1", "0", "1"], "integer"),
        (["nan", "inf", "x"], "string"),
        (["2026-02-30", "2026-02-31", "2026-02-32"], "string"),
        (["2026-02-01", "2026-02-02", ""], "date"),
        ([" a ", "b", "c"], "string"),
    ],
)
def test_kinds(cells: list[str], kind: str, tmp_path: Path) -> None:
    one = facts_of(tmp_path, cells, delimiter=";")
    assert one is not None
    assert one.type == kind


def test_a_type_that_breaks_far_down_is_no_type(tmp_path: Path) -> None:
    one = facts_of(tmp_path, [str(n) for n in range(25_000)] + [f"A{n}" for n in range(2_000)])
    assert one is not None
    assert one.type == "string"
    assert one.filled == 27_000


def test_a_few_wrong_cells_do_not_change_the_type(tmp_path: Path) -> None:
    one = facts_of(tmp_path, [str(n) for n in range(999)] + ["oops"])
    assert one is not None
    assert (one.type, one.misfits, one.maximum) == ("integer", 1, 998)


draw = random.Random(5)
PERSONAL = {
    "phone numbers": ([f"+5255{draw.randint(10_000_000, 99_999_999)}" for _ in range(50)], "contact"),
    "e-mail addresses": ([f"a{n}@example.com" for n in range(50)], "contact"),
    "card numbers": (["4111 1111 1111 1111", "5500005555555559", "4012888888881881"], "paid_with"),
    "bank accounts (IBAN)": (["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"], "account"),
    "national ids (CURP)": (["GOMC850101HDFRRL09", "PEPJ900212MJCRRN05"], "document"),
    "national ids (SSN)": (["123-45-6789", "219-09-9999"], "document"),
    "national ids (DNI)": (["12345678Z", "X1234567L"], "document"),
    "national ids (CPF)": (["529.982.247-25", "111.444.777-35"], "document"),
    "addresses of machines (IP)": (["10.0.0.1", "192.168.3.4", "2001:db8::1"], "origin"),
    "names of people": (["Ana", "Luis"], "first_name"),
    "phone numbers without country code": (["(55) 1234-5678", "55 8765 4321"], "contact"),
}


@pytest.mark.parametrize("what", PERSONAL)
def test_personal_data_is_told_from_its_cells(what: str) -> None:
    cells, name = PERSONAL[what]
    found = judge(name, cells, is_text=True)
    assert found is not None
    assert found.what == what


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("amount", ["12.50", "8", "1999"]),
        ("order_id", [str(10_000_000 + n) for n in range(50)]),
        ("happened_at", ["2026-01-05 10:00", "2026-02-06 11:30"]),
        ("version", ["1.2.3", "10.4.1"]),
        ("campaign_name", ["spring", "autumn"]),
        ("plan", ["Basic", "Plus"]),
        ("code", ["4111111111111112", "5500005555555550"]),
    ],
)
def test_what_is_not_personal_is_left_alone(name: str, cells: list[str]) -> None:
    assert judge(name, cells, is_text=True) is None


def test_an_address_hidden_in_text_is_found_anywhere_in_the_file(tmp_path: Path) -> None:
    cells = [f"remark {n}" for n in range(25_000)]
    cells[24_321] = "ask ana@example.com"
    one = facts_of(tmp_path, cells)
    assert one is not None
    assert one.personal is not None


def test_days_far_from_the_others_do_not_stretch_the_run() -> None:
    from pipelines.init.days import Days, trimmed

    usual = [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]
    days = Days("t", (date(1970, 1, 1), *usual, date(2099, 1, 1)), (1, *[100] * 60, 1))
    assert (trimmed(days).first, trimmed(days).last, trimmed(days).left_out) == (usual[0], usual[-1], 2)
    assert trimmed(Days("t", tuple(usual), (5,) * 60)).left_out == 0


def test_a_column_that_fills_up_far_down_is_read_there(tmp_path: Path) -> None:
    cells = [""] * 25_000
    cells += [f"2026-01-{n % 28 + 1:02d}" for n in range(500)]
    one = facts_of(tmp_path, cells)
    assert one is not None
    assert (one.type, one.filled, one.misfits) == ("date", 500, 0)
    phones = facts_of(tmp_path, [""] * 25_000 + [f"+52551234{n:04d}" for n in range(500)])
    assert phones is not None
    assert phones.personal is not None
