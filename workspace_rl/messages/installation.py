"""Where the library comes from, a clone of its repository or a wheel, and how more of it is installed.

A clone has the folders `agents`, `algos` and `configs` beside this package; installing maps them into it. Where Python
runs in the clone's folder, it imports this package from there, whatever is installed: then they are found there, too.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

PACKAGE = Path(__file__).parents[1]
#: Folders of a clone that are imported as parts of this package.
BESIDE = ("agents", "algos", "configs")


def is_clone(folder: Path) -> bool:
    """Return whether `folder` is a clone of the library's repository, and not just any folder with such names in it."""
    try:
        described = (folder / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False
    return '\nname = "workspace-rl"\n' in described and all((folder / one / "__init__.py").is_file() for one in BESIDE)


class _BesideThePackage(MetaPathFinder):
    """Finds the folders of the clone that the package was imported from."""

    def find_spec(
        self, fullname: str, path: Any = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package != PACKAGE.name or name not in BESIDE:
            return None
        folder = PACKAGE.parent / name
        return importlib.util.spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def find_folders_of_a_clone() -> None:
    """Let the folders beside this package be found, if it was imported from a clone."""
    installed = any((PACKAGE / one).exists() for one in BESIDE)
    if not installed and is_clone(PACKAGE.parent):
        # Before those of other installations, which would take them from another clone, or from nowhere.
        sys.meta_path.insert(0, _BesideThePackage())


def unused_clone() -> Path | None:
    """Return the clone in which the program runs if what it runs is another copy of the library, else None."""
    here = Path.cwd()
    clone = next((one for one in (here, *here.parents) if is_clone(one)), None)
    return None if clone is None or clone.resolve() == PACKAGE.parent.resolve() else clone


def clone_folder() -> Path | None:
    """Return the clone that the library was imported or installed from, None if there is none on this machine."""
    if is_clone(PACKAGE.parent):
        return PACKAGE.parent
    try:
        # PEP 610: where pip took the package from.
        origin = json.loads(importlib.metadata.distribution("workspace-rl").read_text("direct_url.json") or "{}")
        url = urlsplit(str(origin.get("url", "")))
    except (importlib.metadata.PackageNotFoundError, ValueError, AttributeError):
        return None
    folder = Path(url2pathname(url.path))
    return folder if url.scheme == "file" and is_clone(folder) else None


def how_to_install(extra: str) -> str:
    """Return the command that installs an extra, such as "plots".

    The package is in no index: it is installed from the clone, editable, so that changes to the clone are used.
    """
    folder = clone_folder()
    if folder is None:
        return f'pip install --editable ".[{extra}]", in the folder of a clone of the repository'
    return f'pip install --editable "{folder}[{extra}]"'
