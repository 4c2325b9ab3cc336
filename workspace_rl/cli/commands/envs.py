"""The command `envs`: environments that are known to work."""

from __future__ import annotations

import argparse

from workspace_rl.cli.arguments import Commands, add_command
from workspace_rl.cli.catalogue import list_environments
from workspace_rl.messages.printing import say
from workspace_rl.messages.text_table import aligned


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    add_command(
        commands,
        run,
        "envs",
        "list environments that are known to work",
        """
        With their spaces, the extra that each needs, and the algorithms that can learn it. Other gymnasium
        environments work as well, your own among them ("your_module:YourEnv-v0").
        """,
    )


def run(options: argparse.Namespace) -> int:
    """Print a table of environments."""
    rows = [("environment", "observation", "action", "extra", "algorithms")]
    rows += [
        (entry.name, entry.observation or "(not installed)", entry.action or "", entry.extra, entry.algorithms or "")
        for entry in list_environments()
    ]
    say("\n".join(aligned(rows)))
    return 0
