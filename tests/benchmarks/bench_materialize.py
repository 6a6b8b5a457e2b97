"""Materialize 200,000 leads × 20 features into SQLite and Redis, against Feast's own engine; and a million.

When 1 % of the leads have new rows, Feast is measured over all days and over the new ones. All days are what it needs
to be right whatever happened since: over the new days alone it misses rows that were written, changed or taken away
under an earlier day. Ours is given the new days, as `leadwise features` does; a day computed again is written whole.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from pyiceberg.catalog.sql import SqlCatalog

from tests.benchmarks.measure import Row, run_python

LEADS, MILLION = 200_000, 1_000_000
DAY = datetime(2026, 1, 1)
BATCH = 10_000
"""`online_write_batch_size` where Feast is given one."""

# One call of `materialize`, timed in a process that made one before: what either imports on its way is not counted.
CALL = """
import contextlib, io, json, sys, time, warnings
warnings.simplefilter("ignore")
from datetime import UTC, datetime
from pipelines.features.apply import import_feast
import_feast()
from feast import FeatureStore
warm, store = FeatureStore(repo_path={warm!r}), FeatureStore(repo_path={folder!r})
store._get_provider().batch_engine, store.registry
with contextlib.redirect_stdout(io.StringIO()):
    warm.materialize(datetime(1700, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    began, worked = time.perf_counter(), time.process_time()
    store.materialize(datetime({start}, tzinfo=UTC), datetime({end}, tzinfo=UTC))
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
print(json.dumps([seconds, worked]))
"""
EVERYTHING = "1700, 1, 1"


def run() -> list[Row]:
    """Whole and again, into both stores, each with Feast's two ways of writing."""
    from tests.pipelines.features.servers import RedisServer

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        server = RedisServer(root)
        try:
            for kind, reach, store in (("SQLite", 4.5, None), ("Redis", 6.0, server)):
                rows += _side_by_side(root / kind, kind, reach, store)
        finally:
            server.kill()
    return rows


def _side_by_side(root: Path, kind: str, reach: float, server: Any) -> list[Row]:
    lake(root, LEADS)
    lake(root / "warm", 1)
    folders = {}
    for number, (name, size) in enumerate({"ours": None, "feast": None, "batched": BATCH}.items()):
        folders[name] = repo(root, name, server and server.url(number), size, own=name == "ours")
        repo(root / "warm", name, server and server.url(10 + number), size, own=name == "ours")
    first = {name: _materialize(one, EVERYTHING, DAY) for name, one in folders.items()}
    same(folders["ours"], folders["feast"], LEADS)
    change(root, LEADS // 100)
    ours = _materialize(folders["ours"], "2026, 1, 1, 0, 0, 1", DAY + timedelta(days=1))
    whole = _materialize(folders["feast"], EVERYTHING, DAY + timedelta(days=1))
    narrow = _materialize(folders["batched"], "2026, 1, 1, 0, 0, 1", DAY + timedelta(days=1))
    same(folders["ours"], folders["feast"], LEADS)
    if server:
        server.client().flushall()
    shutil.rmtree(root)
    lake(root, MILLION)
    lake(root / "warm", 1)
    repo(root / "warm", "ours", server and server.url(10), None, own=True)
    million = _materialize(repo(root, "ours", server and server.url(), None, own=True), EVERYTHING, DAY)
    shutil.rmtree(root)
    what = f"{kind}: {LEADS:,} leads × 20 features"
    again = f"{kind}: again when 1 % of the leads changed"
    return [
        _row(what, first["ours"], first["feast"], f"reference: Feast as it comes; reach: {reach}"),
        _row(what, first["ours"], first["batched"], f"reference: Feast, online_write_batch_size: {BATCH}"),
        Row.of(f"{what}, memory", first["ours"].peak_mb, first["feast"].peak_mb, "MB", "the whole process"),
        _row(again, ours, whole, "reference: Feast over all days, which finds late and corrected rows too; reach: 30"),
        _row(again, ours, narrow, "reference: Feast over the new days only"),
        Row.of(f"{kind}: 1,000,000 leads, memory", million.peak_mb, None, "MB", f"{million.seconds:.0f} s; reach: 700"),
    ]


@dataclass(frozen=True)
class Call:
    """What a call of `materialize` took: the seconds of the call alone, the memory of the whole process."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


def _materialize(folder: Path, start: str, end: datetime) -> Call:
    warm = folder.parent / "warm" / folder.name
    cost = run_python(CALL.format(warm=str(warm), folder=str(folder), start=start, end=f"{end:%Y, %-m, %-d}"))
    seconds, worked = json.loads(cost.output.splitlines()[-1])
    return Call(seconds, worked, cost.peak_mb)


def _row(what: str, ours: Call, theirs: Call, note: str) -> Row:
    """Seconds of the clock; those of the processor, which a busy machine distorts less, in the note."""
    worked = (
        f"CPU {ours.cpu_seconds:.2f} against {theirs.cpu_seconds:.2f} s, {theirs.cpu_seconds / ours.cpu_seconds:.1f} x"
    )
    return Row.of(what, ours.seconds, theirs.seconds, "s", f"{note}; {worked}")


def lake(root: Path, leads: int) -> None:
    """The Iceberg table: ten floats, five counts, two flags, a text, two times of each lead, some of them missing."""
    (root / "lake").mkdir(parents=True)
    catalog = _catalog(root)
    catalog.create_namespace("features")
    table = None
    for start in range(0, leads, 100_000):
        rows = rows_of(start, min(leads, start + 100_000), DAY)
        table = table or catalog.create_table("features.leads", rows.schema)
        table.append(rows)


def change(root: Path, leads: int) -> None:
    """New rows of some leads, spread evenly, a day later."""
    numbers = np.arange(0, LEADS, LEADS // leads)
    rows = pa.concat_tables(rows_of(n, n + 1, DAY + timedelta(days=1), seed=1) for n in numbers)
    _catalog(root).load_table("features.leads").append(rows)


def rows_of(start: int, end: int, as_of: datetime, seed: int = 0) -> pa.Table:
    """Rows of the leads of these numbers."""
    rng = np.random.default_rng([seed, start])
    rows = end - start
    stamp = pa.timestamp("us")
    made: dict[str, Any] = {
        "lead_id": [f"{number * 2654435761 % 2**64:016x}{number:016x}" for number in range(start, end)],
        "as_of": pa.array([as_of] * rows, stamp),
    }
    holes = rng.random(rows) < 0.1
    made |= {f"share_{n}": pa.array(rng.random(rows), mask=holes) for n in range(10)}
    made |= {f"count_{n}": pa.array(rng.poisson(3, rows)) for n in range(5)}
    made |= {f"flag_{n}": pa.array(rng.random(rows) < 0.5) for n in range(2)}
    made["carrier"] = pa.array(np.array(["Telcel", "AT&T", "Movistar"])[rng.integers(0, 3, rows)])
    seconds = rng.integers(1_700_000_000, 1_767_000_000, (2, rows)) * 1_000_000
    made |= {f"last_{n}_at": pa.array(seconds[n], mask=holes).cast(stamp) for n in range(2)}
    return pa.table(made)


def repo(root: Path, name: str, url: str | None, batch: int | None, own: bool) -> Path:
    """A Feast repository on the table, with our engine or Feast's own."""
    from pipelines.core.settings import Settings
    from pipelines.features.address import expose, online_store
    from pipelines.features.apply import import_feast, quiet

    import_feast()
    from feast import Entity, FeatureStore, FeatureView, Field, ValueType
    from feast.infra.data_sources.contrib.iceberg_catalog.iceberg_source import IcebergSource
    from feast.types import Bool, Float64, Int64, String, UnixTimestamp

    settings = Settings(online_url=url)
    expose(settings)
    engine = "pipelines.features.engine.compute.OnlineEngine" if own else "local"
    config = {
        "project": "shop", "provider": "local", "entity_key_serialization_version": 3,
        "registry": {"registry_type": "file", "path": "registry.db", "cache_ttl_seconds": 0},
        "offline_store": {"type": "duckdb"}, "online_store": online_store(settings), "batch_engine": {"type": engine},
        "materialization": {"online_write_batch_size": batch},
    }  # fmt: skip
    folder = root / name
    folder.mkdir()
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    source = IcebergSource(
        name="leads", catalog_type="sql", catalog_name="bench", catalog_properties={"uri": _uri(root)},
        warehouse=f"file://{root}/lake", namespace="features", table="leads", timestamp_field="as_of",
    )  # fmt: skip
    kinds = {"share": Float64, "count": Int64, "flag": Bool, "last": UnixTimestamp}
    names = [name for name in rows_of(0, 1, DAY).column_names if name != "as_of"]
    fields = [Field(name=name, dtype=kinds.get(name.split("_")[0], String)) for name in names]
    fields = [Field(name="lead_id", dtype=String) if field.name == "lead_id" else field for field in fields]
    entity = Entity(name="lead", join_keys=["lead_id"], value_type=ValueType.STRING)
    view = FeatureView(name="leads", entities=[entity], ttl=None, schema=fields, source=source)
    with quiet():
        FeatureStore(repo_path=str(folder)).apply([entity, view])
    return folder


def same(ours: Path, theirs: Path, leads: int) -> None:
    """Make sure that a stock client reads equal values from both.

    Raises:
        RuntimeError: it does not.
    """
    from feast import FeatureStore

    from pipelines.features.apply import quiet

    ids = rows_of(0, leads, DAY).column("lead_id").to_pylist()
    with quiet():
        left, right = (FeatureStore(repo_path=str(folder)) for folder in (ours, theirs))
        features = [f"leads:{field.name}" for field in left.get_feature_view("leads").features]
        for start in range(0, leads, 10_000):
            keys = [{"lead_id": one} for one in ids[start : start + 10_000]]
            found = [store.get_online_features(features, keys).to_dict() for store in (left, right)]
            if repr(found[0]) != repr(found[1]):
                raise RuntimeError("a stock client reads other values than after Feast's own materialize")


def _uri(root: Path) -> str:
    return f"sqlite:///{root}/catalog.db"


def _catalog(root: Path) -> SqlCatalog:
    return SqlCatalog("bench", uri=_uri(root), warehouse=f"file://{root}/lake")
