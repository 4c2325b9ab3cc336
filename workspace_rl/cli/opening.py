"""What the user names is opened: algorithms, runs, and for them what lies in the working directory."""

from __future__ import annotations

import argparse
import contextlib
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workspace_rl.algorithm import names
from workspace_rl.basics.old_names import present_name
from workspace_rl.config.sources import read_config
from workspace_rl.errors import ConfigError
from workspace_rl.messages.installation import PACKAGE, unused_clone
from workspace_rl.runs.run import Run
from workspace_rl.training.algorithm import Algorithm


def algorithm_of(options: argparse.Namespace) -> Algorithm[Any]:
    """Return the algorithm that a configuration of the command line describes."""
    # So that an environment of one's own is found in the working directory. Only here, and after everything else: a run
    # that is scored or filmed may be somebody else's, and so may be the folder it lies in.
    sys.path.append(str(Path.cwd()))
    clone = unused_clone()
    if clone is not None:
        warnings.warn(
            f"this is the library of {PACKAGE}, not of the clone {clone}: what is changed there has no effect. To use "
            f'the clone: pip install --editable "{clone}"',
            stacklevel=2,
        )
    config = read_config(options.config, options.overrides)
    named: Any = named_algorithm(config.get("algo"))
    algorithm: Algorithm[Any] = named(config)
    return algorithm


def named_algorithm(name: Any) -> names.AlgorithmClass:
    """Return the algorithm that the user has named, who trusts it by that."""
    return names.find_algorithm(name, [name] if isinstance(name, str) else [])


def run_of(options: argparse.Namespace) -> Run:
    """Open a run; what is allowed, and nothing else, is looked for in the working directory as well."""
    with _modules_of_the_working_directory():
        return Run(options.run, [_imported(name) for name in options.allow])


def _imported(name: str) -> str | type:
    """Import what the user allows by name: a class, or a module whose classes are all allowed."""
    try:
        found = pkgutil.resolve_name(present_name(name))
    except Exception as error:  # a module may raise anything when it is imported
        raise ConfigError(
            f"--allow {name}: it cannot be imported ({type(error).__name__}: {error}). my_module:MyClass, or a module, "
            "expected, that is installed or lies in the working directory or where PYTHONPATH says."
        ) from error
    return found if isinstance(found, type) else name


@contextlib.contextmanager
def _modules_of_the_working_directory() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
