"""Policies on disk: weights as safetensors, the agents' construction as YAML. Nothing is unpickled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from workspace_rl.agent import Agent
from workspace_rl.classes import class_path, find_class
from workspace_rl.errors import ConfigError, PolicyFileError
from workspace_rl.files import whole_file, write_text
from workspace_rl.seeding import RandomState

WEIGHTS, ARCHITECTURE = "policy.safetensors", "policy.yaml"


def save_policy(policy: Agent, folder: str | Path) -> None:
    """Write `policy.safetensors` and `policy.yaml` into `folder`, which is created if need be.

    The YAML names the agents' classes and the arguments they were built with. The weights carry their own checksum, so
    that each file is complete by itself and may replace an older one at any moment.

    Raises:
        PolicyFileError: an agent was built with an argument that cannot be written down.
        RunFolderError: the files cannot be written.
    """
    folder = Path(folder)
    architecture = yaml.safe_dump({"agent": describe_agent(policy)}, sort_keys=False)
    # Copies, since an agent that stands twice in a composition would share its tensors, which the format cannot.
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in policy.state_dict().items()}
    with whole_file(folder / WEIGHTS) as temporary:
        save_file(weights, temporary, metadata={"checksum": _checksum(weights)})
    write_text(folder / ARCHITECTURE, architecture)


def load_policy(folder: str | Path, allow: Sequence[str | type] = ()) -> Agent:
    """Rebuild the policy that `save_policy` wrote; it acts the same, bit for bit.

    Args:
        folder: a folder with `policy.safetensors` and `policy.yaml`, or a run, whose best policy is taken.
        allow: classes of your own that the policy may be built from, or their full names; the library's own and those
            of torch.nn need no leave.

    Raises:
        PolicyFileError: the folder holds no policy, the files are damaged or do not fit together, or a class is named
            that is not allowed.
    """
    folder = policy_folder(folder)
    try:
        architecture = yaml.safe_load((folder / ARCHITECTURE).read_text())
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}
            checksum = (file.metadata() or {}).get("checksum")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, SafetensorError) as error:
        raise PolicyFileError(f"the policy in {folder} cannot be read: {error}") from error
    if checksum != _checksum(weights):
        raise PolicyFileError(f"{folder / WEIGHTS} is damaged: its checksum is wrong. Use an older copy.")
    if not isinstance(architecture, dict) or "agent" not in architecture:
        raise PolicyFileError(f"{folder / ARCHITECTURE} does not describe a policy.")
    # The weights decide; building must not draw from the caller's random numbers.
    with RandomState(0):
        agent = _build(architecture["agent"], list(allow))
    expected = {name: tuple(value.shape) for name, value in agent.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != found:
        differing = {name: (expected.get(name), found.get(name)) for name in expected | found}
        listed = "; ".join(f"{n}: {e} described, {f} stored" for n, (e, f) in differing.items() if e != f)
        raise PolicyFileError(f"the weights in {folder} do not fit the architecture: {listed}.")
    agent.load_state_dict(weights, assign=True)
    return agent.eval()


def policy_folder(path: str | Path) -> Path:
    """Return `path` if it holds a policy, else its `best` or `latest` subfolder.

    Raises:
        PolicyFileError: none of them holds a policy, or `path` is a pickle.
    """
    path = Path(path)
    if path.is_file():
        raise PolicyFileError(
            f"{str(path)!r} is a file, as torch.save and BBRL write it: a pickle, which may run anybody's code when "
            "opened. So it is not. If you trust it, convert it once, with the real bbrl or whatever wrote it: "
            "agent = torch.load(file, weights_only=False); safetensors.torch.save_model(agent, 'weights.safetensors'). "
            "Then build the agent here and call safetensors.torch.load_model(agent, 'weights.safetensors')."
        )
    for folder in (path, path / "best", path / "latest"):
        if (folder / ARCHITECTURE).is_file():
            return folder
    raise PolicyFileError(
        f"{path} holds no policy ({ARCHITECTURE} and {WEIGHTS}), nor do its folders 'best' and 'latest'. "
        "Give the folder of a run, or of a saved policy."
    )


def _checksum(weights: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# ---- agents as plain data -----------------------------------------------------------------------------------------


def describe_agent(agent: Agent) -> dict[str, Any]:
    """Return the agent's class and the arguments it was built with, as plain data.

    Raises:
        PolicyFileError: an argument is of a kind that cannot be written down.
    """
    args, kwargs = agent._constructor_arguments  # type: ignore[misc]
    where = agent.description()
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
            return _build(content, allow)
        if kind == "class":
            return _find(content, allow)
        if kind == "dict":
            return {key: _rebuild(one, allow) for key, one in content.items()}
        raise PolicyFileError(f"{kind!r} is nothing that a policy's architecture can hold.")
    return value


def _find(classname: Any, allow: list[str | type]) -> type:
    for one in allow:
        if isinstance(one, type) and class_path(one) == classname:
            return one
    try:
        return find_class(str(classname), [one for one in allow if isinstance(one, str)])
    except ConfigError as error:
        raise PolicyFileError(f"{error}") from error
