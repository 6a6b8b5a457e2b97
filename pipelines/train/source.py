"""Which code trained: the commit, and whether files differ from it."""

from __future__ import annotations

import shutil
import subprocess
from importlib.metadata import version

from pipelines.core.settings import ROOT

LIBRARIES = ("lightgbm", "xgboost", "scikit-learn", "numpy", "scipy", "venn-abers", "h5py", "keras", "jax")


def git_tags() -> dict[str, str]:
    """`git_commit` and `git_dirty` ("true" or "false"); "unknown" where there is no git or no repository."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    dirty = "unknown" if changes is None else str(bool(changes)).lower()
    return {"git_commit": commit or "unknown", "git_dirty": dirty}


def libraries() -> dict[str, str]:
    """Versions of the libraries that fit and predict."""
    return {name: version(name) for name in LIBRARIES}


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            [git, "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
