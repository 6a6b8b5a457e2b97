"""Rules of DAG files: what Airflow makes of them, and what their text says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from pipelines.doctor.rules import Fault, rule
from pipelines.doctor.sources import DagFile, argument, dotted, spread

if TYPE_CHECKING:
    from pipelines.doctor.facts import Facts

SLOW = 3.0
"""Seconds that reading one DAG file may take; Airflow gives up after 30."""

_HEAVY = frozenset(
    re.findall(
        r"\w+",
        "catboost cvxpy dask dvc duckdb evidently feast great_expectations lightgbm matplotlib mlflow numpy onnx"
        " onnxruntime pandas polars prophet pyarrow pyiceberg pyspark ray scipy sklearn statsmodels tensorflow torch"
        " xgboost",
    )
)
_CLOCK = re.compile(r"(.*\.)?(now|utcnow|today|tomorrow|yesterday|days_ago|time\.time)")
_TWICE = re.compile(r"AirflowDagDuplicatedIdException|DuplicatedId")
_SECRETS = re.compile(r"(.*\.)?(Variable\.get|Variable|Connection\.get|get_connection)$")
_IO = re.compile(
    r"(.*\.)?(open|read_text|read_bytes|write_text|write_bytes|read_csv|read_parquet|read_sql|urlopen|create_engine)$"
    r"|(requests|httpx)\.\w+$|subprocess\.\w+$|os\.(system|popen)$|(duckdb|sqlite3|psycopg)\.connect$|boto3\.\w+$|time\.sleep$"
)


@rule(
    "dag-import", "error", "Airflow can import every DAG file",
    why="a file that fails to import takes its DAGs off the schedule without a word in the DAG list",
    mend="mend what the last line of the error says; `leadwise doctor --only dag-import` tells when it is done",
)  # fmt: skip
def dag_import(facts: Facts) -> Iterator[Fault]:
    """Import errors of Airflow's own DagBag."""
    if facts.parsed.failure is not None:
        yield Fault(facts.shown(facts.dags), facts.parsed.failure, "run make setup, then look again")
    for file, error in sorted(facts.parsed.errors.items()):
        if not _TWICE.search(error):
            yield Fault(facts.shown(file), f"Airflow can't import it: {error}")


@rule(
    "dag-unique-id", "error", "every DAG has an id of its own",
    why="of two DAGs with one id only one is run, and which one changes",
    mend="give one of them another dag_id",
)  # fmt: skip
def dag_unique_id(facts: Facts) -> Iterator[Fault]:
    """Ids that Airflow met twice."""
    for file, error in sorted(facts.parsed.errors.items()):
        if _TWICE.search(error):
            what = f"a DAG of this file has an id that is taken: {error.partition(': ')[2] or error}"
            yield Fault(facts.shown(file), what)


@rule(
    "dag-parse-time", "warning", f"a DAG file is read in less than {SLOW:.0f} s",
    why="the DAG processor reads every file again and again, and drops one that takes 30 s",
    mend="move imports and work from the top of the file into its tasks",
)  # fmt: skip
def dag_parse_time(facts: Facts) -> Iterator[Fault]:
    """Measured when Airflow read them."""
    for file, seconds in sorted(facts.parsed.seconds.items()):
        if seconds > SLOW:
            yield Fault(facts.shown(file), f"reading it took {seconds:.1f} s")


@rule(
    "dag-tags", "warning", "every DAG has tags",
    why="with a DAG per tenant and step, tags are how a person finds one",
    mend="give it tags, such as tags=['leadwise', <tenant>, <step>]",
)  # fmt: skip
def dag_tags(facts: Facts) -> Iterator[Fault]:
    """DAGs without a tag."""
    for dag in facts.parsed.dags:
        if not dag.tags:
            yield Fault(facts.shown(dag.file), f"the DAG '{dag.dag_id}' has no tags")


@rule(
    "dag-doc", "warning", "every DAG says what it does",
    why="who is called at night reads the documentation in the UI first",
    mend="set doc_md, for example doc_md=__doc__ with a docstring at the top of the file",
)  # fmt: skip
def dag_doc(facts: Facts) -> Iterator[Fault]:
    """DAGs without doc_md."""
    for dag in facts.parsed.dags:
        if not dag.doc:
            yield Fault(facts.shown(dag.file), f"the DAG '{dag.dag_id}' has no documentation")


@rule(
    "dag-retries", "error", "every task is tried again",
    why="a source that is away for a minute would fail the night",
    mend="set retries in the DAG's default_args, such as default_args={'retries': 3, 'retry_exponential_backoff': 2.0}",
)  # fmt: skip
def dag_retries(facts: Facts) -> Iterator[Fault]:
    """Tasks with no retries."""
    for dag in facts.parsed.dags:
        for task in dag.tasks:
            if task.retries < 1:
                what = f"task '{task.task_id}' of '{dag.dag_id}' has {task.retries} retries"
                yield Fault(facts.shown(dag.file), what)


@rule(
    "dag-start-date", "error", "a DAG on a schedule has a start date",
    why="without one Airflow does not know the first day, and backfills have no beginning",
    mend="set start_date to a fixed instant with a time zone, such as datetime(2026, 1, 1, tzinfo=UTC)",
)  # fmt: skip
def dag_start_date(facts: Facts) -> Iterator[Fault]:
    """Scheduled DAGs without a start date."""
    for dag in facts.parsed.dags:
        if dag.scheduled and dag.start_date is None:
            yield Fault(facts.shown(dag.file), f"the DAG '{dag.dag_id}' runs on a schedule and has no start date")


