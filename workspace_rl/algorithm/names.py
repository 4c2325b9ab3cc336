"""Algorithms by their names: the library's, "sac", and those of the user's own, "my_module:MyAlgorithm"."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl.algorithm.definition import AlgorithmDefinition
from workspace_rl.basics.classes import class_name, find_allowed, import_class, is_called, stood_in_a_program
from workspace_rl.config import RunConfig
from workspace_rl.config.schema import resolve_config
from workspace_rl.errors import ConfigError, did_you_mean

AlgorithmClass = type[AlgorithmDefinition[Any]]

#: The library's algorithms by their names in configurations; imported when they are asked for, like a user's own.
LIBRARY = {
    "a2c": "workspace_rl.algos.a2c:A2C",
    "crossq": "workspace_rl.algos.crossq:CrossQ",
    "ddpg": "workspace_rl.algos.ddpg:DDPG",
    "dqn": "workspace_rl.algos.dqn:DQN",
    "ppo": "workspace_rl.algos.ppo:PPO",
    "reinforce": "workspace_rl.algos.reinforce:REINFORCE",
    "sac": "workspace_rl.algos.sac:SAC",
    "sac_discrete": "workspace_rl.algos.sac_discrete:SACDiscrete",
    "td3": "workspace_rl.algos.td3:TD3",
    "tqc": "workspace_rl.algos.tqc:TQC",
}


@functools.cache
def all_algorithms() -> dict[str, AlgorithmClass]:
    """Return the library's algorithms by their names in configurations."""
    return {name: import_class(full_name) for name, full_name in LIBRARY.items()}


def algorithm_name(algorithm: AlgorithmClass) -> str:
    """Return what the runs of an algorithm record: "sac" for the library's own, "module:Class" for others."""
    return next((name for name, one in all_algorithms().items() if one is algorithm), class_name(algorithm))


def find_algorithm(name: object, allow: Sequence[str | type] = ()) -> AlgorithmClass:
    """Return the algorithm called `name`.

    One of the library's ("sac") needs no leave. One of the user's own ("my_module:MyAlgorithm") must be known to the
    running program already, or be allowed; nothing is imported because a configuration names it.

    Args:
        name: what `algo` says in a configuration.
        allow: classes, their names, or the names of their modules.

    Raises:
        ConfigError: there is no such algorithm, or it is not allowed.
    """
    known = all_algorithms()
    if isinstance(name, str) and name in known:
        return known[name]
    if not isinstance(name, str) or ":" not in name:
        hint = did_you_mean(name, known) if isinstance(name, str) else ""
        if isinstance(name, str) and "." in name:
            module, _, classname = name.rpartition(".")
            hint = f" Did you mean '{module}:{classname}'?"
        raise ConfigError(
            f"algo: one of {', '.join(known)}, or 'module:Class' for one of your own, expected, {name!r} found.{hint}"
        )
    # What the program has itself is taken before another copy is imported.
    given = [one for one in allow if isinstance(one, type)]
    found = find_allowed(name, given) or _known_to_the_program(name)
    if found is None and not (stood_in_a_program(name) and name in allow):
        found = find_allowed(name, allow)
    if found is None:
        raise ConfigError(_not_allowed(name))
    if not issubclass(found, AlgorithmDefinition):
        raise ConfigError(
            f"algo: {name} is no algorithm (a subclass of workspace_rl.training.Algorithm or OffPolicyAlgorithm)."
        )
    return found


