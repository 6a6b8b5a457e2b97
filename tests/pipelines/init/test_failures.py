"""What can't become a use case is told in one sentence, and leaves nothing behind."""

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.core.errors import ConfigError, LeadwiseError, SourceError
from pipelines.core.settings import Settings
from pipelines.quality.sources import LINEAGE
from tests.pipelines.init.conftest import Start, contacts, write

GOOD = "member_id,seen_on,bought\n" + "".join(
    f"{n},2026-01-{n % 28 + 1:02d},{'yes' if n % 3 else 'no'}\n" for n in range(200)
)


def untouched(project: Settings, before: bytes) -> bool:
    """No file of the project was written or left half-way."""
    rooms = [*project.expectations.iterdir(), *project.feature_repo.iterdir()]
    return not rooms and project.params.read_bytes() == before and not list(project.params.parent.glob(".params*"))


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "header only": (b"member_id,seen_on,bought\n", "has a header and no rows"),
    "header without newline": (b"member_id,seen_on,bought", "has a header and no rows"),
    "one column": (b"member_id\n1\n2\n", "has one column"),
    "other delimiter": (b"member_id~seen_on~bought\n1~2026-01-01~yes\n", "has one column"),
    "latin-1": (GOOD.replace("yes", "sí").encode("latin-1"), "iconv -f WINDOWS-1252"),
    "utf-16": (GOOD.encode("utf-16"), "is UTF-16"),
    "utf-16 without mark": (GOOD.encode("utf-16-le"), "is UTF-16"),
    "junk": (bytes(range(256)) * 200, "is binary"),
    "zero bytes": (GOOD.encode() + b"1,\0,yes\n", "zero bytes"),
    "cut off": (GOOD.encode() + "1,2026-01-01,sí".encode()[:-1], "cut off"),
    "two headers": (GOOD.replace("seen_on", "Member_ID").encode(), "header 'Member_ID' twice"),
    "own names": (GOOD.replace("seen_on", "_seen_on").encode(), "begins with _"),
    **{
        f"lineage name {name}": (GOOD.replace("seen_on", name.upper()).encode(), "rename it")
        for name in LINEAGE.values()
    },
    "no header": (b"\n1,2,3\n", "no header"),
    "no time": (GOOD.replace("2026-01", "abc").encode(), "no usable time column"),
    "one day": (b"member_id,seen_on,bought\n1,2026-01-01,yes\n2,2026-01-01,no\n", "no usable time column"),
    "one class": (GOOD.replace("no\n", "yes\n").encode(), "one class"),
    "broken row": ((GOOD * 1 + '1,2026-01-02,"yes\n').encode(), "can't be read as csv"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_told_in_one_sentence(kind: str, project: Settings, start: Start, tmp_path: Path) -> None:
    before = project.params.read_bytes()
    content, words = BROKEN[kind]
    file = tmp_path / "members.csv"
    file.write_bytes(content)
    wanted = {"label": "bought"} if kind == "one class" else {}

    with pytest.raises(SourceError) as caught:
        start("club", file, **wanted)

    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert untouched(project, before)


def test_converted_as_the_sentence_says_it_is_read(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(GOOD.replace("yes", "sí").encode("latin-1"))
    with pytest.raises(SourceError) as caught:
        start("club", file)
    command = str(caught.value).split("`")[1]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)

    made = start("club", tmp_path / command.split()[-1])

    assert made.tables == {"utf8_members": 200}


@pytest.mark.parametrize("name", ["Club", "1club", "club-x", "../club", "", "a" * 40, "mlflow"])
def test_bad_names_are_refused(name: str, project: Settings, start: Start, tmp_path: Path) -> None:
    before = project.params.read_bytes()
    with pytest.raises(ConfigError, match="name"):
        start(name, write(tmp_path / "contacts.csv", contacts(60)))
    assert untouched(project, before)


def test_an_existing_case_or_tenant_needs_force(project: Settings, start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "contacts.csv", contacts(60))
    start("club", file)
    contract = project.expectations / "club" / "contacts.yaml"
    text = contract.read_text(encoding="utf-8")
    contract.write_text("mended", encoding="utf-8")

    with pytest.raises(ConfigError, match=r"exists already.*--force"):
        start("club", file)
    assert contract.read_text(encoding="utf-8") == "mended"
    with pytest.raises(ConfigError, match="tenant 'demo' exists already"):
        start("demo", file)

    start("club", file, force=True)
    assert contract.read_text(encoding="utf-8") == text


def test_wrong_columns_are_told_with_the_nearest(start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "contacts.csv", contacts(60))
    for wanted in ({"entity": "client_di"}, {"time": "contacted"}, {"label": "boughtt"}):
        with pytest.raises(ConfigError, match="did you mean"):
            start("club", file, **wanted)
    with pytest.raises(ConfigError, match="channel=VALUE"):
        start("club", file, label="channel")
    with pytest.raises(SourceError, match="holds no times"):
        start("club", file, time="age")


def test_what_fails_while_writing_leaves_everything_as_it_was(project: Settings, start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "contacts.csv", contacts(60))
    start("club", file)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    project.params.with_name(f".{project.params.name}.new").mkdir()  # the draft can't be written there

    with pytest.raises((OSError, LeadwiseError)):
        start("club", file, force=True, label="channel=web")

    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_parameters_behind_a_link_keep_the_link_and_their_mode(project: Settings, start: Start, tmp_path: Path) -> None:
    real = tmp_path / "kept" / "real.yaml"
    real.parent.mkdir()
    project.params.rename(real)
    real.chmod(0o640)
    project.params.symlink_to(real)

    start("club", write(tmp_path / "contacts.csv", contacts(60)))

    assert project.params.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert "  club:" in real.read_text(encoding="utf-8")
    assert [path.name for path in real.parent.iterdir()] == ["real.yaml"]


def test_two_at_once_both_get_their_tenant(project: Settings, start: Start, tmp_path: Path) -> None:
    file = write(tmp_path / "contacts.csv", contacts(60))
    held = FileLock(project.var / "init.lock")
    with ThreadPoolExecutor(1) as pool:
        with held:
            late = pool.submit(start, "club", file)
            with pytest.raises(TimeoutError):
                late.result(timeout=4)
            text = project.params.read_text(encoding="utf-8")
            project.params.write_text(text + "# from the one before\n", encoding="utf-8")
        late.result(timeout=60)
    told = project.params.read_text(encoding="utf-8")
    assert "  club:" in told
    assert "# from the one before" in told


def test_the_command_prints_the_sentence_and_fails(project: Settings, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["init", "club", "--from", str(tmp_path / "none.csv")])
    assert found.exit_code == 1
    assert "is not there" in found.output
    assert "Traceback" not in found.output


def test_memory_is_flat(project: Settings, tmp_path: Path) -> None:
    peaks = [_peak(tmp_path / f"rows_{size}.csv", size) for size in (20_000, 1_200_000)]
    assert peaks[1] < peaks[0] + 400, f"{peaks} MB"


def _peak(file: Path, rows: int) -> int:
    """Peak memory of an `init` of its own process, in MB."""
    with file.open("w", encoding="utf-8") as handle:
        handle.write("visit_id,client_id,at,amount,note,bought\n")
        for n in range(rows):
            handle.write(
                f"V{n},{n % 5000},2026-{n % 3 + 1:02d}-{n % 28 + 1:02d},{n % 977}.5,text {n * 7919},{n % 3 // 2}\n"
            )
    code = (
        "import resource, sys; from pathlib import Path; from pipelines.core.settings import get_settings;"
        "from pipelines.init import Request, Wanted, init;"
        "init(Request(sys.argv[2], [Path(sys.argv[1])], None, Wanted('client_id', 'at', 'bought')), get_settings());"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file), file.stem], capture_output=True, text=True, check=True
    )
    return int(done.stdout)
