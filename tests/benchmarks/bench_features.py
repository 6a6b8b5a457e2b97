"""The feature SQL of the simulated market over a million validations and two million messages, against pandas."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pandas as pd

from pipelines.core.settings import get_settings
from pipelines.core.tenant import Tenant
from tests.benchmarks.lakes import NOW, clean_tables
from tests.benchmarks.measure import Cost, Row, run_python

_TIMES = 3
COUNTS = {"leads": 200_000, "validations": 1_000_000, "messages": 2_000_000}

OURS = """
from dataclasses import replace
from datetime import datetime
from pathlib import Path
import time
from concurrent.futures import ThreadPoolExecutor
import pyarrow.parquet as pq
from expectations.contract import load_contracts
from feature_repo.definitions import load_definitions
from pipelines.core.tenant import Tenant
from pipelines.features.compute import tables_of
tenant = Tenant.load("demo")
contracts = load_contracts(tenant.contracts_dir)
every = load_definitions(tenant, contracts)
definitions = replace(every, views={{name: every.views[name] for name in ("messages", "validations")}})
now = {{"as_of": datetime.fromisoformat({now!r})}}
began = time.perf_counter()
with tables_of(tenant, definitions, contracts) as asof, ThreadPoolExecutor() as pool:
    def write(view):  # a thread and a connection for each view, as the step has them
        connection = asof.connection.cursor()
        connection.execute("SET VARIABLE as_of = $as_of::TIMESTAMP", now)
        found = connection.sql(view.sql, params=now).to_arrow_table()
        pq.write_table(found, Path({folder!r}) / f"{{view.name}}.ours.parquet")
    list(pool.map(write, definitions.views.values()))
print(time.perf_counter() - began)
"""

# As a good user of pandas writes it: no loop, no apply; the newest version of each key, then grouped sums.
PANDAS = """
import time
from pathlib import Path
import numpy as np, pandas as pd
began = time.perf_counter()
folder, now = Path({folder!r}), pd.Timestamp({now!r})
ORDER = ["_arrived_at", "_batch_id", "_source_file", "_source_row"]
def known(table, key, columns):
    rows = pd.read_parquet(folder / "demo/lake/clean" / table / "data", columns=[*columns, *ORDER])
    rows = rows[rows["_arrived_at"] <= now].sort_values(ORDER).drop_duplicates(key, keep="last")
    return rows.drop(columns=ORDER)
def windows(rows, time):
    age = now - rows[time]
    return {{days: age < pd.Timedelta(days=days) for days in (7, 30, 90)}}
leads = known("leads", "lead_id", ["lead_id"])
messages = known("messages", "message_id", ["message_id", "lead_id", "sent_at", "status", "length"])
PLATFORMS = ["whatsapp", "instagram", "facebook", "google", "apple"]
active, ms = [f"{{p}}_active" for p in PLATFORMS], [f"{{p}}_ms" for p in PLATFORMS]
validations = known("validations", "validation_id", ["validation_id", "lead_id", "validated_at", *active, *ms])

messages = messages[messages["sent_at"] <= now]
within = windows(messages, "sent_at")
cells = messages[["lead_id", "sent_at"]].assign(
    messages=1, delivered=messages["status"].eq("delivered"), length_90d=messages["length"].where(within[90], 0),
    **{{f"messages_{{days}}d": within[days] for days in within}})
sums = cells.drop(columns="sent_at").groupby("lead_id").sum()
sums["last_message_at"] = cells.groupby("lead_id")["sent_at"].max()
found = leads.set_index("lead_id").join(sums)
counts = ["messages", "delivered", "length_90d", "messages_7d", "messages_30d", "messages_90d"]
found[counts] = found[counts].fillna(0)
found["delivery_rate"] = (found["delivered"] + 9) / (found["messages"] + 10)
found["message_length_90d"] = (found["length_90d"] / found["messages_90d"].replace(0, np.nan)).fillna(0)
names = ["last_message_at", "delivery_rate", "messages_7d", "messages_30d", "messages_90d", "message_length_90d"]
found[names].reset_index().to_parquet(folder / "messages.pandas.parquet")

