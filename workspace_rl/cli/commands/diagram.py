"""The command `diagram`: which agent reads and writes what, as `workspace_rl.inspection` draws it."""

from __future__ import annotations

import argparse

from workspace_rl import inspection
from workspace_rl.cli.arguments import Commands, add_command, add_config_arguments
from workspace_rl.cli.opening import algorithm_of
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "diagram",
        "show which agent reads and writes what, as text or as a picture",
        "Of the composition that a configuration trains: collecting, and one update.",
    )
    add_config_arguments(parser)
    parser.add_argument("--output", metavar="FILE", help="write an .svg or a .png file instead of text")


def run(options: argparse.Namespace) -> int:
    """Print the diagram, or where its picture is."""
    diagram = inspection.diagram(algorithm_of(options))
    say(diagram if options.output is None else diagram.save(options.output))
    return 0
