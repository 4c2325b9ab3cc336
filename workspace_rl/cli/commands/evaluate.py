"""The command `evaluate`: a policy's score on fresh episodes."""

from __future__ import annotations

import argparse

from workspace_rl.cli.arguments import Commands, add_command, add_policy_arguments
from workspace_rl.cli.opening import run_of
from workspace_rl.messages.printing import say


def add_to(commands: Commands) -> None:
    """Add the command and its arguments."""
    parser = add_command(
        commands,
        run,
        "evaluate",
        "score a run's policy on fresh episodes",
        """
        The score is printed, and kept in the policy's eval.json if there is none yet. The episodes' seeds selected
        nothing. Unlike training, this imports nothing from the working directory that you do not allow, since the run
        may be somebody else's: for an environment of your own, set PYTHONPATH=. before it.
        """,
    )
    add_policy_arguments(parser, episodes=100)


def run(options: argparse.Namespace) -> int:
    """Print the score of a policy, and keep it beside the policy if there is none yet."""
    run = run_of(options)
    score = run.evaluate(options.episodes, options.policy)
    if "final" not in run.scores(options.policy):
        run.save_scores(options.policy, final=score.as_dict())
    say(f"{options.policy} policy of {run.path}: {score}")
    return 0
