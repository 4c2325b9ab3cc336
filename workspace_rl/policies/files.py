"""Policies on disk: weights as safetensors, the agents' construction as YAML. Nothing is unpickled."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from workspace_rl.agent import Agent
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.classes import (
    allowed_list,
    class_path,
    find_allowed,
    find_class,
    is_called,
    is_within,
    stood_in_a_program,
)
from workspace_rl.basics.seeding import RandomState
from workspace_rl.config.plain_yaml import MAX_CHARACTERS, check_yaml
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import ConfigError, PolicyFileError
from workspace_rl.learning.module_state import misfits, put_buffers, require_created, state_by_name
from workspace_rl.machine.files import absolute, is_inside, whole_file, write_text
from workspace_rl.policies.spaces import PolicySpaces, spaces_of

WEIGHTS, ARCHITECTURE = "policy.safetensors", "policy.yaml"


@checked(error=PolicyFileError)
def save_policy(policy: Agent, folder: str | Path, env_or_spaces: Any = None) -> None:
    """Write `policy.safetensors` and `policy.yaml` into `folder`, which is created if need be.

    The YAML names the agents' classes and the arguments they were built with, and the spaces that the policy was made
    for: those of `env_or_spaces` (see `policy_function`), or else those that it was trained or loaded with. Both files
    carry a checksum of everything, so that neither can be damaged, changed or exchanged unnoticed. Whenever the writing
    is interrupted, what the folder holds is the old policy or the new one, if both are built alike.

    Raises:
        PolicyFileError: see `check_savable`.
        RunFolderError: the files cannot be written.
    """
    folder = absolute(folder)
    described = describe_agent(policy)
    known = policy.policy_spaces
    spaces = known if env_or_spaces is None else spaces_of(env_or_spaces, known)
    plain = None if spaces is None else spaces.describe()
    # Copies, since an agent that stands twice in a composition would share its tensors, which the format cannot.
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in _tensors(policy).items()}
    checksum = _checksum(described, weights, plain)
    older = None
    with contextlib.suppress(Exception):  # there are no older weights, or they are damaged
        _, older = _read_weights(folder)
    if older is not None:  # the YAML knows both for as long as either may be there
        write_text(folder / ARCHITECTURE, _to_yaml(described, plain, [checksum, older]))
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"checksum": checksum})
    write_text(folder / ARCHITECTURE, _to_yaml(described, plain, [checksum]))


def check_savable(policy: Agent) -> None:
    """Tell now whether `save_policy` will be able to write a policy.

    Raises:
        PolicyFileError: an agent was built with an argument that cannot be written down, or has state besides tensors.
        CompositionError: it has parameters that are created at its first call only.
    """
    describe_agent(policy)
    _tensors(policy)


def _tensors(policy: Agent) -> dict[str, Tensor]:
    state = state_by_name(policy)
    require_created(policy, policy.description())
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise PolicyFileError(
                f"{policy.description()}: {name!r}, of get_extra_state, is a {type(value).__name__}. A policy is saved "
                "as tensors: keep it in a buffer (register_buffer), or return a tensor."
            )
    return dict(state)


def _to_yaml(described: dict[str, Any], spaces: dict[str, Any] | None, checksums: list[str]) -> str:
    known = {} if spaces is None else {"spaces": spaces}
    text = yaml.safe_dump({"agent": described, **known, "checksums": checksums}, sort_keys=False)
    if len(text) > MAX_CHARACTERS:
        raise PolicyFileError(
            f"the policy's description would have {len(text):,} characters; at most {MAX_CHARACTERS:,} are read back. "
            "Keep large tables in buffers (register_buffer) rather than in arguments of constructors."
        )
    return text


@checked(error=PolicyFileError, unless=("allow",))
def load_policy(folder: str | Path, allow: Sequence[str | type] = ()) -> Agent:
    """Rebuild the policy that `save_policy` wrote; it acts the same, bit for bit.

    Args:
        folder: a folder with `policy.safetensors` and `policy.yaml`, or a run, whose best policy is taken.
        allow: classes of your own that the policy may be built from, their full names ("my_module:MyActor"), or the
            names of their modules; the library's own and those of torch.nn need no leave, environments excepted, which
            may import and start anything.

    Raises:
        PolicyFileError: `folder` is no path or holds no policy, the files are damaged, changed or do not fit together,
            or a class is named that is not allowed.
        ConfigError: `allow` holds something else than classes and names.
    """
    folder, allow = policy_folder(folder), allowed_list(allow)
    try:
        architecture = yaml.safe_load(check_yaml(_part(folder, ARCHITECTURE).read_text(encoding="utf-8")))
        weights, checksum = _read_weights(folder)
        described, checksums = architecture["agent"], list(architecture.get("checksums", ()))
        spaces = architecture.get("spaces")
        expected_checksum = _checksum(described, weights, spaces)
    except PolicyFileError:
        raise
    except Exception as error:  # whatever the readers make of damaged files
        raise PolicyFileError(f"the policy in {folder} cannot be read: {type(error).__name__}: {error}") from error
    # The weights decide; building must not draw from the caller's random numbers.
    with RandomState(0), _bounded_construction(weights):
        agent = _build(described, list(allow))
    differing = misfits(agent, weights)
    if differing:
        listed = "; ".join(f"{name}: {e} described, {f} stored" for name, (e, f) in differing.items())
        raise PolicyFileError(f"the weights in {folder} do not fit the architecture: {listed}.")
    if checksum != expected_checksum or checksum not in checksums:
        raise PolicyFileError(
            f"the policy in {folder} is damaged or was changed: the checksum of {WEIGHTS} and {ARCHITECTURE} is wrong. "
            "Use an older copy of both."
        )
    try:
        put_buffers(agent, weights)
        agent.load_state_dict(_tied(agent, weights), assign=True)
    except Exception as error:  # for instance whole numbers where gradients are needed
        raise PolicyFileError(f"the weights in {folder} cannot be taken: {error}") from error
    if spaces is not None:
        agent.policy_spaces = PolicySpaces.rebuild(spaces)
    return agent.eval()


def _tied(agent: Agent, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of the agent's `state_dict`, one parameter where its modules share one."""
    state, shared = agent.state_dict(keep_vars=True), dict[Tensor, Tensor]()
    tied = {name: weights[name] for name in state}
    for name, value in state.items():
        if isinstance(value, nn.Parameter):
            first = shared.setdefault(value, nn.Parameter(tied[name], requires_grad=value.requires_grad))
            if torch.equal(first, tied[name]):
                tied[name] = first
    return tied


