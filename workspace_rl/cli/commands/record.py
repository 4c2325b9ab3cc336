"""The command `record`: a film of a policy."""

from __future__ import annotations

import argparse

from workspace_rl.cli.arguments import Commands, add_command, add_policy_arguments
from workspace_rl.cli.opening import run_of
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands, run, "record", "film a run's policy", "Several episodes follow each other in one video."
    )
    add_policy_arguments(parser, episodes=1)
    parser.add_argument("--output", metavar="FILE", help="the mp4 file (default: in the policy's folder)")


def run(options: argparse.Namespace) -> int:
    """Film a policy, and print where the film is."""
    say(run_of(options).record(options.episodes, options.policy, options.output))
    return 0
