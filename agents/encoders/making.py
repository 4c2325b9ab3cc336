"""Whether an observation needs an encoder, and the one that a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from workspace_rl.agent import Agent
from workspace_rl.agents.bodies import IMAGE_NETWORKS
from workspace_rl.agents.encoders.encoder import Encoder
from workspace_rl.agents.encoders.encoder_agent import EncoderAgent
from workspace_rl.basics.classes import check_arguments, find_class
from workspace_rl.config import EncoderConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.parts import Part
from workspace_rl.errors import ConfigError, WorkspaceRLError
from workspace_rl.workspace import Workspace

_SECTION = "algorithm.architecture.encoder"


def needs_encoder(
    observation: GymAgent | Sequence[Part],
    config: EncoderConfig | None = None,
    *,
    mask_variable: str | None = None,
    network: str = "mlp",
) -> bool:
    """Return whether an encoder stands between an observation and the networks that choose and judge.

    It does where one is configured, where the observation has several parts, the mask left out, and where its only part
    is none that the network reads: "mlp" reads a vector or choices, the networks of images read a picture.

    Args:
        observation: the environments, or the parts that networks read.
        config: what is configured.
        mask_variable: which actions are allowed; where that is a part of the environments' observation, the others are
            read.
        network: that of the algorithm.

    Raises:
        UnsupportedSpaceError: the observation is none that could be encoded.
        ConfigError: the network is one of images, and would be given features.
    """
    parts = parts_of(observation, mask_variable)
    several = config is not None or len(parts) > 1
    if network not in IMAGE_NETWORKS:
        return several or not _is_read_by_mlp(parts[0])
    if several:
        raise ConfigError(
            f"algorithm.architecture.network: 'mlp' expected where an encoder reads the observation, {network!r} "
            f"found. Its own networks for pictures are {_SECTION}.images: {network}."
        )
    return False  # what is no picture is refused by the network itself


def _is_read_by_mlp(part: Part) -> bool:
    return part["kind"] == "choices" or (part["kind"] == "numbers" and len(part["shape"]) == 1)


def parts_of(observation: GymAgent | Sequence[Part], mask_variable: str | None = None) -> list[Part]:
    """Return the parts that networks read, the mask left out.

    Raises:
        UnsupportedSpaceError: the observation is none that could be encoded.
    """
    if isinstance(observation, GymAgent):
        return observation.observation_parts(mask_variable)
    return list(observation)


def make_encoder(
    observation: GymAgent | Sequence[Part],
    config: EncoderConfig | None = None,
    *,
    mask_variable: str | None = None,
    features_variable: str = "features",
    name: str | None = None,
) -> Encoder:
    """Return the encoder of an observation: an agent with `n_features`, which writes `features_variable`.

    Args:
        observation: the environments, or the parts that are read, be it from other variables (normalised, say).
        config: what it is to be; the library's, as its options are unless given, where that is None.
        mask_variable: which actions are allowed; where that is a part of the environments' observation, the others are
            read.
        features_variable: what is written.
        name: the agent's name.

    Raises:
        UnsupportedSpaceError: the observation is none that could be encoded, or pictures are too small.
        ConfigError: the class that is configured is no encoder, or knows other arguments.
    """
    parts = parts_of(observation, mask_variable)
    config = EncoderConfig() if config is None else config
    if config.classname is not None:
        return _own_encoder(parts, config, features_variable, name)
    return EncoderAgent(
        parts,
        images=config.images,
        image_hidden_sizes=config.image_hidden_size,
        vector_hidden_sizes=config.vector_hidden_size,
        hidden_sizes=config.hidden_size,
        features_variable=features_variable,
        name=name,
    )


def _own_encoder(parts: list[Part], config: EncoderConfig, features_variable: str, name: str | None) -> Encoder:
    """Return an encoder of the user's own class, which has been tried."""
    classname = str(config.classname)
    try:
        found = find_class(classname.replace(":", "."), allow=None)
    except ConfigError as error:
        raise ConfigError(f"{_SECTION}.classname: {error}") from error
    if not issubclass(found, Agent):
        raise ConfigError(f"{_SECTION}.classname: {classname} is no agent. Derive it from workspace_rl.agents.Encoder.")
    check_arguments(found, config.arguments, f"{_SECTION}.arguments")
    make: Callable[..., Any] = found
    try:
        encoder = make(parts, **config.arguments, features_variable=features_variable, name=name)
        _try(encoder, parts, features_variable)
    except WorkspaceRLError as error:
        raise ConfigError(f"{_SECTION}.classname: {classname}: {error}") from error
    except Exception as error:  # whatever a class of the user's own makes of its arguments
        raise ConfigError(f"{_SECTION}.classname: {classname}: {type(error).__name__}: {error}") from error
    return cast(Encoder, encoder)  # or another agent that is one in all but name


def _try(encoder: Agent, parts: list[Part], features_variable: str) -> None:
    """Run an encoder on one observation of two environments, and look at what it writes."""
    expected, writes = getattr(encoder, "n_features", None), getattr(encoder, "features_variable", None)
    if not isinstance(expected, int):
        raise ConfigError(f"n_features: how many features it gives expected, {expected!r} found. Set it in __init__.")
    if writes != features_variable:
        raise ConfigError(f"features_variable: {features_variable!r} expected, {writes!r} found. Set it in __init__.")
    try:
        found = _features(encoder, parts, torch.uint8)
    except Exception:
        # Parts do not say of which numbers pictures are: those of floating-point numbers are read as they are.
        if not any(part["kind"] == "picture" for part in parts):
            raise
        found = _features(encoder, parts, torch.get_default_dtype())
    if found.shape != (2, expected) or not found.is_floating_point():
        raise ConfigError(
            f"it writes {features_variable!r} as {found.dtype} of shape {list(found.shape)} for 2 environments, "
            f"floating-point numbers of shape [2, {expected}] expected, as its n_features says."
        )


def _features(encoder: Agent, parts: list[Part], of_pictures: torch.dtype) -> torch.Tensor:
    """Return what an encoder writes of an observation of two environments; `of_pictures` is the dtype of these."""
    workspace = Workspace()
    for part in parts:
        dtype = of_pictures if part["kind"] == "picture" else torch.get_default_dtype()
        value = torch.zeros(2, *part["shape"], dtype=dtype)
        if part["choices"]:
            value = value.long() + torch.tensor([least for least, _ in part["choices"]]).reshape(part["shape"])
        workspace.set(part["variable"], 0, value)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        encoder(workspace, t=0)
    return workspace.get(str(encoder.features_variable), 0)