def resolve_run_config(algorithm: AlgorithmClass, given: Mapping[str, Any] | DictConfig) -> RunConfig:
    """Check and complete a configuration for `algorithm`; its `algo` then is what the algorithm's runs record.

    Raises:
        ConfigError: it is not valid, or that of another algorithm.
    """
    name = algorithm_name(algorithm)
    if isinstance(given, DictConfig) and OmegaConf.is_interpolation(given, "algo"):
        raise ConfigError("algo: the name of an algorithm expected, an interpolation found.")
    asked = given.get("algo") if isinstance(given, Mapping | DictConfig) else None
    default, limited = _own_label(algorithm)
    if asked is not None and not _may_be_called(algorithm, asked, default):
        raise ConfigError(f"algo: {asked!r} found, but the class is {described(name)}.{_way_out(asked)}")
    # What stands for it in paths: no colon, and the same length for all of its seeds.
    label = default if name in all_algorithms() or limited else algorithm.__name__
    config = resolve_config(algorithm.config_class, given, {"algo": label})
    config.algo = asked if isinstance(asked, str) and stood_in_a_program(asked) else name
    return config


def check_made_by(recorded: object, algorithm: AlgorithmClass, run: object) -> None:
    """Compare the class that a run records with the one that is to go on with it.

    Raises:
        ConfigError: it is another one.
    """
    name = algorithm_name(algorithm)
    if recorded == name or (isinstance(recorded, str) and ":" in name and is_called(algorithm, recorded)):
        return
    raise ConfigError(
        f"{run} was made by {described(recorded)}; {described(name)} is another class and would go on otherwise. "
        "Restore it by the class that made it, or train anew into another base_dir."
    )


def described(name: object) -> str:
    """Return the name of an algorithm for messages: "sac (workspace_rl.algos.sac:SAC)"."""
    library = all_algorithms()
    return f"{name} ({class_name(library[name])})" if isinstance(name, str) and name in library else str(name)


def _may_be_called(algorithm: AlgorithmClass, asked: object, default: str) -> bool:
    """Return whether a configuration that says `asked` may be given to an algorithm."""
    if asked in ("", default, algorithm_name(algorithm)):
        return True
    if not isinstance(asked, str) or algorithm in all_algorithms().values():
        return False
    if asked in all_algorithms():  # the parameters of what it derives from
        return all_algorithms()[asked] in algorithm.__mro__
    # By the name under which another module imports it.
    return is_called(algorithm, asked) or _attribute(asked) is algorithm


def _own_label(algorithm: AlgorithmClass) -> tuple[str, bool]:
    """Return what an algorithm's schema calls it, and whether that is a name of its own."""
    default = algorithm.config_class.__dataclass_fields__["algo"]
    name = str(default.default)
    return name, bool(default.metadata.get("choices")) or name not in ("", *all_algorithms())


def _way_out(asked: object) -> str:
    if isinstance(asked, str) and asked in all_algorithms():
        return f" Use {all_algorithms()[asked].__name__}, or leave algo out."
    return " Use that class, or leave algo out."


def _not_allowed(name: str) -> str:
    if stood_in_a_program(name):
        own = name.replace(":", ".").rpartition(".")[2]
        return (
            f"algo: the class of {name!r} stood in a notebook or a program, where nothing can import it. Open the run "
            f"there, or put the class into a module of its own, say my_module.py, and allow that: "
            f"--allow my_module:{own}, in Python allow=['my_module:{own}'] (for workspace-rl train: "
            f"algo=my_module:{own})."
        )
    return (
        f"algo: {name!r} is none of the library's own classes, and nothing is imported because a run names it. If you "
        f"trust it, allow it: --allow {name}, in Python allow=[{name!r}], or import it before. Importing runs the "
        "module: a program keeps what it trains under if __name__ == '__main__'."
    )


def _known_to_the_program(name: str) -> type | None:
    """Return the algorithm called `name` that the running program has defined or imported, the latest of several."""
    found = [one for one in _subclasses(AlgorithmDefinition) if class_name(one) == name]
    current = _attribute(name)
    return next((one for one in found if one is current), found[-1] if found else None)


def _attribute(name: str) -> object:
    """Return what a loaded module holds under "module:Class", None if there is no such; nothing is imported."""
    module, _, path = name.partition(":")
    found: object = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, "__dict__", {}).get(part)  # not getattr, by which modules may import
    return found


def _subclasses(base: type) -> Iterator[type]:
    one: type
    for one in base.__subclasses__():
        yield one
        yield from _subclasses(one)
