"""What made a run: versions of packages, and the commit of the code."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

#: Whose versions are kept, where they are installed.
PACKAGES = (
    "workspace-rl",
    "torch",
    "numpy",
    "gymnasium",
    "bbrl-gymnasium",
    "mujoco",
    "Box2D",
    "pybullet",
    "pybullet-envs-gymnasium",
    "panda-gym",
    "ale-py",
)


def provenance() -> dict[str, Any]:
    """Return `versions` (by package), `platform`, and `commits` of the library's and the working directory's code.

    A commit ends in "-dirty" where files had changes; it is left out where there is no repository. Nothing is measured
    in time, and nothing names the machine or its user.
    """
    commits = {"workspace-rl": library_commit(), "working directory": _described(Path.cwd())}
    return {
        "versions": {"python": platform.python_version(), **installed_versions()},
        "platform": f"{platform.system()} {platform.machine()}",
        "commits": {name: commit for name, commit in commits.items() if commit},
    }


def installed_versions() -> dict[str, str]:
    """Return the versions of `PACKAGES`, as far as they are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def library_commit() -> str | None:
    """Return the commit of the library's code: of its checkout, or the one that pip installed; None if unknown."""
    file = Path(__file__).resolve()
    # Installed into a folder inside somebody's repository, the library is no part of it.
    if _git(file.parent, "ls-files", "--error-unmatch", file.name):
        return _described(file.parent)
    try:
        # PEP 610: where pip took the package from.
        origin = json.loads(distribution("workspace-rl").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return None
    commit = origin.get("vcs_info", {}).get("commit_id")
    return str(commit)[:10] if commit else None


def _described(folder: Path) -> str | None:
    return _git(folder, "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*")


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git says, or None where it is not installed, or the folder is in no repository."""
    # Without fsmonitor, since a repository's own settings could name a program for it.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
