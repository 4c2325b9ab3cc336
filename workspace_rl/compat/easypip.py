"""`easypip`: installs what a notebook asks for, unless it is there already."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from packaging.requirements import Requirement

from workspace_rl.messages.notebook import running_shell

#: What this library stands in for.
PROVIDED = ("bbrl", "bbrl-utils", "easypip")


def has_requirement(requirement: Requirement) -> bool:
    """Return whether a requirement is met."""
    if requirement.name.lower().replace("_", "-") in PROVIDED:
        return True
    try:
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def easyinstall(spec: str, ask: bool = False) -> None:
    """Install the requirements in `spec`, one on each line, that are not met; `ask` first if so wished."""
    for line in spec.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        requirement = Requirement(line.strip())
        if has_requirement(requirement) or (ask and input(f"Install {requirement}? [y/n] ").lower() != "y"):
            continue
        print(f"[easypip] Installing {requirement}")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", str(requirement)], check=True)
        importlib.invalidate_caches()


def easyimport(spec: str, ask: bool = False) -> ModuleType:
    """Install the one requirement in `spec` unless it is met, and import it."""
    easyinstall(spec, ask)
    return importlib.import_module(Requirement(spec).name)


def is_notebook() -> bool:
    """Return whether the program runs under IPython."""
    return running_shell() is not None
