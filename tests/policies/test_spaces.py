"""Spaces that stand beside policies in their files."""

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces

from workspace_rl import KWAgentWrapper, load_policy, policy_function, save_policy
from workspace_rl.agents import SquashedGaussianActor
from workspace_rl.errors import CompositionError, PolicyFileError
from workspace_rl.policies.spaces import PolicySpaces

PENDULUM = gym.make("Pendulum-v1")


def pendulum_policy():
    torch.manual_seed(0)
    return KWAgentWrapper(SquashedGaussianActor(3, [16], 1), stochastic=False)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-np.inf, np.inf, (3,), np.float64),
        spaces.Box(np.array([0, -1], np.float32), np.array([1, 5], np.float32)),
        spaces.Box(0, 255, (210, 160, 3), np.uint8),
        spaces.Box(-1, 1, (), np.float16),
        spaces.Discrete(5, start=-2),
        spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [0, -1]]),
        spaces.MultiBinary((2, 3)),
        spaces.Dict({"b": spaces.Discrete(2), "a": spaces.Tuple([spaces.Box(0, 1), spaces.MultiBinary(2)])}),
    ],
    ids=str,
)
def test_spaces_are_written_and_read(space):
    described = PolicySpaces(space, spaces.Discrete(2), False, True).describe()
    rebuilt = PolicySpaces.rebuild(yaml.safe_load(yaml.safe_dump(described)))
    assert rebuilt.observation == space and rebuilt.observation.dtype == space.dtype
    assert (rebuilt.rescale_actions, rebuilt.clip_actions) == (False, True)
    if isinstance(space, spaces.Dict):
        assert list(rebuilt.observation.spaces) == list(space.spaces)


def test_spaces_that_cannot_be_written_do_not_keep_a_policy_from_being_saved(tmp_path):
    large = spaces.Box(np.zeros(3000, np.float32), np.arange(1, 3001, dtype=np.float32))
    for observation in (large, spaces.Text(3), spaces.Dict({"x": large})):
        save_policy(pendulum_policy(), tmp_path, (observation, PENDULUM.action_space))
        with pytest.raises(
            CompositionError, match=r"does not know its spaces.*policy_function\(policy, gymnasium.make"
        ):
            policy_function(tmp_path)


def test_policies_of_older_versions_need_an_environment(tmp_path):
    save_policy(pendulum_policy(), tmp_path)  # exactly what older versions wrote
    assert set(yaml.safe_load((tmp_path / "policy.yaml").read_text())) == {"agent", "checksums"}
    assert load_policy(tmp_path).policy_spaces is None
    with pytest.raises(CompositionError, match="does not know its spaces"):
        policy_function(tmp_path)
    assert policy_function(tmp_path, PENDULUM)(np.zeros(3)).shape == (1,)


def test_a_loaded_policy_keeps_its_spaces(tmp_path):
    save_policy(pendulum_policy(), tmp_path / "first", PENDULUM)
    save_policy(load_policy(tmp_path / "first"), tmp_path / "second")
    assert load_policy(tmp_path / "second").policy_spaces.action == PENDULUM.action_space


def test_changed_spaces_are_noticed(tmp_path):
    save_policy(pendulum_policy(), tmp_path, PENDULUM)
    path = tmp_path / "policy.yaml"
    text = path.read_text()
    for changed in (
        text.replace("high: 2.0", "high: 200.0"),
        text.replace("rescale_actions: true", "rescale_actions: no"),
    ):
        assert changed != text
        path.write_text(changed)
        with pytest.raises(PolicyFileError, match="damaged or was changed"):
            load_policy(tmp_path)


@pytest.mark.parametrize(
    "space",
    [
        {"Box": {"low": 0, "high": 1, "shape": [10**6, 10**6], "dtype": "float32"}},
        {"Box": {"low": 0, "high": 1, "shape": [-1], "dtype": "float32"}},
        {"Box": {"low": 0, "high": 1, "shape": [1], "dtype": "object"}},
        {"MultiBinary": {"n": 10**9}},
        {"Evil": {"shape": [1]}},
        {"Discrete": {}},
        "Box",
        {},
    ],
    ids=str,
)
def test_hostile_spaces_are_refused(space):
    described = PolicySpaces(spaces.Discrete(2), spaces.Discrete(2)).describe() | {"observation": space}
    with pytest.raises(PolicyFileError, match="the policy's spaces cannot be read"):
        PolicySpaces.rebuild(described)
