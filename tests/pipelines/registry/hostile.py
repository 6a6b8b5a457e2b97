"""Ways in which a model's files in MLflow become hostile; each that can would make the folder `canary` when it runs."""

import os
import pickle
import pickletools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

Attack = Callable[[Path, Path], None]
"""Given the folder of a model, and the canary."""


class Bomb:
    """Something that makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def bomb(canary: Path, protocol: int = 4) -> bytes:
    return pickletools.optimize(pickle.dumps(Bomb(canary), protocol=protocol))


def code(canary: Path) -> str:
    return f"import os\nos.path.isdir({str(canary)!r}) or os.mkdir({str(canary)!r})\n"


def say(folder: Path, flavor: dict[str, Any] | None = None, **top: Any) -> None:
    """Change what MLmodel says; None takes a key away."""
    path = folder / "MLmodel"
    told = yaml.safe_load(path.read_text())
    told["flavors"]["python_function"].update(flavor or {})
    told.update(top)
    path.write_text(yaml.safe_dump(told))


def pickled_model(folder: Path, canary: Path) -> None:
    """A PythonModel of MLflow's own flavour."""
    (folder / "python_model.pkl").write_bytes(bomb(canary))
    told = {"loader_module": "mlflow.pyfunc.model", "python_model": "python_model.pkl", "cloudpickle_version": "3.1.1"}
    del_data(folder)
    say(folder, told)


def del_data(folder: Path) -> None:
    path = folder / "MLmodel"
    told = yaml.safe_load(path.read_text())
    del told["flavors"]["python_function"]["data"]
    path.write_text(yaml.safe_dump(told))


def sklearn_model(folder: Path, canary: Path) -> None:
    (folder / "model.pkl").write_bytes(bomb(canary))
    told = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "data": "model.pkl"}
    sklearn = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle", "sklearn_version": "1.9.0"}
    path = folder / "MLmodel"
    say(folder, told)
    whole = yaml.safe_load(path.read_text())
    whole["flavors"]["sklearn"] = sklearn
    path.write_text(yaml.safe_dump(whole))


def foreign_loader(folder: Path, canary: Path) -> None:
    """A module that lies on the Python path already, in the folder of the canary."""
    (canary.parent / "foreign_loader.py").write_text(code(canary))
    say(folder, {"loader_module": "foreign_loader"})


def code_folder(folder: Path, canary: Path) -> None:
    """A module that takes the place of ours, since MLflow puts `code` first on the path."""
    (folder / "code").mkdir()
    (folder / "code" / "pipelines.py").write_text(code(canary))
    say(folder, {"code": "code"})


def unannounced_code(folder: Path, canary: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "sitecustomize.py").write_text(code(canary))


def python_tag(folder: Path, canary: Path) -> None:
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text + f"x: !!python/object/apply:os.mkdir ['{canary}']\n")


def hidden_line(folder: Path, canary: Path) -> None:
    """Two bytes that are one letter in UTF-8 and in Latin-1 a letter and the end of a line, and of a comment."""
    (canary.parent / "foreign_loader.py").write_text(code(canary))
    with (folder / "MLmodel").open("ab") as file:
        file.write(b"# \xc4\x85flavors: {python_function: {loader_module: foreign_loader}}\n")


