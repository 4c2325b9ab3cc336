"""How commands are added to the parser, and the arguments that several of them take."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = argparse._SubParsersAction


def add_command(
    commands: Commands, run: Callable[[argparse.Namespace], int], name: str, help: str, text: str
) -> argparse.ArgumentParser:
    """Add a command to the parser.

    Args:
        commands: those of the parser.
        run: does what the command is for, and returns the exit status.
        name: what the command is called.
        help: one line, with which its own help begins, too.
        text: the rest of its own help.
    """
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=f"{help[0].upper()}{help[1:]}.\n\n{unindented(text)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=run)
    return parser


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a configuration, and what is changed of it."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file, or a name such as sac/pendulum")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="parameters to change")


def add_policy_arguments(parser: argparse.ArgumentParser, episodes: int) -> None:
    """Add a run, which of its policies, and so many episodes unless the user says otherwise."""
    parser.add_argument("run", metavar="RUN", help="the folder of a run")
    parser.add_argument(
        "--episodes", metavar="N", type=_positive, default=episodes, help=f"how many episodes (default: {episodes})"
    )
    parser.add_argument(
        "--policy",
        metavar="NAME",
        default="best",
        help="which policy of the run: best (the default), latest, or such as policies/50000",
    )
    add_allow_argument(parser)


def add_allow_argument(parser: argparse.ArgumentParser) -> None:
    """Add the classes of the user's own that a run may be made by."""
    parser.add_argument(
        "--allow",
        metavar="NAME",
        action="append",
        default=[],
        help="a class of yours that the run may be made by (my_module:MyAlgorithm), or a module; may be repeated",
    )


def unindented(text: str) -> str:
    """Return a text as it stands in the help."""
    return textwrap.dedent(text).strip()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a positive whole number expected, {text!r} found")
    return int(text)
