"""Runs that algorithms of the user's own have made: what is trusted with them, and how one goes on with them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from workspace_rl.algorithm.names import AlgorithmClass, algorithm_name
from workspace_rl.basics.classes import class_name, is_trusted, stood_in_a_program
from workspace_rl.envs.gym_agent import GymAgent


def vouched_for(algorithm: AlgorithmClass) -> list[type]:
    """Return the agents and layers that the module of a user's own algorithm knows, except environments.

    Whoever trusts the algorithm trusts what it is made of. Environments import what their arguments name.
    """
    own = ":" in algorithm_name(algorithm)
    known = vars(sys.modules[algorithm.__module__]).values() if own and algorithm.__module__ in sys.modules else ()
    classes = [one for one in known if isinstance(one, type)]
    return [one for one in classes if issubclass(one, nn.Module) and not issubclass(one, GymAgent)]


def ways_on(path: Path, name: str, algorithm: AlgorithmClass, which: str, made_of: Sequence[type]) -> list[str]:
    """Return what goes on with a run, scores it and films it, whoever made it.

    Args:
        path: the run's folder.
        name: what the run records of its class.
        algorithm: the class.
        which: the policy to score, "best" or "latest".
        made_of: the classes that the policy is built from.
    """
    folder = str(path)
    if stood_in_a_program(name):  # nobody else knows the class
        opened = f"Run({folder!r})"
        return [
            f"{algorithm.__name__}.restore({folder!r}).train()",
            f"{opened}.evaluate(100, {which!r})",
            f"{opened}.record(1, {which!r})",
        ]
    others = [one for one in made_of if not is_trusted(one) and one not in vouched_for(algorithm)]
    own = [*([name] if ":" in name else []), *dict.fromkeys(map(class_name, others))]
    policy = "" if which == "best" else f" --policy {which}"
    end = "".join(f" --allow {one}" for one in own)
    folder = shlex.quote(folder)
    resume = f"workspace-rl resume {folder}" + (f" --allow {name}" if ":" in name else "")
    return [resume, f"workspace-rl evaluate {folder}{policy}{end}", f"workspace-rl record {folder}{policy}{end}"]