def link(name: str, to: str) -> Attack:
    def attack(folder: Path, _: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(to)

    return attack


def linked_folder(folder: Path, canary: Path) -> None:
    shutil.move(folder / "data" / "model", canary.parent / "elsewhere")
    (folder / "data" / "model").symlink_to(canary.parent / "elsewhere")


def pipe(folder: Path, _: Path) -> None:
    os.mkfifo(folder / "data" / "model" / "ranks.json")


def said(flavor: dict[str, Any] | None = None, **top: Any) -> Attack:
    return lambda folder, _: say(folder, flavor, **top)


def climbing_data(folder: Path, canary: Path) -> None:
    """Files of a model that lie beside it."""
    shutil.move(folder / "data" / "model", folder.parent / "x")
    say(folder, {"data": "../x"})


def file(name: str, content: bytes) -> Attack:
    def attack(folder: Path, _: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return attack


def bomb_named(name: str, protocol: int = 4) -> Attack:
    return lambda folder, canary: file(name, bomb(canary, protocol))(folder, canary)


def large(folder: Path, _: Path) -> None:
    with (folder / "MLmodel").open("a") as description:
        description.write("#" * 1_000_000)


def nested(folder: Path, _: Path) -> None:
    (folder / "MLmodel").write_text("[" * 100_000)


def weights(spoil: Callable[[Any, Path], None]) -> Attack:
    """A weights file of Keras that refers to more than it holds."""

    def attack(folder: Path, canary: Path) -> None:
        import h5py

        with h5py.File(folder / "data" / "model" / "network.weights.h5", "w") as stored:
            spoil(stored.create_group("layers/dense/vars"), canary)

    return attack


def external_link(group: Any, _: Path) -> None:
    import h5py

    group["0"] = h5py.ExternalLink("/tmp/other.h5", "/secret")


def external_storage(group: Any, _: Path) -> None:
    group.create_dataset("0", (16,), "u1", external=[("/etc/passwd", 0, 16)])


def virtual(group: Any, canary: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(str(canary.parent / "other.h5"), "secret", shape=(4,))
    group.create_virtual_dataset("0", layout)


def filtered(group: Any, _: Path) -> None:
    group.create_dataset("0", data=[0.0] * 1000, compression="gzip")


def huge(group: Any, _: Path) -> None:
    group.create_dataset("0", (10**6, 10**6), "f4")


MODEL = "data/model"
OTHER = "is no file that Leadwise writes"
FORMAT = "is not of the format that its name says"
NUMBERS = "refers to more than the numbers it holds"
LINK = "is a link or no ordinary file"
PLAIN = "its MLmodel is no plain YAML"

ATTACKS: dict[str, tuple[Attack, str]] = {
    "pickled PythonModel": (pickled_model, "it is loaded by 'mlflow.pyfunc.model', not by"),
    "scikit-learn's flavour": (sklearn_model, "has other flavors than python_function"),
    "foreign loader": (foreign_loader, "it is loaded by 'foreign_loader', not by pipelines.registry.loader"),
    "code folder": (code_folder, "its MLmodel brings 'code' along"),
    "code that MLmodel does not name": (unannounced_code, f"'code/sitecustomize.py' {OTHER}"),
    "another method": (said({"predict_fn": "get_raw_model"}), "its MLmodel brings 'predict_fn' along"),
    "configuration": (said({"config": {"a": 1}}), "its MLmodel brings 'config' along"),
    "code path": (said({"model_code_path": "x.py"}), "its MLmodel brings 'model_code_path' along"),
    "attribute of MLflow's object": (said(load_input_example="x"), "its MLmodel says 'load_input_example'"),
    "Python in YAML": (python_tag, PLAIN),
    "line that one locale hides": (hidden_line, PLAIN),
    "YAML without end": (nested, PLAIN),
    "YAML that is no mapping": (file("MLmodel", b"a"), PLAIN),
    "large MLmodel": (large, "bytes, more than 1,000,000"),
    "data that climb out": (climbing_data, r"its data are said to lie at '\.\./x', which is no folder within it"),
    "data from the root": (said({"data": "/etc"}), "its data are said to lie at '/etc'"),
    "data from a double root": (said({"data": "//etc"}), "its data are said to lie at '//etc'"),
    "data everywhere": (said({"data": "."}), r"its data are said to lie at '\.'"),
    "data in a list": (said({"data": ["data"]}), "its data are said to lie at"),
    "environment elsewhere": (said({"env": {"conda": "../conda.yaml"}}), r"refers to '\.\./conda\.yaml'"),
    "example elsewhere": (said(saved_input_example_info={"artifact_path": "/etc/passwd"}), "refers to '/etc/passwd'"),
    "artifact path that climbs out": (said(artifact_path="file:///a/../../b"), r"refers to 'file:///a/\.\./\.\./b'"),
    "link to a file": (link(f"{MODEL}/linear.json", "/etc/passwd"), f"'{MODEL}/linear.json' {LINK}"),
    "link for MLmodel": (link("MLmodel", "/etc/passwd"), f"'MLmodel' {LINK}"),
    "link to a folder": (linked_folder, f"'{MODEL}' {LINK}"),
    "pipe": (pipe, f"'{MODEL}/ranks.json' {LINK}"),
    "pickle under an allowed name": (bomb_named(f"{MODEL}/lightgbm.txt"), f"'{MODEL}/lightgbm.txt' {FORMAT}"),
    "pickle of protocol 2": (bomb_named(f"{MODEL}/linear.json", 2), f"'{MODEL}/linear.json' {FORMAT}"),
    "pickle of protocol 0": (bomb_named(f"{MODEL}/xgboost.ubj", 0), f"'{MODEL}/xgboost.ubj' {FORMAT}"),
    "pickle beside the model": (bomb_named("conda.yaml"), f"'conda.yaml' {FORMAT}"),
    "pickle under its own name": (bomb_named(f"{MODEL}/model.pkl"), f"'{MODEL}/model.pkl' {OTHER}"),
    "archive": (file(f"{MODEL}/network.weights.h5", b"PK\x03\x04" + b"x" * 40), FORMAT),
    "program": (file("requirements.txt", b"\x7fELF\x02\x01\x01\x00"), f"'requirements.txt' {FORMAT}"),
    "numpy's objects": (file(f"{MODEL}/ranks.npy", b"\x93NUMPY\x01\x00"), OTHER),
    "shell script": (file("run.sh", b"#!/bin/sh"), f"'run.sh' {OTHER}"),
    "library": (file(f"{MODEL}/inner/x.so", b"\x7fELF"), OTHER),
    "weights of another file": (weights(external_link), NUMBERS),
    "weights stored elsewhere": (weights(external_storage), NUMBERS),
    "weights put together": (weights(virtual), NUMBERS),
    "weights behind a filter": (weights(filtered), NUMBERS),
    "weights without end": (weights(huge), NUMBERS),
    "weights that are damaged": (file(f"{MODEL}/network.weights.h5", b"\x89HDF\r\n\x1a\n" + b"x" * 40), NUMBERS),
}
