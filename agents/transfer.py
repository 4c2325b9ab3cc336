"""Features that are taken over from another run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from workspace_rl.agents.q_networks import DiscreteQAgent
from workspace_rl.errors import ConfigError, PolicyFileError
from workspace_rl.policies import load_policy


class FeaturesArchitecture(Protocol):
    """What a section `architecture` says of features, and of the body that makes them."""

    features_from: str | None
    freeze_features: bool
    hidden_size: list[int] | None
    noisy: bool


def require_features(sizes: FeaturesArchitecture, behind: Sequence[str] = ()) -> None:
    """Look whether the features of another run are to be had, and are of any use `behind` agents of these names.

    Raises:
        ConfigError: they are not.
    """
    if sizes.freeze_features and sizes.features_from is None:
        raise ConfigError(
            "algorithm.architecture.freeze_features: nothing to freeze. Give the run whose features are to stay: "
            "algorithm.architecture.features_from=FOLDER."
        )
    if sizes.freeze_features and sizes.noisy and sizes.hidden_size != []:
        raise ConfigError(
            "algorithm.architecture.hidden_size: [] expected with freeze_features and noisy, since noise in layers "
            f"that do not learn would never fade, {sizes.hidden_size} found. Give the head layers instead, by "
            "head_hidden_size, or set noisy to false."
        )
    if sizes.features_from is not None and behind:
        raise ConfigError(
            "algorithm.architecture.features_from: null expected, since the network reads what "
            f"{' and '.join(behind)} write, which this run begins anew; {sizes.features_from!r} found. A body can be "
            "taken over where it reads observations itself: without architecture.encoder and architecture.memory."
        )


def load_features(q_agent: DiscreteQAgent, folder: str | Path) -> None:
    """Give `q_agent` the body of the policy saved in `folder`, or of the run's best one.

    Raises:
        PolicyFileError: the folder holds no policy, or one without a body of the same shapes.
    """
    source = next((one for one in load_policy(folder).modules() if isinstance(one, DiscreteQAgent)), None)
    if source is None:
        raise PolicyFileError(f"the policy in {folder} has no DiscreteQAgent whose features could be taken.")
    given = {name: tuple(value.shape) for name, value in source.body.state_dict().items()}
    expected = {name: tuple(value.shape) for name, value in q_agent.body.state_dict().items()}
    if given != expected:
        raise PolicyFileError(
            f"the features in {folder} do not fit: {expected} expected, {given} found. "
            "Use the network, hidden_size and noisy that they were trained with."
        )
    q_agent.body.load_state_dict(source.body.state_dict())
