"""The command `configs`: configurations that come with the library, and what algorithms can be told."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from workspace_rl.cli.arguments import Commands, add_command
from workspace_rl.cli.opening import named_algorithm
from workspace_rl.config.schema import describe_schema
from workspace_rl.config.sources import config_text, shipped_configs
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "configs",
        "list the configurations that come with the library, print one, or explain an algorithm's parameters",
        """
        Without NAME the configurations' names; with one of these, such as sac/pendulum, the file itself; with an
        algorithm's name, such as sac, every parameter, its default, its meaning and its choices.
        """,
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="for instance sac, my_module:MyAlgorithm, or sac/pendulum"
    )


def run(options: argparse.Namespace) -> int:
    """Print names of configurations, one of them, or an algorithm's parameters."""
    if options.name is None:
        say("\n".join(shipped_configs()))
    elif "/" in options.name or options.name.endswith(".yaml"):
        say(config_text(options.name).rstrip("\n"))
    else:
        sys.path.append(str(Path.cwd()))
        say(describe_schema(named_algorithm(options.name).config_class))
    return 0