def policy_folder(path: str | Path) -> Path:
    """Return `path` if it holds a policy, else its `best` or `latest` subfolder.

    Raises:
        PolicyFileError: none of them holds a policy, it lies outside of `path`, or `path` is a pickle.
    """
    path = absolute(path)
    if path.is_file():
        raise PolicyFileError(
            f"{str(path)!r} is a file, as torch.save and BBRL write it: a pickle, which may run anybody's code when "
            "opened. So it is not. If you trust it, convert it once, with the real bbrl or whatever wrote it: "
            "agent = torch.load(file, weights_only=False); safetensors.torch.save_model(agent, 'weights.safetensors'). "
            "Then build the agent here and call safetensors.torch.load_model(agent, 'weights.safetensors')."
        )
    for folder in (path, path / "best", path / "latest"):
        if (folder / ARCHITECTURE).is_file():
            if not is_inside(path, folder):
                raise PolicyFileError(f"{folder} leads out of its folder, to {folder.resolve()}. Give that one.")
            return folder
    raise PolicyFileError(
        f"{path} holds no policy ({ARCHITECTURE} and {WEIGHTS}), nor do its folders 'best' and 'latest'. "
        "Give the folder of a run, or of a saved policy."
    )


def _part(folder: Path, name: str) -> Path:
    """Return the path of one of a policy's files, if it is one, and lies in the folder."""
    path = folder / name
    if not path.is_file():
        raise PolicyFileError(f"the policy in {folder} is incomplete: there is no file {name}.")
    if not is_inside(folder, path):
        raise PolicyFileError(
            f"{path} leads out of its folder, to {path.resolve()}. Copy the file into the folder if you trust it."
        )
    if name == ARCHITECTURE and path.stat().st_size > 4 * MAX_CHARACTERS:  # bytes of one character in UTF-8
        raise PolicyFileError(f"{path} is too large to describe a policy: {path.stat().st_size:,} bytes.")
    return path


def _read_weights(folder: Path) -> tuple[dict[str, torch.Tensor], str]:
    with safe_open(_part(folder, WEIGHTS), framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, str((file.metadata() or {}).get("checksum"))


def _checksum(described: Any, weights: Mapping[str, torch.Tensor], spaces: Any = None) -> str:
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    if spaces is not None:  # which older files have not
        digest.update(json.dumps(spaces, sort_keys=True).encode())
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextlib.contextmanager
def _bounded_construction(weights: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Stop the building of agents that are much larger than the weights that are stored.

    Sizes in a hostile or damaged description could otherwise claim all memory, or never come to an end, before the
    shapes are compared. A parameter is looked at when its module receives it, which is before it is initialised.
    """
    thread = threading.get_ident()
    most_values = 1_000_000 + sum(value.numel() for value in weights.values())
    most_parameters = 1000 + 10 * len(weights)
    n_parameters = 0

    def check(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal n_parameters
        if parameter is None or threading.get_ident() != thread:
            return
        n_parameters += 1
        if n_parameters > most_parameters or parameter.numel() > most_values:
            raise PolicyFileError(
                f"the weights do not fit the architecture: it is far larger ({type(module).__name__}.{name}: "
                f"{tuple(parameter.shape)} described) than the {len(weights)} tensors that are stored."
            )

    handle = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        handle.remove()


# ---- agents as plain data -----------------------------------------------------------------------------------------


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


def _build(described: Any, allow: list[str | type]) -> Agent:
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


def _allowed(found: type, allow: Sequence[str | type]) -> bool:
    """Return whether the user allowed this class, be it one of the library's own."""
    return any(
        one is found or (isinstance(one, str) and (is_called(found, one) or is_within(found, one))) for one in allow
    )


def _rebuild(value: Any, allow: list[str | type]) -> Any:
    if isinstance(value, list):
        return [_rebuild(one, allow) for one in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind == "agent":
            return _build(content, allow)
        if kind == "class":
            return _find(content, allow)
        if kind == "dict":
            return {key: _rebuild(one, allow) for key, one in content.items()}
        raise PolicyFileError(f"{kind!r} is nothing that a policy's architecture can hold.")
    return value


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
