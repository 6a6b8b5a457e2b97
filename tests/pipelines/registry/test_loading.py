"""Models of MLflow are loaded one way, which runs nothing that came with them."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersion

from models.inputs import InputError
from pipelines.core.errors import NotReady, UnsafeModel
from pipelines.core.settings import ROOT
from pipelines.core.tenant import Tenant
from pipelines.registry import loading
from pipelines.registry.frames import columns, frame
from pipelines.registry.loading import digest, load
from pipelines.registry.tracking import HOLDOUT, connect, run_table
from pipelines.train.compare import compare
from tests.pipelines.registry.conftest import FEATURES, Recorder, training_set
from tests.pipelines.registry.hostile import ATTACKS, MODEL, bomb, code_folder, file, foreign_loader, pickled_model

WHAT = "version 1 of demo.conversion"


@dataclass
class Good:
    """A registered model, and where its files are."""

    tenant: Tenant
    version: ModelVersion
    folder: Path

    @property
    def uris(self) -> tuple[str, str]:
        return f"models:/{self.version.name}/{self.version.version}", f"runs:/{self.version.run_id}/model"

    def load(self, wanted: str | None = None) -> loading.LoadedModel:
        return load(self.tenant, self.uris[0], WHAT, wanted)


def folder_of(tenant: Tenant, version: ModelVersion) -> Path:
    uri = connect(tenant).get_model_version_download_uri(version.name, version.version)
    return Path(urlsplit(uri).path)


@pytest.fixture
def good(tenant: Tenant, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Good:
    version = recorder(only="linear")
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return Good(tenant, version, folder_of(tenant, version))


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is made where foreign code runs; its parent is on the Python path."""
    (tmp_path / "outside").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "outside")
    return tmp_path / "outside" / "canary"


def test_a_good_model_predicts_what_it_did_and_leaves_nothing_behind(good: Good, tmp_path: Path) -> None:
    loaded = good.load()
    held = run_table(good.tenant.settings.tracking_uri, str(good.version.run_id), HOLDOUT)
    assert held is not None
    expected = held["p_linear"].to_numpy()
    np.testing.assert_array_equal(loaded.estimator.expected(columns(held, FEATURES)), expected)
    np.testing.assert_array_equal(loaded.model.predict(frame(held, FEATURES)), expected)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_the_digest_is_the_same_by_every_way(good: Good, tmp_path: Path) -> None:
    by_name, by_run = (load(good.tenant, uri, WHAT).digest for uri in good.uris)
    fetched = [Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / uri[:4]))) for uri in good.uris]
    added = [(folder / "registered_model_meta").read_text() for folder in fetched]
    assert added[0] != added[1]
    assert {by_name, by_run, good.load(by_name).digest, digest(good.folder)} == {digest(one) for one in fetched}


