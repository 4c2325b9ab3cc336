"""The program `workspace-rl`: its parser, and what becomes of errors."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

import workspace_rl
from workspace_rl.cli.arguments import unindented
from workspace_rl.cli.commands import check, compare, configs, diagram, envs, evaluate, plot, record, report, train
from workspace_rl.errors import WorkspaceRLError
from workspace_rl.ranks import ranks_of_this_program

#: As they follow each other in the help.
COMMANDS = (train, evaluate, record, plot, compare, report, configs, check, diagram, envs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0, 1 for a user's error, 2 for wrong usage, 130 for ctrl-C."""
    parser = build_parser()
    options, rest = parser.parse_known_args(compare.marked(sys.argv[1:] if arguments is None else arguments))
    if rest:  # argparse takes `key=value` behind another option for something unknown
        if not hasattr(options, "overrides") or any(one.startswith("-") or "=" not in one for one in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options.overrides += rest
    rank = ranks_of_this_program().rank
    program = f"workspace-rl, rank {rank}" if rank else "workspace-rl"
    if rank:  # the first one says the same
        warnings.simplefilter("ignore")
    warnings.formatwarning = lambda message, *_, **__: f"workspace-rl: {message}\n"
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads it, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WorkspaceRLError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 130
    return status


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="workspace-rl",
        description="Train, score and film reinforcement learning policies.",
        epilog=unindented(
            """
            A first run, two minutes long:
              workspace-rl train sac/cartpole_continuous
              tensorboard --logdir outputs
              workspace-rl record outputs/CartPoleContinuous-v1/<the run> --episodes 3
            """
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"workspace-rl {workspace_rl.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