@rule(
    "dag-moving-start", "error", "no start date moves",
    why="a start date read from the clock is another one at each parse: runs are skipped or never begin",
    mend="write a fixed instant, such as datetime(2026, 1, 1, tzinfo=UTC)",
)  # fmt: skip
def dag_moving_start(facts: Facts) -> Iterator[Fault]:
    """A start_date, of a DAG or in a mapping of arguments, that is read from the clock."""
    for file in facts.dag_files:
        for value in _start_dates(file):
            clock = _clock(file, value)
            if clock:
                yield Fault(f"{facts.shown(file.path)}:{value.lineno}", f"the start date comes from {clock}()")


def _start_dates(file: DagFile) -> Iterator[ast.expr]:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.keyword) and node.arg == "start_date":
            yield node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "start_date":
                    yield value


def _clock(file: DagFile, value: ast.expr, depth: int = 5) -> str | None:
    """The call by which `value` depends on the clock, followed through names of the module."""
    for node in ast.walk(value):
        if isinstance(node, ast.Call) and _CLOCK.fullmatch(dotted(node.func)):
            return dotted(node.func)
        if isinstance(node, ast.Name) and depth and node.id in file.values:
            found = _clock(file, file.values[node.id], depth - 1)
            if found:
                return found
    return None


@rule(
    "dag-catchup", "warning", "a DAG says whether it catches up",
    why="the default is a setting of the installation: elsewhere the first start may run years of days",
    mend="write catchup=False (or True, where every missed day has to be run)",
)  # fmt: skip
def dag_catchup(facts: Facts) -> Iterator[Fault]:
    """DAGs that leave catchup to the default."""
    yield from _left_out(facts, "catchup", "leaves catchup to the default")


@rule(
    "dag-max-active-runs", "warning", "a DAG limits its runs at one time",
    why="by default sixteen runs of one DAG work side by side, on the same tables",
    mend="write max_active_runs=1, or the number that its tables bear",
)  # fmt: skip
def dag_max_active_runs(facts: Facts) -> Iterator[Fault]:
    """DAGs that leave max_active_runs to the default."""
    yield from _left_out(facts, "max_active_runs", "leaves max_active_runs to the default")


def _left_out(facts: Facts, name: str, what: str) -> Iterator[Fault]:
    for file in facts.dag_files:
        for call in file.dags:
            if argument(call, name) is None and not spread(call):
                yield Fault(f"{facts.shown(file.path)}:{call.lineno}", f"this DAG {what}")


@rule(
    "dag-heavy-import", "error", "no DAG file imports a heavy library at its top",
    why="the DAG processor imports every file again and again; such a library makes it take seconds, or vanish",
    mend="import it inside the task",
)  # fmt: skip
def dag_heavy_import(facts: Facts) -> Iterator[Fault]:
    """Imports of heavy libraries that run when the file is read."""
    for file in facts.dag_files:
        for name, line in file.imports:
            if name in _HEAVY:
                yield Fault(f"{facts.shown(file.path)}:{line}", f"{name} is imported when the file is read")


@rule(
    "dag-variable", "error", "no Variable or Connection is read at the top of a DAG file",
    why="each parse would ask Airflow's database, many times a minute",
    mend="read it inside the task, or as a template such as {{ var.value.name }}",
)  # fmt: skip
def dag_variable(facts: Facts) -> Iterator[Fault]:
    """Variable.get and its like outside of tasks."""
    for file in facts.dag_files:
        for name, call in file.calls:
            if _SECRETS.match(name):
                yield Fault(f"{facts.shown(file.path)}:{call.lineno}", f"{name}() runs when the file is read")


@rule(
    "dag-io", "error", "no DAG file reads files, databases or the network at its top",
    why="what is slow or away at parse time takes the DAG off the schedule",
    mend="do it inside a task",
)  # fmt: skip
def dag_io(facts: Facts) -> Iterator[Fault]:
    """Input and output outside of tasks."""
    for file in facts.dag_files:
        for name, call in file.calls:
            if _IO.match(name) and not _SECRETS.match(name):
                yield Fault(f"{facts.shown(file.path)}:{call.lineno}", f"{name}() runs when the file is read")


@rule(
    "dag-asset", "error", "every asset that a DAG waits for is updated by a task",
    why="a DAG whose asset nobody updates never runs, and nothing says so",
    mend="name an asset among a task's outlets, or correct the name in the DAG's schedule",
)  # fmt: skip
def dag_asset(facts: Facts) -> Iterator[Fault]:
    """Assets without a task that has them as outlet."""
    if facts.parsed.errors:
        return  # the file that updates it may be the one that can't be read
    updated = {name for dag in facts.parsed.dags for task in dag.tasks for name in task.outlets}
    for dag in facts.parsed.dags:
        for name in dag.waits_for:
            if name not in updated:
                what = f"the DAG '{dag.dag_id}' waits for the asset '{name}', which no task updates"
                yield Fault(facts.shown(dag.file), what)


@rule(
    "dag-owner", "warning", "tasks of one DAG have one owner",
    why="the owner is who is asked when the DAG is red; several mean nobody",
    mend="set owner once, in the DAG's default_args",
)  # fmt: skip
def dag_owner(facts: Facts) -> Iterator[Fault]:
    """DAGs whose tasks name different owners."""
    for dag in facts.parsed.dags:
        owners = [name for name, _ in groupby(sorted(task.owner for task in dag.tasks))]
        if len(owners) > 1:
            yield Fault(facts.shown(dag.file), f"tasks of '{dag.dag_id}' have the owners {', '.join(owners)}")
