"""Whatever a file holds: the doctor ends with findings, never with a traceback, and every rule can look."""

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.main import app
from tests.pipelines.doctor.conftest import World

FILES = (
    "params.yaml",
    "expectations/shop/visits.yaml",
    "feature_repo/shop/mapping.sql",
    "feature_repo/shop/features_guest.sql",
    "feature_repo/shop/labels/spender.sql",
)
ODD = ("", "[", "{", ": ", "- ", "'", "\t", "null", "3", "true", "!!python/object:os.system", "&a *a", "é", "$", "(")
RUBBISH = (b"", b"\x00\x01\x02", b"\xff\xfe\xfa", b"a: &x [*x]\n", b"? [a, b]\n: c\n", b"- 1\n")


def spoilt(text: str, dice: random.Random) -> str:
    """`text` with one accident: a line lost, doubled, moved or cut, or something odd in its middle."""
    lines = text.splitlines()
    at = dice.randrange(len(lines))
    kind = dice.randrange(6)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        lines[at] = "    " + lines[at]
    elif kind == 3:
        lines = [*lines[:at], lines[at][: dice.randrange(len(lines[at]) + 1)]]
    elif kind == 4 and ":" in lines[at]:
        lines[at] = lines[at].partition(":")[0] + ": " + dice.choice(ODD)
    else:
        place = dice.randrange(len(lines[at]) + 1)
        lines[at] = lines[at][:place] + dice.choice(ODD) + lines[at][place:]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("file", FILES)
def test_an_accident_in_a_file_is_no_accident_of_the_doctor(world: World, file: str) -> None:
    whole = (world.home / file).read_text(encoding="utf-8")
    dice = random.Random(file)
    seen = set()
    for _ in range(25):
        text = spoilt(whole, dice)
        world.write(file, text)
        for finding in world.look():
            assert "could not look" not in finding.what, f"{finding}\n{text}"
            assert finding.mend
            seen.add(finding.rule)
    assert seen  # accidents were found


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x01\x02", b"\xff\xfe\xfa", b"a: &x [*x]\n", b"? [a, b]\n: c\n", b"- 1\n"]
)
@pytest.mark.parametrize("file", FILES[:3])
def test_files_of_rubbish(world: World, file: str, content: bytes) -> None:
    path = Path(world.home / file)
    path.write_bytes(content)
    only = [word for group in ("contracts", "sql", "params", "settings") for word in ("--only", group)]
    result = CliRunner().invoke(app, ["doctor", *only])
    assert result.exit_code in (0, 1)
    assert "could not look" not in result.output
    assert "Traceback" not in result.output
