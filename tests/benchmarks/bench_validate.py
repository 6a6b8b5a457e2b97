"""A million rows of 20 columns through the suites of `sms`: the gate against Great Expectations used plainly.

Both judge the same Parquet export by the same expectations, and have to agree on every row: which rows are bad, and
which expectations each of them breaks. The export holds validations with what is known of their leads.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from pipelines.core.settings import ROOT
from tests.benchmarks.measure import Cost, Row
from tests.benchmarks.measure import run as command

MILLION = 1_000_000
LEADWISE = str(Path(sys.executable).with_name("leadwise"))
OF_LEAD = ("lada", "state", "timezone", "carrier", "line_type", "consent")

_SUITE = """
import logging, os, sys
os.environ["GX_ANALYTICS_ENABLED"] = "False"
logging.disable(logging.WARNING)
from datetime import datetime
from pathlib import Path
import great_expectations as gx
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.parquet as pq
from expectations.contract import load_contract
from expectations.phones import known_phones
from expectations.suites import LATEST, checks
source, contract, into = map(Path, sys.argv[1:])
suite = [check for check in checks(load_contract(contract)) if check.rule != "type"]  # the export has its types
known = pa.array(pq.read_table(source, columns=["phone"])["phone"].unique(), pa.string())
end = datetime(2026, 4, 1)
verdicts = []
"""

# As its documentation shows it: one pandas frame, COMPLETE with an index column.
_PLAIN = (
    _SUITE
    + """
frame = pd.read_parquet(source).reset_index(names="row").assign(**{LATEST: end})
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
batch = (context.data_sources.add_pandas("p").add_dataframe_asset("v")
         .add_batch_definition_whole_dataframe("b").get_batch(batch_parameters={"dataframe": frame}))
for number, check in enumerate(suite):
    check.expectation.meta = {"number": number}
whole = gx.ExpectationSuite(name="validations", expectations=[check.expectation for check in suite])
with known_phones(lambda: known):
    complete = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}
    result = batch.validate(whole, result_format=complete)
for one in result.results:
    assert one.success or "unexpected_index_list" in one.result, one
    for entry in one.result.get("unexpected_index_list") or []:
        verdicts.append((entry["row"], one.expectation_config.meta["number"]))
"""
)

_GATE = (
    _SUITE
    + """
from pipelines.quality.judge import Judge
judge, start = Judge(suite), 0
for part in pq.ParquetFile(source).iter_batches(125_000):  # as many as the gate takes at once
    ends = pa.repeat(pa.scalar(end, pa.timestamp("us")), part.num_rows)
    chunk = pa.Table.from_batches([part]).append_column(LATEST, ends)
    with known_phones(lambda: known):
        for number, mask in judge.bad(chunk, {}):
            verdicts += [(start + int(row), number) for row in np.flatnonzero(mask)]
    start += part.num_rows
"""
)

_TELL = """
told = pd.DataFrame(sorted(verdicts), columns=["row", "number"])
told["rule"] = [suite[number].rule for number in told["number"]]
told["column"] = [", ".join(suite[number].columns) for number in told["number"]]
told.to_parquet(into)
"""

_QUARANTINE = """
import sys
from pipelines.core.tenant import Tenant
from pipelines.lake.catalog import Lake
import pyarrow.parquet as pq
pq.write_table(Lake(Tenant.load("demo")).read("quarantine.validations"), sys.argv[1])
"""


def run() -> list[Row]:
    """Rows per second of the rules alone and of the whole step, and memory at one and at three million rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        contract = _contract(root / "contracts" / "wide")
        source = _source(root, MILLION)
        rules = _judged(_GATE, root, source, contract, "gate")
        plain = _judged(_PLAIN, root, source, contract, "plain")
        wanted = pl.read_parquet(root / "plain.parquet")
        _same(pl.read_parquet(root / "gate.parquet"), wanted)
        ingest, step = _steps(root, source, "one")
        _same_quarantine(root, wanted)
        _, triple = _steps(root, _source(root, 3 * MILLION), "three")
    bad = wanted["row"].n_unique()
    both = Cost(ingest.seconds + step.seconds, 0, "", ingest.cpu + step.cpu)
    same = f"the same verdict on every row, {bad:,} of them bad; reach: 2"
    more = "with mapping, lead ids, quarantine, Data Docs and Iceberg"
    return [
        *_rates("the rules alone", rules, plain, same),
        *_rates("the step `leadwise validate`", step, plain, more),
        *_rates("ingest and validate", both, plain, f"{more}, and the raw copy"),
        Row.of("peak memory of the step, 1M rows", step.peak_mb, plain.peak_mb, "MB", ""),
        Row.of("the same, 3M rows", triple.peak_mb, step.peak_mb, "MB", "reference: ours at 1M rows; reach: flat"),
        Row.of("CPU of the step, 3M rows", triple.cpu, 3 * step.cpu, "s", "reference: three times ours at 1M rows"),
    ]


