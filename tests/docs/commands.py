"""Commands of documents: fenced `sh` blocks, and what stands between backticks in the text."""

import os
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_STEM = re.compile(r"^(?:\S*/)?(leadwise|make)(?:\s|$)")
_ENDS = {"|", "||", "&&", "&", ";", "<", ">", ">>"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        path: the document.
        line: at which its text begins, 1-based.
        text: as it stands.
    """

    path: Path
    line: int
    text: str

    @property
    def name(self) -> str:
        """Document and line, as ids of tests show it."""
        return f"{self.path.name}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Its commands, one a line, without comments; lines that go on are joined."""
        joined = self.text.replace("\\\n", " ")
        return [line for raw in joined.splitlines() if (line := _without_comment(raw))]


def blocks(path: Path, language: str = "sh") -> list[Block]:
    """The fenced blocks of a document in one language, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(path, text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in _FENCE.finditer(text)
        if found[1] == language
    ]


def inline(path: Path) -> list[str]:
    """Commands of `leadwise` and `make` between backticks, outside of fenced blocks, without repetitions."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return list(dict.fromkeys(one for one in _INLINE.findall(text) if _STEM.match(one)))


def invocations(command: str) -> list[list[str]]:
    """The words of each call of `leadwise` or `make` in a command, without its path."""
    found: list[list[str]] = []
    words = shlex.split(command.replace(";", " ; ").replace("…", ""), comments=True)
    at_start = True
    for word in words:
        stem = word.rpartition("/")[2]
        if at_start and stem in ("leadwise", "make"):
            found.append([stem])
            at_start = False
        elif word in _ENDS or word in ("do", "then"):
            at_start = True
            found.append([])
        else:
            at_start = at_start and "=" in word  # variables before a command
            if found and not at_start:
                found[-1].append(word)
    return [one for one in found if one and one[0] in ("leadwise", "make")]


def run(
    text: str, where: Path, environment: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a block as a person would paste it, and end what it left in the background.

    Args:
        text: the commands; the first that fails ends them.
        where: the folder to run them in.
        environment: variables beside those of this process.
        timeout: seconds.

    Returns:
        Exit code; output and errors together as `stdout`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as told:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=where,
            # What other tests of this process told MLflow stands in the environment, and is not the reader's.
            env={**{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=told,  # a file: a pipe would stay open as long as what runs in the background
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        finally:
            _end(process)
        told.seek(0)
        return subprocess.CompletedProcess(text, code, told.read())


def _end(process: subprocess.Popen[bytes]) -> None:
    """End every process of the block's session, with time to end its own; the shell itself may be gone already."""
    for number, seconds in ((signal.SIGTERM, 60.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        if _gone(process, seconds):
            return


def _gone(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until nobody of a process group is left."""
    group, deadline = process.pid, time.monotonic() + seconds
    while time.monotonic() < deadline:
        process.poll()  # else the shell stays in the group as a zombie
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def _without_comment(line: str) -> str:
    """A line without a comment at its end; quotes are respected."""
    quote = ""
    for number, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (number == 0 or line[number - 1] in " \t"):
            return line[:number].strip()
    return line.strip()
