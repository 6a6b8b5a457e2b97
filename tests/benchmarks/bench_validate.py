"""Ingest and validate a million validations, and three million: speed, and memory that stays flat."""

import shutil
import sys
import tempfile
from pathlib import Path

import polars as pl
import yaml

from pipelines.core.settings import ROOT
from tests.benchmarks.measure import Cost, Row, run_python
from tests.benchmarks.measure import run as command

MILLION = 1_000_000
LEADWISE = str(Path(sys.executable).with_name("leadwise"))

# Great Expectations as its documentation shows it: one pandas frame, COMPLETE with index columns; then the lake.
PLAIN = """
import logging, os, sys
os.environ["GX_ANALYTICS_ENABLED"] = "False"
logging.disable(logging.WARNING)
from pathlib import Path
import great_expectations as gx
import pandas as pd, pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from expectations.contract import load_contracts
folder, source = Path(sys.argv[1]) if len(sys.argv) > 1 else Path({folder!r}), {source!r}
contract = load_contracts(Path({contracts!r}))["validations"]
frame = pd.read_parquet(source).reset_index(names="row")
batch = (gx.get_context(mode="ephemeral").data_sources.add_pandas("p").add_dataframe_asset("v")
         .add_batch_definition_whole_dataframe("b").get_batch(batch_parameters={{"dataframe": frame}}))
suite = gx.ExpectationSuite(name="validations")
e = gx.expectations
for c in contract.columns:
    if c.required:
        suite.add_expectation(e.ExpectColumnValuesToNotBeNull(column=c.name))
    if c.minimum is not None or c.maximum is not None:
        suite.add_expectation(e.ExpectColumnValuesToBeBetween(column=c.name, min_value=c.minimum, max_value=c.maximum))
    if c.phone:
        suite.add_expectation(e.ExpectColumnValuesToMatchRegex(column=c.name, regex=r"^\\+[1-9]\\d{{6,14}}$"))
suite.add_expectation(e.ExpectColumnValuesToBeUnique(column="validation_id"))
result = batch.validate(suite, result_format={{"result_format": "COMPLETE", "unexpected_index_column_names": ["row"]}})
bad = set()
for one in result.results:
    bad.update(entry["row"] for entry in one.result.get("unexpected_index_list") or [])
good = pa.Table.from_pandas(frame[~frame["row"].isin(bad)].drop(columns="row"), preserve_index=False)
good = good.cast(pa.schema([f.with_type(pa.timestamp("us")) if "time" in str(f.type) else f for f in good.schema]))
catalog = SqlCatalog("p", uri=f"sqlite:///{{folder}}/plain.db", warehouse=f"file://{{folder}}/plain")
catalog.create_namespace("clean")
catalog.create_table("clean.validations", schema=good.schema).append(good)
print(len(bad), "bad")
"""


def run() -> list[Row]:
    """Rows per second over both steps, against plain Great Expectations on one frame."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source = _source(root, MILLION)
        ours = _ours(root, source, "one")
        plain = run_python(PLAIN.format(folder=folder, source=str(source), contracts=str(root / "contracts" / "one")))
        triple = _ours(root, _source(root, 3 * MILLION), "three")
    speed = MILLION / ours.seconds
    return [
        Row.rate(
            "ingest and validate a million validations",
            speed,
            MILLION / plain.seconds,
            "rows/s",
            "reference: plain Great Expectations on a frame, no raw copy, lead ids, quarantine; reach: 40,000",
        ),
        Row.of("peak memory, 1M rows", ours.peak_mb, plain.peak_mb, "MB", "all processes together"),
        Row.of("peak memory, 3M rows", triple.peak_mb, ours.peak_mb, "MB", "reference: ours at 1M rows; reach: flat"),
        Row.rate("three million", 3 * MILLION / triple.seconds, speed, "rows/s", "reference: ours at 1M rows"),
    ]


def _ours(root: Path, source: Path, name: str) -> Cost:
    """`leadwise ingest` and `leadwise validate` in a tenant that has this one table."""
    contracts = root / "contracts" / name
    shutil.copytree(ROOT / "expectations" / "sms", contracts, ignore=shutil.ignore_patterns("[!v]*"))
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    tenant = params["tenants"]["demo"]
    params["tenants"] = {"demo": {**tenant, "use_case": name, "sources": {"validations": {"path": str(source)}}}}
    (root / f"{name}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    env = {
        "LEADWISE_VAR": str(root / name),
        "LEADWISE_PARAMS": str(root / f"{name}.yaml"),
        "LEADWISE_EXPECTATIONS": str(root / "contracts"),
    }
    steps = [command([LEADWISE, step], env) for step in ("ingest", "validate")]
    return Cost(sum(step.seconds for step in steps), max(step.peak_mb for step in steps), steps[-1].output)


def _source(root: Path, rows: int) -> Path:
    """A Parquet export of `rows` validations with one bad row in a hundred, from the simulator's own."""
    path = root / f"{rows}.parquet"
    if not (root / "market").exists():
        env = {"LEADWISE_VAR": str(root / "market")}
        command([LEADWISE, "simulate", "--leads", "20000"], env)
    market = pl.read_parquet(root / "market" / "demo" / "source" / "validations" / "*.parquet")
    copies = rows // market.height + 1
    frames = [market.with_columns(pl.col("validation_id") + f"-{number}") for number in range(copies)]
    pl.concat(frames).head(rows).write_parquet(path, row_group_size=100_000)
    return path
