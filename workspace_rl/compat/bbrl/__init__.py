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


#: What BBRL once recorded.
trace_workspace, trace, trace_maximum_size = False, [], 10000  # type: ignore[var-annotated]


def get_class(arguments: Any) -> Any:
    """Return the class or function that `classname` ("package.module.Name") names; the program is trusted.

    It is a key of a mapping, or an attribute of anything else.
    """
    found = arguments["classname"] if isinstance(arguments, Mapping) else arguments.classname
    module, _, name = found.rpartition(".")
    if not module:
        raise ValueError(f"classname: 'package.module.Name' expected, {name!r} found.")
    return getattr(import_module(module), name)


def get_arguments(arguments: Any) -> dict[str, Any]:
    """Return all but `classname` of a mapping, or of pairs."""
    return {name: value for name, value in dict(arguments).items() if name != "classname"}


def instantiate_class(arguments: Any) -> Any:
    """Call what `classname` names with the other arguments."""
    arguments = dict(arguments)
    return get_class(arguments)(**get_arguments(arguments))


def load_ipython_extension(ipython: Any) -> None:
    """Do `install()` when a notebook says `%load_ext workspace_rl.compat.bbrl`."""
    install()
