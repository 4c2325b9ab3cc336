"""The command `report`: all of a run in one HTML page, as `workspace_rl.report` writes it."""

from __future__ import annotations

import argparse

from workspace_rl.cli.arguments import Commands, add_command
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "report",
        "tell all of a run in one HTML page",
        """
        Summary, film, learning curves, scores with intervals, configuration, versions and commit, in one file that
        needs no network. Nothing of the run is executed: it may be somebody else's.
        """,
    )
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument("--output", metavar="FILE", help="the HTML file (default: report.html in the run's folder)")


def run(options: argparse.Namespace) -> int:
    """Write the page, and print where it is."""
    from workspace_rl.report import write_report

    say(write_report(options.run, options.output))
    return 0