validations = validations[validations["validated_at"] <= now]
within = windows(validations, "validated_at")
newest = validations.sort_values(["validated_at", *active]).drop_duplicates("lead_id", keep="last").set_index("lead_id")
cells = pd.DataFrame({{
    "lead_id": validations["lead_id"], **{{f"validations_{{days}}d": within[days] for days in within}},
    **{{p: validations[f"{{p}}_active"] & within[90] for p in PLATFORMS}},
    "ms": validations[ms].sum(axis=1).where(within[90], 0),
    "answers": validations[ms].notna().sum(axis=1).where(within[90], 0)}})
sums = cells.groupby("lead_id").sum()
found = leads.set_index("lead_id").join(sums).join(newest[["validated_at", *active]])
numbers = list(sums.columns)
found[numbers] = found[numbers].fillna(0)
found[active] = found[active].fillna(False).astype(bool)
seen = found[PLATFORMS].sum(axis=1)
found["last_validation_at"] = found["validated_at"]
found["platform_count"] = found[active].sum(axis=1)
found["platform_count_90d"] = (seen / found["validations_90d"].replace(0, np.nan)).fillna(0)
squares = (found[PLATFORMS] ** 2).sum(axis=1)
found["platform_diversity_90d"] = (1 - squares / (seen.replace(0, np.nan) ** 2)).fillna(0)
found["response_ms_90d"] = (found["ms"] / found["answers"].replace(0, np.nan)).fillna(0)
names = ["last_validation_at", "platform_count", *active, *[f"validations_{{days}}d" for days in within],
         "platform_count_90d", "platform_diversity_90d", "response_ms_90d"]
found[names].reset_index().to_parquet(folder / "validations.pandas.parquet")
print(time.perf_counter() - began)
"""


def run() -> list[Row]:
    """Seconds and memory of the views `messages` and `validations` as of one instant.

    Both sides read the lake's own Parquet files, and only the columns they need; both leave out what arrived later and
    versions that were corrected, and write what they found as Parquet. Medians of runs in turn.
    """
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        settings = get_settings().model_copy(update={"var": folder})
        clean_tables(Tenant.load("demo", settings), folder, COUNTS)
        found: dict[str, list[Cost]] = {"ours": [], "pandas": []}
        for _ in range(_TIMES):
            for whose, code in (("ours", OURS), ("pandas", PANDAS)):
                found[whose].append(run_python(code.format(folder=home, now=NOW.isoformat()), {"LEADWISE_VAR": home}))
        for view in ("messages", "validations"):
            _compare(folder, view)

    def both(figure: Callable[[Cost], float]) -> tuple[float, float]:
        ours, pandas = (median(map(figure, costs)) for costs in found.values())
        return ours, pandas

    return [
        Row.of("files to features", *both(_said), "s", "the same in pandas; reach: 5×"),
        Row.of("with the start of Python and its imports", *both(lambda one: one.seconds), "s", "the same in pandas"),
        Row.of("peak memory", *both(lambda one: one.peak_mb), "MB", "the same in pandas; reach: under 2,000 MB"),
    ]


def _said(cost: Cost) -> float:
    return float(cost.output.split()[-1])


def _compare(folder: Path, view: str) -> None:
    """Make sure that both found the same, to the twelfth digit."""
    ours, theirs = (
        pd.read_parquet(folder / f"{view}.{whose}.parquet").sort_values("lead_id").reset_index(drop=True)
        for whose in ("ours", "pandas")
    )
    assert 0.99 * COUNTS["leads"] < len(ours) < COUNTS["leads"], len(ours)  # some leads arrive after the instant
    pd.testing.assert_frame_equal(ours, theirs[list(ours.columns)], check_dtype=False, rtol=1e-12)
    print(f"{view}: {len(ours)} rows × {ours.shape[1]} columns are equal", file=sys.stderr)