def _rates(what: str, ours: Cost, plain: Cost, note: str) -> list[Row]:
    """By the clock, and by the processor: other work on the machine moves the first."""
    speed, reference = MILLION / ours.seconds, MILLION / plain.seconds
    return [
        Row.rate(what, speed, reference, "rows/s", note),
        Row.of(f"{what}: CPU", ours.cpu, plain.cpu, "s", "start-up included"),
    ]


def _judged(code: str, root: Path, source: Path, contract: Path, name: str) -> Cost:
    return command([sys.executable, "-c", code + _TELL, *map(str, (source, contract, root / f"{name}.parquet"))])


def _same(ours: pl.DataFrame, plain: pl.DataFrame) -> None:
    if not ours.equals(plain):
        raise AssertionError(f"the verdicts differ: {ours.height} of the gate, {plain.height} of Great Expectations")


def _same_quarantine(root: Path, plain: pl.DataFrame) -> None:
    """Quarantine holds the bad rows and no other, each with the first expectation it breaks."""
    path = root / "quarantine.parquet"
    command([sys.executable, "-c", _QUARANTINE, str(path)], _environment(root, "one"))
    columns = pl.col("_source_row").cast(pl.Int64).alias("row"), pl.col("rule"), pl.col("column")
    ours = pl.read_parquet(path).select(*columns).sort("row")
    first = plain.sort("row", "number").unique("row", keep="first", maintain_order=True)
    shift = int(ours["row"].min() or 0) - int(first["row"].min() or 0)  # rows of a file count from 1
    _same(ours.with_columns(pl.col("row") - shift), first.select(pl.col("row").cast(pl.Int64), "rule", "column"))


def _contract(folder: Path) -> Path:
    """The contract of validations with columns of the one of leads: their suites, side by side."""
    folder.mkdir(parents=True)
    shipped = ROOT / "expectations" / "sms"
    whole, leads = (yaml.safe_load((shipped / f"{name}.yaml").read_text("utf-8")) for name in ("validations", "leads"))
    by_name: dict[str, Any] = {column["name"]: column for column in leads["schema"][0]["properties"]}
    whole["schema"][0]["properties"] += [by_name[name] for name in OF_LEAD]
    path = folder / "validations.yaml"
    path.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
    return path


def _environment(root: Path, name: str) -> dict[str, str]:
    return {
        "LEADWISE_VAR": str(root / name),
        "LEADWISE_PARAMS": str(root / f"{name}.yaml"),
        "LEADWISE_EXPECTATIONS": str(root / "contracts"),
    }


def _steps(root: Path, source: Path, name: str) -> tuple[Cost, Cost]:
    """`leadwise ingest` and `leadwise validate` in a tenant that has this one table."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tenant = params["tenants"]["demo"]
    params["tenants"] = {"demo": {**tenant, "use_case": "wide", "sources": {"validations": {"path": str(source)}}}}
    (root / f"{name}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    ingest, validate = (command([LEADWISE, step], _environment(root, name)) for step in ("ingest", "validate"))
    shutil.rmtree(root / name / "demo" / "source", ignore_errors=True)
    return ingest, validate


def _source(root: Path, rows: int) -> Path:
    """A Parquet export of `rows` different rows, about one in eighty bad, from the simulator's own."""
    path = root / f"{rows}.parquet"
    market = root / "market" / "demo" / "source"
    if not market.exists():
        command([LEADWISE, "simulate", "--leads", "20000"], {"LEADWISE_VAR": str(root / "market")})
    leads = pl.read_parquet(market / "leads" / "*.parquet").unique("phone", keep="first", maintain_order=True)
    known = leads.select("phone", *OF_LEAD)
    typical = known.drop_nulls().row(0, named=True)
    one = pl.read_parquet(market / "validations" / "*.parquet").unique(maintain_order=True)
    one = one.join(known, on="phone", how="left", maintain_order="left").with_columns(
        pl.col(name).fill_null(typical[name])
        for name in OF_LEAD  # phones that were spoilt, or came before their lead
    )
    copies = range(rows // one.height + 1)
    frames = [one.with_columns(pl.col("validation_id") + f"-{number}") for number in copies]
    pl.concat(frames).head(rows).write_parquet(path, row_group_size=100_000)
    return path
