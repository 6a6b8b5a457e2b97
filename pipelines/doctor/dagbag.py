"""What Airflow itself makes of a folder of DAG files, found in a child process with an Airflow home of its own.

`python -m pipelines.doctor.dagbag FOLDER FILE` is that child: it writes JSON to FILE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SECONDS = 120


@dataclass(frozen=True)
class ParsedTask:
    """A task: its id, retries, owner, and names of the assets it updates."""

    task_id: str
    retries: int
    owner: str
    outlets: tuple[str, ...]


@dataclass(frozen=True)
class ParsedDag:
    """A DAG as the scheduler would see it."""

    dag_id: str
    file: str
    tags: tuple[str, ...]
    doc: bool
    start_date: str | None
    scheduled: bool
    waits_for: tuple[str, ...]
    tasks: tuple[ParsedTask, ...]


@dataclass(frozen=True)
class Parsed:
    """All DAGs of a folder.

    Attributes:
        dags: those that could be read.
        errors: last line of what Airflow said, by file.
        seconds: what each file took to be read.
        failure: why Airflow could not be asked at all.
    """

    dags: tuple[ParsedDag, ...] = ()
    errors: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


def parse(folder: Path, root: Path) -> Parsed:
    """Let Airflow read the DAG files of `folder`.

    Args:
        folder: of DAG files.
        root: folder of the repository, which DAG files import from.
    """
    with tempfile.TemporaryDirectory(prefix="leadwise-doctor-") as home:
        target = Path(home) / "parsed.json"
        command = [sys.executable, "-m", "pipelines.doctor.dagbag", str(folder.absolute()), str(target)]
        try:
            subprocess.run(  # noqa: S603 - our own module
                command, cwd=root, env=_environment(home, folder), capture_output=True, timeout=_SECONDS, check=True
            )
            told = json.loads(target.read_text(encoding="utf-8"))
        except subprocess.TimeoutExpired:
            return Parsed(failure=f"reading the DAG files took Airflow more than {_SECONDS} s")
        except subprocess.CalledProcessError as error:
            return Parsed(failure=f"Airflow can't read the folder: {_last(error.stderr.decode(errors='replace'))}")
        except (OSError, ValueError) as error:
            return Parsed(failure=f"Airflow can't be asked: {error}")
    return Parsed(tuple(_from_json(one) for one in told["dags"]), told["errors"], told["seconds"])


def _from_json(told: dict[str, Any]) -> ParsedDag:
    """A DAG as the child wrote it."""
    tasks = tuple(ParsedTask(**{**task, "outlets": tuple(task["outlets"])}) for task in told["tasks"])
    return ParsedDag(**{**told, "tags": tuple(told["tags"]), "waits_for": tuple(told["waits_for"]), "tasks": tasks})


def _environment(home: str, folder: Path) -> dict[str, str]:
    """The variables of this process, and an Airflow that touches nothing of ours."""
    options = {
        "CORE__DAGS_FOLDER": str(folder.absolute()),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__UNIT_TEST_MODE": "False",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "LOGGING__BASE_LOG_FOLDER": f"{home}/logs",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {**os.environ, "AIRFLOW_HOME": home, **{f"AIRFLOW__{name}": value for name, value in options.items()}}


def _describe(folder: str) -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(folder)
    return {
        "dags": [_dag(dag) for _, dag in sorted(bag.dags.items())],
        "errors": {path: _last(trace) for path, trace in bag.import_errors.items()},
        "seconds": {
            str(Path(folder) / stat.file.lstrip("/")): stat.duration.total_seconds() for stat in bag.dagbag_stats
        },
    }


def _last(trace: str) -> str:
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def _dag(dag: Any) -> dict[str, Any]:
    return {
        "dag_id": dag.dag_id,
        "file": dag.fileloc,
        "tags": sorted(dag.tags),
        "doc": bool((dag.doc_md or "").strip()),
        "start_date": dag.start_date.isoformat() if dag.start_date else None,
        "scheduled": type(dag.timetable).__name__ not in ("NullTimetable", "AssetTriggeredTimetable"),
        "waits_for": sorted(_names(getattr(dag.timetable, "asset_condition", None))),
        "tasks": [
            {"task_id": task.task_id, "retries": int(task.retries or 0), "owner": task.owner, "outlets": _outlets(task)}
            for task in dag.tasks
        ],
    }


def _names(condition: Any) -> set[str]:
    """Names of the assets that a condition speaks of: one asset, or `&` and `|` of several."""
    if hasattr(condition, "objects"):
        return {name for one in condition.objects for name in _names(one)}
    return {str(condition.name)} if hasattr(condition, "name") else set()


def _outlets(task: Any) -> list[str]:
    return sorted(str(outlet.name) for outlet in task.outlets if hasattr(outlet, "name"))


if __name__ == "__main__":
    described = _describe(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(described), encoding="utf-8")
