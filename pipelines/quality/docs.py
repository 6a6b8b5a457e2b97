"""Great Expectations' Data Docs of the runs that decided, without personal data."""

import json
import math
import re
import shutil
import warnings
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.phones import LIKE_A_PHONE
from pipelines.core.interval import Interval, utc_now
from pipelines.quality.judge import Tally
from pipelines.quality.pages import make_local
from pipelines.quality.quiet import quiet

if TYPE_CHECKING:
    from pipelines.core.tenant import Tenant
    from pipelines.quality.gate import Outcome

KEPT = 5
"""Results of a table that stay in the docs; older ones are deleted."""

_LONG = 10_000_000  # eight digits before the point
_MASK = "•••"


def index_path(tenant: "Tenant") -> Path:
    """The page to open."""
    return tenant.docs_dir / "index.html"


def publish(tenant: "Tenant", interval: Interval, outcomes: Sequence["Outcome"]) -> Path:
    """Store what the gate decided and build the pages.

    Args:
        tenant: whose docs.
        interval: of the run, part of its name.
        outcomes: of every table that had rows.

    Returns:
        The page to open.
    """
    quiet()
    from great_expectations.core import RunIdentifier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydantic and marshmallow, inside Great Expectations
        _mend(tenant.docs_dir)
        context = _context(tenant.docs_dir)
        run = RunIdentifier(
            run_name=f"{interval.start.date()} to {interval.end.date()}", run_time=utc_now().replace(tzinfo=UTC)
        )
        first = not index_path(tenant).is_file()
        fresh = [_store(context, outcome, run) for outcome in outcomes]
        removed = _forget(context, tenant.docs_dir)
        if first or removed or fresh:
            context.build_data_docs(resource_identifiers=None if first else fresh)
        make_local(tenant.docs_dir)
    return index_path(tenant)


def _context(folder: Path) -> Any:
    """Great Expectations with its stores and its site in `folder`, and nothing to configure there."""
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        FilesystemStoreBackendDefaults,
        ProgressBarsConfig,
    )

    folder.mkdir(parents=True, exist_ok=True)
    defaults = FilesystemStoreBackendDefaults(root_directory=str(folder / "store"))
    site = defaults.data_docs_sites["local_site"]
    site["show_how_to_buttons"] = False
    site["store_backend"] = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    config = DataContextConfig(
        store_backend_defaults=defaults, analytics_enabled=False, progress_bars=ProgressBarsConfig(globally=False)
    )
    return EphemeralDataContext(project_config=config)


def _mend(folder: Path) -> None:
    """Delete results and pages that a killed run left without their end: Great Expectations reads them all again."""
    for page in folder.glob("validations/**/*.html"):
        if not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
            page.unlink()
    for path in folder.glob("store/**/validations/**/*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            path.unlink()


def _store(context: Any, outcome: "Outcome", run: Any) -> Any:
    """Keep one table's result; returns its key."""
    import great_expectations
    from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    results = [_result(tally) for tally in outcome.tallies]
    good = sum(result.success for result in results)
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": good,
        "unsuccessful_expectations": len(results) - good,
        "success_percent": 100 * good / len(results) if results else None,
    }
    meta = {
        "run_id": run,
        "great_expectations_version": great_expectations.__version__,
        "batch_spec": {"data_asset_name": outcome.name},
        "verdict": outcome.rejected or "published",
        "rows": {"clean": outcome.clean.rows, "quarantined": outcome.bad.rows, "duplicates": outcome.duplicates},
        "batches": f"{outcome.mapped.batches[0]} … {outcome.mapped.batches[-1]}" if outcome.mapped.batches else "",
    }
    whole = ExpectationSuiteValidationResult(
        success=outcome.rejected is None,  # the verdict: bad rows alone do not refuse a batch
        results=results,
        suite_name=outcome.name,
        suite_parameters={},
        statistics=statistics,
        meta=meta,
    )
    key = ValidationResultIdentifier(
        expectation_suite_identifier=ExpectationSuiteIdentifier(name=outcome.name),
        run_id=run,
        batch_identifier=outcome.name,
    )
    context.validation_results_store.set(key, whole)
    return key


def _result(tally: Tally) -> Any:
    """What a check found over all chunks, in Great Expectations' words."""
    from great_expectations.core.expectation_validation_result import ExpectationValidationResult

    rows, missing, bad = tally.rows, tally.missing, tally.unexpected
    asked = rows if tally.check.rule == "required" else rows - missing
    hidden = not tally.check.shown and bad
    sample = [_MASK] if hidden else [_masked(value) for value in tally.sample]
    return ExpectationValidationResult(
        success=bad == 0,
        expectation_config=tally.check.expectation.configuration,
        result={
            "element_count": rows,
            "unexpected_count": bad,
            "unexpected_percent": 100 * bad / asked if asked else 0.0,
            "partial_unexpected_list": sample,
            "missing_count": missing,
            "missing_percent": 100 * missing / rows if rows else 0.0,
            "unexpected_percent_total": 100 * bad / rows if rows else 0.0,
            "unexpected_percent_nonmissing": 100 * bad / asked if asked else 0.0,
        },
    )


def _masked(value: Any) -> Any:
    """Digits that could be a phone which strayed into another column are not shown."""
    if isinstance(value, list):
        return ", ".join(str(_masked(one)) for one in value)
    if isinstance(value, Real):
        return _MASK if _LONG <= abs(float(value)) < math.inf else value
    return LIKE_A_PHONE.sub(_MASK, value) if isinstance(value, str) and not _is_time(value) else value


def _is_time(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?", text) is not None


def _forget(context: Any, folder: Path) -> int:
    """Delete results beyond the newest `KEPT` of each table, with their pages; returns how many."""
    by_table: dict[str, list[Any]] = defaultdict(list)
    for key in context.validation_results_store.list_keys():
        by_table[key.expectation_suite_identifier.name].append(key)
    stale = [key for keys in by_table.values() for key in sorted(keys, key=lambda one: one.run_id.run_time)[:-KEPT]]
    for key in stale:
        context.validation_results_store.remove_key(key)
        place = folder.joinpath("validations", *key.to_tuple())
        place.with_name(place.name + ".html").unlink(missing_ok=True)
        shutil.rmtree(place.parent, ignore_errors=True)
    return len(stale)