def test_a_store_elsewhere_is_fetched_by_mlflow(good: Good, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = good.load().digest
    monkeypatch.setattr(loading, "_local", lambda *_: None)
    assert good.load(wanted).digest == wanted
    file("run.py", b"")(good.folder, good.folder)
    with pytest.raises(UnsafeModel, match=r"'run\.py' is no file"):
        good.load()


@pytest.mark.parametrize("name", ATTACKS)
def test_nothing_hostile_is_loaded(
    good: Good, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    attack, says = ATTACKS[name]
    attack(good.folder, canary)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    for uri in good.uris:
        with pytest.raises(UnsafeModel, match=f"^{WHAT} is not loaded: .*{says}.*; train it again, or roll back"):
            load(good.tenant, uri, WHAT)
    assert not canary.exists()
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("attack", [pickled_model, foreign_loader, code_folder])
def test_mlflow_alone_would_have_run_it(good: Good, canary: Path, attack) -> None:
    attack(good.folder, canary)
    uri = good.tenant.settings.tracking_uri
    lines = f"mlflow.set_tracking_uri({uri!r}); mlflow.pyfunc.load_model({good.uris[0]!r})"
    paths = os.pathsep.join(map(str, (canary.parent, ROOT)))
    environment = {**os.environ, "PYTHONPATH": paths, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}
    subprocess.run([sys.executable, "-c", f"import mlflow; {lines}"], env=environment, capture_output=True, cwd="/")
    assert canary.is_dir()


def test_the_pickle_of_these_tests_is_alive(canary: Path) -> None:
    import pickle

    pickle.loads(bomb(canary))
    assert canary.is_dir()


def test_pickles_stay_forbidden_whatever_the_environment_says(good: Good, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    during = []
    plain = mlflow.pyfunc.load_model

    def watched(folder: str, **options: bool) -> mlflow.pyfunc.PyFuncModel:
        during.append(os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"])
        during.append(oct(stat.S_IMODE(Path(folder).parent.stat().st_mode)))
        return plain(folder, **options)

    monkeypatch.setattr(mlflow.pyfunc, "load_model", watched)
    good.load()
    assert during == ["false", "0o700"]


def test_files_that_change_after_the_check_are_not_read(
    good: Good, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = loading.check

    def checked(folder: Path, what: str) -> None:
        plain(folder, what)
        foreign_loader(good.folder, canary)
        shutil.rmtree(good.folder / MODEL)

    monkeypatch.setattr(loading, "check", checked)
    assert good.load().estimator.kind == "linear"
    assert not canary.exists()


def test_another_valid_model_in_its_place_is_told_by_the_digest(good: Good, recorder: Recorder) -> None:
    wanted = good.load().digest
    other = folder_of(good.tenant, recorder(training_set(seed=7), only="linear"))
    shutil.copytree(other, good.folder, dirs_exist_ok=True)
    with pytest.raises(UnsafeModel, match=f"^{WHAT} has other files than those it was promoted with"):
        good.load(wanted)
    assert good.load().digest == digest(other)


@pytest.mark.parametrize(
    "source",
    ["file:///etc", "/etc", "../..", "file:{home}/../x", "{home}", "file:{home}/models%2F..%2F..%2Fx",
     "{home}/../demo2/m", "file://host{home}/m", "file:{home}/m?x", "runs:/1/model", "models:/demo.conversion/1/../..",
     "s3://b/a/../../c", "mlflow-artifacts:/a/%2e%2e/b", "http://[", "{home}/loop"],
)  # fmt: skip
@pytest.mark.local
def test_a_version_whose_files_are_said_to_lie_elsewhere(good: Good, source: str) -> None:
    import sqlite3

    home = good.tenant.settings.mlflow_dir / "artifacts" / "demo"
    (home / "loop").symlink_to(home / "loop")
    with sqlite3.connect(good.tenant.settings.mlflow_db) as database:
        database.execute("UPDATE model_versions SET storage_location = ?", [source.format(home=home)])
    with pytest.raises(UnsafeModel, match=f"^{WHAT} is not loaded: its files are said to lie at '"):
        good.load()


def test_a_version_registered_by_hand(good: Good, tmp_path: Path) -> None:
    client = connect(good.tenant)
    shutil.copytree(good.folder, tmp_path / "mine")
    outside = client.create_model_version(good.version.name, source=(tmp_path / "mine").as_uri())
    with pytest.raises(UnsafeModel, match="and not below"):
        load(good.tenant, f"models:/{outside.name}/{outside.version}", "version 2")
    logged = client.create_model_version(good.version.name, source=f"models:/{good.folder.parent.name}")
    assert load(good.tenant, f"models:/{logged.name}/{logged.version}", "version 3").digest == good.load().digest


def test_a_model_folder_that_is_a_link_out_of_the_store(good: Good, tmp_path: Path) -> None:
    shutil.move(good.folder, tmp_path / "mine")
    good.folder.symlink_to(tmp_path / "mine")
    with pytest.raises(UnsafeModel, match="and not below"):
        good.load()


@pytest.mark.parametrize("lost", [".", "MLmodel", "data"])
def test_a_model_that_is_gone_is_a_sentence(good: Good, lost: str) -> None:
    path = good.folder / lost
    path.unlink() if path.is_file() else shutil.rmtree(path)
    for uri in (*good.uris, "models:/demo.conversion/9", "models:/none/1", "runs:/0/model", good.uris[1] + "s"):
        with pytest.raises(NotReady, match=f"^the files of {WHAT} are gone from MLflow: train it again"):
            load(good.tenant, uri, WHAT)


def test_a_comparison_says_which_run_lost_its_model(good: Good, recorder: Recorder) -> None:
    recorder(training_set(seed=7), only="linear")
    shutil.rmtree(good.folder)
    with pytest.raises(NotReady, match="lost its model: train it again, or compare another one"):
        compare(good.tenant, "v1", "v2")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("estimator.json", b'{"kind": "forest"}', "incomplete or of another kind"),
        ("estimator.json", b"{", r"damaged \(JSONDecodeError\)"),
        ("inputs.json", b"[1]", r"damaged \(TypeError\)"),
        ("linear.json", b"{}", "incomplete"),
    ],
)
def test_files_of_no_estimator_are_an_input_error(good: Good, name: str, content: bytes, says: str) -> None:
    file(f"{MODEL}/{name}", content)(good.folder, good.folder)
    with pytest.raises(InputError, match=says):
        good.load()


NAMES = st.lists(st.sampled_from(["a", "b", "a:1", "é"]), min_size=1, max_size=3).map("/".join)
LAYOUTS = st.dictionaries(NAMES, st.binary(max_size=3), max_size=3)


@given(first=LAYOUTS, second=LAYOUTS)
@settings(deadline=None)
def test_equal_digests_are_equal_files(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    found = []
    for layout in (first, second):
        with tempfile.TemporaryDirectory() as folder:
            written = {}
            for name, content in layout.items():
                path = Path(folder) / name
                if not any(one.is_file() for one in path.parents) and not path.is_dir():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                    written[name] = content
            found.append((digest(Path(folder)), written))
    assert (found[0][0] == found[1][0]) == (found[0][1] == found[1][1])


def test_any_change_of_files_changes_the_digest(good: Good) -> None:
    seen = [digest(good.folder)]
    linear = good.folder / MODEL / "linear.json"
    for change in (
        lambda: linear.write_bytes(linear.read_bytes() + b" "),
        lambda: (good.folder / "x").touch(),
        lambda: (good.folder / "x").rename(good.folder / "y"),
        lambda: (good.folder / "conda.yaml").unlink(),
    ):
        change()
        seen.append(digest(good.folder))
    assert len(set(seen)) == 5


def test_nobody_else_loads_a_model() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("dags", "pipelines", "serving", "models")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bload_model\(|_load_pyfunc\(|\bpickle\b.*\bload", path.read_text(encoding="utf-8"))
    }
    assert found == {"pipelines/registry/loading.py", "pipelines/registry/loader.py"}
