"""Make Data Docs pages that need no network: as they come they load eleven files and a counting pixel."""

import json
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("pages.css")

# What a page loads from elsewhere, and the scripts that are of no use without it.
_REMOTE = (
    re.compile(r"<script\b.*?</script>", re.DOTALL),
    re.compile(r"<link\b[^>]*https?://[^>]*>"),
    re.compile(r"<img\b[^>]*https?://[^>]*>", re.DOTALL),
    re.compile(r"<footer\b.*?</footer>", re.DOTALL),
    re.compile(
        r'<div class="card mb-3">\s*<div class="card-header p-2">\s*<strong>Actions</strong>.*?'
        r"</div>\s*</div>\s*</div>\s*</div>\s*</div>",
        re.DOTALL,
    ),
)
_SUITE_LINK = re.compile(r'<a href="[^"]*expectations/[^"]*"\s*>(.*?)</a>', re.DOTALL)
_LOCAL = "<!-- needs no network -->"


@dataclass(frozen=True)
class Result:
    """A line of the index: what the gate decided on one table in one run."""

    table: str
    run: str
    decided_at: str
    verdict: str
    rows: dict[str, int]
    checks: tuple[int, int]
    page: str


def make_local(folder: Path) -> None:
    """Rewrite the pages below `folder` so that they load nothing, and write an index of the results."""
    style = STYLE.read_text(encoding="utf-8")
    for page in folder.glob("validations/**/*.html"):
        text = page.read_text(encoding="utf-8")
        if _LOCAL not in text:
            page.write_text(without_network(text, style), encoding="utf-8")
    results = sorted(_results(folder), key=lambda one: (one.decided_at, one.table))
    (folder / "index.html").write_text(_index(results[::-1], style), encoding="utf-8")


def without_network(html: str, style: str) -> str:
    """A page of Great Expectations with `style` in place of all that it loads from elsewhere."""
    for pattern in _REMOTE:
        html = pattern.sub("", html)
    html = _SUITE_LINK.sub(r"\1", html)
    return html.replace("</head>", f"{_LOCAL}<style>{style}</style></head>", 1)


def _results(folder: Path) -> list[Result]:
    """Stored results that have a page."""
    found = []
    for path in folder.glob("store/**/validations/**/*.json"):
        # A table may be called "validations" too: the store's own folder is the outermost of that name.
        store = [parent for parent in path.parents if parent.name == "validations"][-1]
        place = path.relative_to(store)
        page = Path("validations") / place.with_suffix(".html")
        if (folder / page).is_file():
            found.append(_result(json.loads(path.read_text(encoding="utf-8")), page))
    return found


def _result(stored: dict[str, Any], page: Path) -> Result:
    meta, statistics = stored["meta"], stored["statistics"]
    return Result(
        table=stored["suite_name"],
        run=meta["run_id"]["run_name"],
        decided_at=meta["run_id"]["run_time"][:19].replace("T", " "),
        verdict=meta["verdict"],
        rows=meta["rows"],
        checks=(statistics["successful_expectations"], statistics["evaluated_expectations"]),
        page=page.as_posix(),
    )


def _index(results: list[Result], style: str) -> str:
    lines = "".join(
        f'<tr><td><a href="{escape(one.page)}">{escape(one.table)}</a></td><td>{escape(one.run)}</td>'
        f'<td><span class="{"text-success" if one.verdict == "published" else "text-danger"}">{escape(one.verdict)}'
        f'</span></td><td class="n">{one.rows["clean"]:,}</td><td class="n">{one.rows["quarantined"]:,}</td>'
        f'<td class="n">{one.rows["duplicates"]:,}</td><td class="n">{one.checks[0]} of {one.checks[1]}</td>'
        f"<td>{escape(one.decided_at)} UTC</td></tr>"
        for one in results
    )
    heads = ("Table", "Days", "Verdict", "Rows", "Quarantined", "Duplicates", "Checks without a bad row", "Decided at")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{_LOCAL}<style>{style}</style></head>'
        '<body><div class="container-fluid"><h1>Data Docs</h1><p class="lead">What the gate decided, newest first. '
        "A bad row goes to quarantine; a bad batch is refused and nothing of it is published.</p>"
        f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div></body></html>'
    )
