"""The command `check`: mistakes in what a configuration composes, as `workspace_rl.inspection` finds them."""

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
        "check",
        "look for mistakes in what a configuration composes, without running it",
        "Nothing is computed, and no environment is stepped. The status is 1 if there are problems.",
    )
    add_config_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Print the mistakes that were found; 1 if there are any."""
    problems = inspection.check(algorithm_of(options))
    say(problems)
    return 1 if problems else 0
