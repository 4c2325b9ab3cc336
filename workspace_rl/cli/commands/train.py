"""The commands `train` and `resume`: a run from its beginning, or on from its last checkpoint."""

from __future__ import annotations

import argparse
from typing import Any

from workspace_rl.cli.arguments import Commands, add_allow_argument, add_command, add_config_arguments
from workspace_rl.cli.opening import algorithm_of, run_of


def add_to(commands: Commands) -> None:
    """Add the commands and their arguments."""
    _add_train(commands)
    _add_resume(commands)


def _add_train(commands: Commands) -> None:
    parser = add_command(
        commands,
        _train,
        "train",
        "train as a configuration says, score and film the best policy",
        """
        CONFIG is a YAML file, or one that comes with the library ("workspace-rl configs" lists them). Single parameters
        are changed behind it:
          workspace-rl train sac/pendulum algorithm.seed=2 base_dir=outputs/second
        An algorithm of your own is named by its module and class:
          workspace-rl train mine.yaml algo=my_module:MyAlgorithm
        Several processes learn together, each with a share of the batch, when torchrun starts them:
          torchrun --standalone --nproc-per-node 2 -m workspace_rl train sac/pendulum
        Ctrl-C ends the run early and keeps the policies, the measurements and the scores.
        """,
    )
    add_config_arguments(parser)


def _add_resume(commands: Commands) -> None:
    parser = add_command(
        commands,
        _resume,
        "resume",
        "go on with a run that was stopped, from its last checkpoint",
        """
        It ends exactly as if it had never been stopped. A run that is complete becomes longer, with new episodes from
        where it ended, by
          workspace-rl resume RUN algorithm.total_steps=200000
        Like evaluate and record, this imports nothing from the working directory, unless you allow it.
        """,
    )
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    add_allow_argument(parser)
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="parameters that do not change its course")


def _train(options: argparse.Namespace) -> int:
    result = algorithm_of(options).train()
    return 130 if result.interrupted else 0


def _resume(options: argparse.Namespace) -> int:
    algorithm: Any = run_of(options).algorithm
    result = algorithm.restore(options.run, options.overrides).train()
    return 130 if result.interrupted else 0
