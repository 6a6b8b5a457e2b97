"""`dvc.yaml` in a clean clone, with the real DVC: experiments come and go, the registry and the lake stay."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from pipelines.core.settings import ROOT, Settings
from pipelines.core.tenant import Tenant
from pipelines.promotion.promote import promote
from pipelines.registry.runs import find, runs
from pipelines.registry.tracking import connect
from tests.pipelines.train.test_freeze import snapshots

pytestmark = pytest.mark.slow

EXP = "var/demo/exp/conversion"
DVC = str(Path(sys.executable).parent / "dvc")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


class Clone:
    """The tracked files (and those about to be) in a repository of their own, and the tools to work in it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = {**os.environ, **env, "DVC_SITE_CACHE_DIR": str(folder.parent / "site")}
        self.env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env["HOME"] = str(folder.parent)  # nobody's own settings of git and DVC
        for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0"):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)

    def commit(self) -> None:
        git(self.folder, "init", "-q")
        for name, value in (("user.name", "Somebody"), ("user.email", "somebody@example.org")):
            git(self.folder, "config", name, value)
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-qm", "All of it")

    def dvc(self, *arguments: str, expect: int = 0, **env: str) -> str:
        done = subprocess.run(
            [DVC, *arguments], cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def run(self, command: str) -> str:
        """A line of a document, as a shell takes it."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def shown(self) -> dict[str, dict[str, str]]:
        """`dvc exp show` by name of the experiment, or revision."""
        rows = list(csv.DictReader(io.StringIO(self.dvc("exp", "show", "--csv"))))
        return {row["Experiment"] or row["rev"]: row for row in rows}


@pytest.fixture(scope="module")
def tenant(demo: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """The small market with a registry of its own: a copy, in which the challenger was promoted."""
    folder = tmp_path_factory.mktemp("registry")
    shutil.copy(demo.settings.mlflow_dir / "mlflow.db", folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    made = Tenant(demo.name, demo.params, Settings(**{**demo.settings.model_dump(), "mlflow_uri": uri}))
    promote(made, made.whole_run)
    return made


@pytest.fixture(scope="module")
def clone(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    settings = tenant.settings
    folder = tmp_path_factory.mktemp("clone") / "leadwise"
    env = {"LEADWISE_VAR": str(settings.var), "LEADWISE_MLFLOW_URI": settings.tracking_uri}
    made = Clone(folder, {**env, "LEADWISE_PARAMS": str(folder / "params.yaml")})
    shutil.copy(settings.params, made.folder / "params.yaml")
    made.commit()
    return made


def registry(tenant: Tenant) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Aliases, and versions with the run of each."""
    client = connect(tenant)
    name = tenant.model_name("conversion")
    versions = [(str(one.version), str(one.run_id)) for one in client.search_model_versions(f"name = '{name}'")]
    return dict(client.get_registered_model(name).aliases), sorted(versions)


def test_before_anything_ran_one_sentence_says_so(clone: Clone, tmp_path: Path) -> None:
    told = clone.dvc("repro", expect=255, LEADWISE_VAR=str(tmp_path / "empty"))
    assert f"tenant 'demo' has no data in {tmp_path / 'empty' / 'demo' / 'lake'} yet: run `make demo` first" in told
    assert "Traceback" not in told
    assert not (tmp_path / "empty").exists()


def documented() -> list[list[str]]:
    """The commands of docs/experiments.md, block by block."""
    text = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [[line.partition("  #")[0].strip() for line in block.splitlines() if line] for block in blocks]


def test_what_the_document_says(clone: Clone, tenant: Tenant) -> None:
    """Its commands, one after the other; in the end neither the registry nor the lake has moved."""
    before = registry(tenant), snapshots(tenant)
    first, tries, looks, searches, again = documented()
    assert first.pop(0) == "source .venv/bin/activate"  # here the path is set otherwise
    for command in first:
        clone.run(command)
    frozen = (clone.folder / EXP / "training_set.parquet").read_bytes()
    figures = json.loads((clone.folder / EXP / "metrics.json").read_text(encoding="utf-8"))
    trained = find(tenant, "champion")
    assert figures["logloss"] == pytest.approx(trained.metrics["logloss"], abs=1e-6)  # the same fit as `train`

    cut_short(clone)
    git(clone.folder, "checkout", "params.yaml")
    told = [clone.run(command) for command in tries]
    assert "Stage 'freeze' didn't change, skipping" in told[0]
    assert git(clone.folder, "status", "--short") == ""  # queued ones ran in copies, and all they write is ignored
    assert (clone.folder / EXP / "training_set.parquet").read_bytes() == frozen
    _as_told(clone, tenant)

    shown = dict(zip(looks, [clone.run(command) for command in looks], strict=True))
    assert "shallow" in shown["leadwise experiments"]
    assert "rows of" in shown["leadwise compare champion shallow --plot var/difference.png"]
    assert (clone.folder / "var" / "difference.png").stat().st_size > 5000
    assert "Calibration" in (clone.folder / "var/dvc/plots/index.html").read_text(encoding="utf-8")
    listed = clone.run("leadwise experiments")
    for command in searches:  # of three trials, where a person would take more
        shorter = command.replace("--trials 40", "--trials 3").replace("--minutes 10", "--minutes 0.02")
        assert "tune · demo" in clone.run(shorter.replace("tune --write", "tune --trials 3 --write"))
    assert clone.run("leadwise experiments") == listed
    for command in again[:1]:
        assert "Running stage 'freeze'" in clone.run(command)
    assert (registry(tenant), snapshots(tenant)) == before


def _as_told(clone: Clone, tenant: Tenant) -> None:
    """DVC and MLflow tell the same of each experiment, and name each other."""
    shown, known = clone.shown(), {run.name: run for run in runs(tenant)}
    assert "cut" not in known
    assert shown["more-leaves"]["train.lightgbm.num_leaves"] == "31"
    assert shown["shallow"]["train.lightgbm.num_leaves"] == "4"
    for name in ("more-leaves", "shallow", "strict"):
        run = known[name]
        assert shown[name]["mlflow_run"] == run.short
        assert float(shown[name]["logloss"]) == pytest.approx(run.metrics["logloss"], abs=1e-6)
        assert (run.origin, run.version, run.aliases) == ("dvc", None, ())
        tags = connect(tenant).get_run(run.run_id).data.tags
        assert tags["dvc_baseline"] == git(clone.folder, "rev-parse", "HEAD").strip()
    assert known["strict"].params["linear.C"] == "0.01"


def cut_short(clone: Clone) -> None:
    """Ctrl-C in the middle of a fit."""
    log = clone.folder.parent / "cut.log"
    with log.open("w") as output:
        run = subprocess.Popen(
            [DVC, "exp", "run", "-n", "cut", "-S", "train.lightgbm.num_leaves=5"],
            cwd=clone.folder,
            env=clone.env,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while "Running stage 'fit'" not in log.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(60) != 0


def test_only_what_matters_is_a_parameter(clone: Clone) -> None:
    stages = yaml.safe_load((clone.folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert {name for stage in stages.values() for name in stage["params"]} == {
        "train", "train.targets", "tenants.${tenant}", "tenants.${tenant}.use_case", "tenants.${tenant}.run",
    }  # fmt: skip
    outs = [str(out) for stage in stages.values() for out in (*stage["outs"], *stage.get("metrics", []))]
    assert all(out.startswith("var/${tenant}/exp/${target}/") for out in outs)  # DVC deletes them before it runs
