"""BBRL's names: after `install()`, programs written for BBRL run on this library unchanged.

    import workspace_rl.compat.bbrl as _; _.install()      # the first line of a program
    %load_ext workspace_rl.compat.bbrl                     # the first cell of a notebook
    python -m workspace_rl.compat.bbrl program.py          # nothing changed at all

From then on `import bbrl`, `bbrl_utils` and `easypip` mean the modules in this folder and beside it, in configurations
too. `docs/from-bbrl.md` lists what is the same, bit for bit, and what is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from workspace_rl.compat.aliases import install as install
from workspace_rl.compat.bbrl.agents.agent import Agent as Agent
from workspace_rl.compat.bbrl.agents.agent import SerializableAgent as SerializableAgent
from workspace_rl.compat.bbrl.agents.agent import TimeAgent as TimeAgent
from workspace_rl.compat.bbrl.agents.seeding import SeedableAgent as SeedableAgent

__version__ = "1.0.1"


def get_class(arguments: Mapping[str, Any]) -> Any:
    """Return the class or function that `classname` ("package.module.Name") names; the program is trusted."""
    module, _, name = arguments["classname"].rpartition(".")
    if not module:
        raise ValueError(f"classname: 'package.module.Name' expected, {name!r} found.")
    return getattr(import_module(module), name)


def get_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return all but `classname`."""
    return {str(name): value for name, value in arguments.items() if name != "classname"}


def instantiate_class(arguments: Mapping[str, Any]) -> Any:
    """Call what `classname` names with the other arguments."""
    return get_class(arguments)(**get_arguments(arguments))


def load_ipython_extension(ipython: Any) -> None:
    """Do `install()` when a notebook says `%load_ext workspace_rl.compat.bbrl`."""
    install()
