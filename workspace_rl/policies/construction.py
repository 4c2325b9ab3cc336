"""What agents were built with, as plain data, and agents built from that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig, ListConfig, OmegaConf

from workspace_rl.agent import Agent
from workspace_rl.basics.classes import class_path, find_allowed, find_class, is_called, is_within, stood_in_a_program
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import ConfigError, PolicyFileError


def describe_agent(agent: Agent) -> dict[str, Any]:
    """Return the agent's class and the arguments it was built with, as plain data.

    Raises:
        PolicyFileError: an argument is of a kind that cannot be written down.
    """
    where = agent.description()
    recorded = agent.__dict__["_constructor_arguments"]
    if recorded is None:
        raise PolicyFileError(
            f"{where} cannot be saved: it was unpickled, and a pickle does not tell what an agent was built with. "
            "Build it anew, and give the new one its weights: new.load_state_dict(old.state_dict())."
        )
    args, kwargs = recorded
    described: dict[str, Any] = {"class": class_path(type(agent))}
    if args:
        described["args"] = [_describe(value, where, f"argument {k + 1}") for k, value in enumerate(args)]
    if kwargs:
        described["kwargs"] = {key: _describe(value, where, f"argument {key!r}") for key, value in kwargs.items()}
    if agent.name != type(agent).__name__:
        described["name"] = agent.name
    if agent.prefix:
        described["prefix"] = agent.prefix
    return described


def _describe(value: Any, agent: str, where: str) -> Any:
    if isinstance(value, DictConfig | ListConfig):
        value = OmegaConf.to_container(value, resolve=True)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Agent):
        return {"agent": describe_agent(value)}
    if isinstance(value, type):
        return {"class": class_path(value)}
    if isinstance(value, list | tuple):
        return [_describe(one, agent, where) for one in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _describe(one, agent, where) for key, one in value.items()}}
    raise PolicyFileError(
        f"{agent} cannot be saved: {where} of its constructor is {type(value).__name__}. Numbers, texts, lists, "
        "dictionaries of texts, classes and agents can be written down; build other objects inside the constructor."
    )


def build_agent(described: Any, allow: list[str | type]) -> Agent:
    """Build the agent that `describe_agent` has described; `allow` is that of `load_policy`.

    Raises:
        PolicyFileError: it names a class that is not allowed, or cannot be built.
    """
    try:
        found = _find(described["class"], allow)
        if not issubclass(found, Agent):
            raise PolicyFileError(f"{described['class']} is no agent.")
        if issubclass(found, GymAgent) and not _allowed(found, allow):
            raise PolicyFileError(
                f"{described['class']} holds environments, which may import and start anything. If you trust the "
                f"policy, allow it by name: allow=[{described['class']!r}], on the command line --allow "
                f"{described['class']}."
            )
        args = [_rebuild(value, allow) for value in described.get("args", [])]
        kwargs = {str(key): _rebuild(value, allow) for key, value in described.get("kwargs", {}).items()}
        agent = found(*args, **kwargs)
        if "name" in described:
            agent.name = str(described["name"])
        if "prefix" in described:
            agent.with_prefix(str(described["prefix"]))
    except PolicyFileError:
        raise
    except Exception as error:  # whatever a constructor makes of arguments from a damaged file
        raise PolicyFileError(
            f"the policy's architecture cannot be rebuilt: {type(error).__name__}: {error}"
        ) from error
    return agent


def _rebuild(value: Any, allow: list[str | type]) -> Any:
    if isinstance(value, list):
        return [_rebuild(one, allow) for one in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "agent":
            return build_agent(content, allow)
        if kind == "class":
            return _find(content, allow)
        if kind == "dict":
            return {key: _rebuild(one, allow) for key, one in content.items()}
        raise PolicyFileError(f"{kind!r} is nothing that a policy's architecture can hold.")
    return value


def _allowed(found: type, allow: Sequence[str | type]) -> bool:
    """Return whether the user allowed this class, be it one of the library's own."""
    return any(
        one is found or (isinstance(one, str) and (is_called(found, one) or is_within(found, one))) for one in allow
    )


def _find(classname: Any, allow: list[str | type]) -> type:
    name = str(classname)
    given = [one for one in allow if isinstance(one, type)]
    try:
        found = find_allowed(name, given) or (find_allowed(name, allow) if stood_in_a_program(name) else None)
        return found or find_class(name, [one for one in allow if isinstance(one, str)])
    except ConfigError as error:
        raise PolicyFileError(f"{error}{_leave(name, allow)}") from error


def _leave(name: str, allow: Sequence[str | type]) -> str:
    """Return how a class may be named, if that is what it lacks."""
    module, _, own = name.rpartition(".")
    if stood_in_a_program(name):
        return (
            f" {own!r} stood in a notebook or a program, where nothing can import it. Load the policy there with "
            f"allow=[{own}], or put the class into a module of its own, say my_module.py, and allow that: "
            f"allow=['my_module:{own}'], on the command line --allow my_module:{own}."
        )
    if any(f"{name}.".startswith(f"{str(one).replace(':', '.')}.") for one in allow):
        return ""
    return (
        f" If you trust it, allow it by name: allow=['{module}:{own}'], on the command line --allow {module}:{own}. "
        "Importing runs the module: a program keeps what it trains under if __name__ == '__main__'."
    )
