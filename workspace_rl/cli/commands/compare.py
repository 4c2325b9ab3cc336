"""The command `compare`: whether two groups of runs differ in their final scores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from workspace_rl.cli.arguments import Commands, add_command
from workspace_rl.errors import ConfigError
from workspace_rl.messages.printing import say

#: What divides two groups of runs, as the parser sees it.
VERSUS = "\0versus"


def marked(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the command line with what divides the groups put so that argparse keeps it."""
    compares = list(arguments[:1]) == ["compare"]
    return [VERSUS if compares and one == "--" else one for one in arguments]


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "compare",
        "say whether two groups of runs differ in their final scores",
        """
        Each group holds the runs of one configuration with several seeds; -- stands between the groups:
          workspace-rl compare outputs/wide-S* -- outputs/narrow-S*
        Every run's final score, whether they differ by Welch's t-test, its p-value, and the effect size.
        """,
    )
    parser.usage = "workspace-rl compare [-h] [--test NAME] [--alpha P] RUN... -- RUN..."
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folders of runs, of two groups with -- between them")
    parser.add_argument(
        "--test",
        metavar="NAME",
        default="welch",
        help="t, welch (default), ranked t, mann-whitney, bootstrap, permutation",
    )
    parser.add_argument("--alpha", metavar="P", type=float, default=0.05, help="the level of the test (default: 0.05)")


def run(options: argparse.Namespace) -> int:
    """Print whether the final scores of two groups of runs differ."""
    from workspace_rl.comparison import compare_runs  # scipy is slow, and optional

    if options.runs.count(VERSUS) != 1:
        raise ConfigError("compare: two groups of runs expected, with one -- between them: RUN... -- RUN...")
    at = options.runs.index(VERSUS)
    say(compare_runs(options.runs[:at], options.runs[at + 1 :], test=options.test, alpha=options.alpha))
    return 0
