"""The page: its numbers are those of the files, in both languages, and it loads nothing from anywhere."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from models.promises import Ratio
from pipelines.core.tenant import Tenant
from pipelines.deliver.page.figures import Figures, Kept, figures
from pipelines.deliver.page.page import Page
from pipelines.deliver.page.step import kept_of
from pipelines.deliver.page.words import LANGUAGES, WORDS, number, percent
from pipelines.deliver.suppression import RULES
from pipelines.lake.catalog import Lake

SEGMENTS = ["state", "carrier", "nothing"]


class Read(HTMLParser):
    """Texts of the elements that programs find by an attribute, and whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.told: dict[str, str] = {}
        self.addresses: list[str] = []
        self._open: list[str] = []
        self._mark: str | None = None
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [str(given[name]) for name in ("src", "href") if name in given]
        if tag not in ("meta", "link", "input"):
            self._open.append(tag)
        key = given.get("data-measure") or given.get("data-tier") or given.get("data-rule")
        if key:
            self._mark = key

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._mark:
            self.told[self._mark] = data
            self._mark = None


@pytest.fixture(scope="module")
def folder(demo: Tenant) -> Path:
    return demo.audience_dir / demo.whole_run.label


@pytest.fixture(scope="module")
def found(demo: Tenant, folder: Path) -> Figures:
    return figures(folder, "lead_id", SEGMENTS, kept_of(demo, demo.whole_run, Lake(demo)))


@pytest.mark.slow
def test_numbers_are_those_of_the_manifest_and_the_files(folder: Path, found: Figures) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    rows = pq.read_table(folder / "audience.parquet")

    read = Read((folder / "report.html").read_text(encoding="utf-8"))

    assert read.told["audience"] == f"{manifest['counts']['audience']:,}"
    assert read.told["suppressed"] == f"{manifest['counts']['suppressed']:,}"
    assert sum(one.leads for one in found.tiers) == rows.num_rows == found.every.leads
    assert read.told["tier_a"] == f"{sum(tier == 'A' for tier in rows['tier'].to_pylist()):,}"
    total = sum(rows["probability"].to_pylist()) * found.ratio.value
    assert found.every.conversions.value == pytest.approx(total)
    assert read.told["conversions"] == f"{total:,.0f}"
    assert sum(one.conversions.value for one in found.tiers) == pytest.approx(total)
    shown = {rule for rule in RULES if rule in read.told}
    assert shown == {rule for rule, count in manifest["suppressed_by"].items() if count}
    assert set(found.segments) == {"state", "carrier"}
    states = rows["state"].to_pylist()
    for group in found.segments["state"]:
        assert group.leads == states.count(group.name)


@pytest.mark.slow
def test_the_curve_ends_with_all_of_them(folder: Path, found: Figures) -> None:
    p = sorted(pq.read_table(folder / "audience.parquet")["probability"].to_pylist(), reverse=True)
    assert found.curve[0] == (0, 0.0, 0.0)
    assert found.curve[-1][0] == len(p)
    for n, total, spread in found.curve:
        assert total == pytest.approx(sum(p[:n]))
        assert spread == pytest.approx(sum(one * (1 - one) for one in p[:n]))
    assert [n for n, *_ in found.curve] == sorted({n for n, *_ in found.curve})


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_it_loads_nothing_and_names_nobody(folder: Path, found: Figures, language: Any) -> None:
    page = Page(found, language).html()
    read = Read(page)
    assert read.addresses == ["data:,"]
    assert f'<html lang="{language}">' in page
    script = page.rpartition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    ids = pq.read_table(folder / "audience.parquet")["lead_id"].to_pylist()
    assert not any(one in page for one in ids)
    assert "{" not in re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)  # every word got its numbers


@pytest.mark.slow
def test_promises_that_were_not_kept_are_marked_and_correct_what_is_expected(folder: Path) -> None:
    kept = {"all": [Kept("", 900, 0.12, 0.09, 0.07, 0.11)], "tier": [Kept("A", 90, 0.3, 0.31, 0.2, 0.4)]}
    plain, corrected = figures(folder, "lead_id", []), figures(folder, "lead_id", [], kept)
    assert plain.ratio == Ratio()
    assert corrected.every.conversions.value == pytest.approx(plain.every.conversions.value * 0.75)
    page = Page(corrected, "en").html()
    assert page.count('class="off"') == 1
    assert "0.75 for each one that had been said" in page
    assert "the model's word alone" in Page(plain, "en").html().replace("&#x27;", "'")


@pytest.mark.slow
def test_against_the_audience_before(folder: Path, tmp_path: Path) -> None:
    today = tmp_path / "2026-03-01"
    before = tmp_path / "2026-02-20"
    for place in (today, before, tmp_path / "2026-02-25"):
        place.mkdir()
    for name in ("audience.parquet", "manifest.json"):
        (today / name).write_bytes((folder / name).read_bytes())
        (before / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "2026-02-25" / "audience.parquet").touch()  # half a day: it has no manifest
    with duckdb.connect() as connection:
        connection.read_parquet(str(folder / "audience.parquet")).create_view("now")
        connection.sql(
            "SELECT * REPLACE (CASE WHEN rank <= 3 THEN 'D' ELSE tier END AS tier) FROM now WHERE rank > 1"
        ).write_parquet(str(before / "audience.parquet"))
    changed = figures(today, "lead_id", []).changed
    assert changed is not None
    leads = pq.read_metadata(folder / "audience.parquet").num_rows
    assert (changed.date, changed.before, changed.came, changed.left) == ("2026-02-20", leads - 1, 1, 0)
    assert (changed.up, changed.down) == (2, 0)
    with duckdb.connect() as connection:
        connection.read_parquet(str(folder / "audience.parquet")).create_view("now")
        connection.sql("SELECT * REPLACE ('another' || rank AS lead_id) FROM now").write_parquet(
            str(before / "audience.parquet")
        )
    changed = figures(today, "lead_id", []).changed
    assert changed is not None
    assert (changed.came, changed.left, changed.up, changed.down) == (leads, leads, 0, 0)


@pytest.mark.slow
def test_where_nobody_may_be_written_to(folder: Path, tmp_path: Path) -> None:
    day = tmp_path / "2026-03-01"
    day.mkdir()
    pq.write_table(pq.read_table(folder / "audience.parquet").slice(0, 0), day / "audience.parquet")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["counts"] = {"audience": 0, "suppressed": 7}
    (day / "manifest.json").write_text(json.dumps(manifest))
    found = figures(day, "lead_id", SEGMENTS)
    page = Page(found, "en").html()
    assert "None of 7 scored leads may be written to." in page
    assert "<script" not in page
    Read(page)


def test_languages_say_the_same() -> None:
    def fields(text: str) -> set[str]:
        return {str(name) for _, name, _, _ in Formatter().parse(text) if name}

    english, spanish = WORDS["en"], WORDS["es"]
    assert list(english) == list(spanish)
    for key in english:
        assert fields(english[key]) == fields(spanish[key]), key
        assert english[key] != spanish[key] or key in ("reason",)
    assert set(RULES) <= set(english)


def test_numbers_are_written_as_people_do() -> None:
    assert (number(1234567.891, "en", 2), number(1234567.891, "es", 2)) == ("1,234,567.89", "1.234.567,89")
    assert (percent(0.1234, "en"), percent(0.1234, "es")) == ("12.3%", "12,3 %")
