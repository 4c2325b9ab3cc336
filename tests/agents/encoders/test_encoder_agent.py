"""Encoders: features of observations of many parts."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import GymAgent, Workspace, load_policy, save_policy
from workspace_rl.agents import Encoder, EncoderAgent
from workspace_rl.envs.spaces.parts import observation_parts
from workspace_rl.errors import CompositionError, UnsupportedSpaceError

SPACE = gym.spaces.Dict(
    camera=gym.spaces.Box(0, 255, (3, 36, 40), np.uint8),
    goal=gym.spaces.Tuple([gym.spaces.Discrete(3, start=-1), gym.spaces.MultiDiscrete([2, 3])]),
    joints=gym.spaces.Box(-1, 1, (2, 2), np.float64),
    lamps=gym.spaces.MultiBinary(2),
    load=gym.spaces.Box(0, 9, (), np.int32),
)


def observed(space=SPACE, n_envs=3, n_steps=2):
    env_agent = GymAgent(lambda: SpaceEnv(space), n_envs, seed=4)
    workspace = Workspace()
    for t in range(n_steps):
        env_agent(workspace, t=t)
        workspace.set("action", t, torch.zeros(n_envs, dtype=torch.int64))
    return workspace, env_agent.observation_parts()


def test_parts_stand_side_by_side_as_numbers():
    workspace, parts = observed()
    assert [part["variable"].removeprefix("env/env_obs/") for part in parts] == [
        "camera", "goal/0", "goal/1", "joints", "lamps", "load",
    ]  # fmt: skip
    vectors = [part for part in parts if part["kind"] != "picture"]
    encoder = EncoderAgent(vectors)
    assert not list(encoder.parameters()) and encoder.n_features == 3 + 5 + 4 + 2 + 1
    encoder(workspace, t=0)
    features = workspace.get("features", 0)
    step = {part["variable"].removeprefix("env/env_obs/"): workspace.get(part["variable"], 0) for part in parts}
    assert torch.equal(features[:, :3].argmax(-1) - 1, step["goal/0"]) and (features[:, :3].sum(-1) == 1).all()
    assert torch.equal(features[:, 3:5].argmax(-1), step["goal/1"][:, 0])
    assert torch.equal(features[:, 5:8].argmax(-1), step["goal/1"][:, 1])
    assert torch.equal(features[:, 8:12], step["joints"].flatten(1))
    assert torch.equal(features[:, 12:14], step["lamps"].float()) and torch.equal(features[:, 14], step["load"].float())


@pytest.mark.parametrize("images", ["nature_cnn", "impala_cnn"])
def test_all_of_time_at_once_is_step_by_step_and_is_saved(images, tmp_path):
    torch.manual_seed(0)
    workspace, parts = observed()
    encoder = EncoderAgent(
        parts, images=images, image_hidden_sizes=[8], vector_hidden_sizes=[5], hidden_sizes=[7, 6], name="encoder"
    ).with_prefix("target-critic/")
    whole, steps, again = Workspace(workspace), Workspace(workspace), Workspace(workspace)
    encoder(whole)
    for t in range(2):
        encoder(steps, t=t)
    features = whole.get_full("target-critic/features")
    assert features.shape == (2, 3, 6) and encoder.n_features == 6 and features.dtype == torch.float32
    torch.testing.assert_close(features, steps.get_full("target-critic/features"))
    save_policy(encoder, tmp_path)
    loaded = load_policy(tmp_path)
    loaded(again)
    assert torch.equal(again.get_full("target-critic/features"), features)
    assert loaded.parts == parts and loaded.name == "encoder"


def test_every_part_has_a_say_and_gradients():
    torch.manual_seed(0)
    workspace, parts = observed()
    encoder = EncoderAgent(parts, image_hidden_sizes=[8], vector_hidden_sizes=[8], hidden_sizes=[8])
    encoder(workspace, t=0)
    features = workspace.get("features", 0)
    features.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    for part in parts:
        other = Workspace(workspace)
        changed = workspace.get(part["variable"], 0).clone()
        other.set(part["variable"], 0, changed.roll(1, 0))
        encoder(other, t=0)
        assert not torch.equal(other.get("features", 0), features), part


def test_copies_have_weights_of_their_own():
    encoder = EncoderAgent(observed()[1])
    target = copy.deepcopy(encoder).with_prefix("target-q/")
    with torch.no_grad():
        next(iter(target.parameters())).add_(1)
    assert not torch.equal(next(iter(target.parameters())), next(iter(encoder.parameters())))
    assert encoder.prefix == ""


def test_stacks_of_pictures_are_channels():
    space = gym.spaces.Box(0, 255, (4, 3, 8, 9), np.uint8)
    workspace, parts = observed(space)
    assert parts == [{"variable": "env/env_obs", "kind": "picture", "shape": [4, 3, 8, 9], "choices": None}]
    encoder = EncoderAgent(parts, images="impala_cnn", image_hidden_sizes=[6])
    whole, single = Workspace(workspace), Workspace()
    encoder(whole)
    single.set("env/env_obs", 0, workspace.get("env/env_obs", 1).flatten(1, 2))
    flat = EncoderAgent([{**parts[0], "shape": [12, 8, 9]}], images="impala_cnn", image_hidden_sizes=[6])
    flat.load_state_dict(encoder.state_dict())
    flat(single, t=0)
    torch.testing.assert_close(whole.get("features", 1), single.get("features", 0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_all_numbers_have_the_type_of_the_weights(dtype):
    workspace, parts = observed()
    encoder = EncoderAgent(parts, image_hidden_sizes=[4], hidden_sizes=[4]).to(dtype)
    encoder(workspace)
    assert workspace.get_full("features").dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


class Sum(Encoder):
    def __init__(self, parts, scale=1.0, **options):
        super().__init__(parts, **options)
        self.n_features, self.scale = 1, scale

    def encode(self, observation, leading):
        return self.scale * sum(part.flatten(leading).sum(-1, keepdim=True) for part in observation.values())


def test_an_encoder_of_ones_own(tmp_path):
    workspace, parts = observed(gym.spaces.Dict(a=gym.spaces.Box(0, 1, (2,)), b=gym.spaces.Box(0, 1, (2, 2))))
    encoder = Sum(parts, scale=2.0, features_variable="sum")
    encoder(workspace)
    expected = workspace.get_full("env/env_obs/a").sum(-1) + workspace.get_full("env/env_obs/b").sum((-1, -2))
    torch.testing.assert_close(workspace.get_full("sum"), 2 * expected.unsqueeze(-1))
    save_policy(encoder, tmp_path)
    assert load_policy(tmp_path, allow=[Sum]).scale == 2.0


def test_what_cannot_be_built_is_told():
    parts = observation_parts(SPACE, "env/env_obs")
    with pytest.raises(CompositionError, match="images: one of nature_cnn, impala_cnn expected, 'impala' found"):
        EncoderAgent(parts, images="impala")
    small = observation_parts(gym.spaces.Box(0, 255, (3, 8, 8), np.uint8), "x")
    with pytest.raises(UnsupportedSpaceError, match="encoder of 'x'.*'impala_cnn' is for small ones"):
        EncoderAgent(small)
    for wrong in ([], [3], [{"variable": "x"}], [{**parts[0], "kind": "sound"}]):
        with pytest.raises(CompositionError, match="parts: "):
            EncoderAgent(wrong)
    with pytest.raises(CompositionError, match="implement encode"):
        Encoder(parts)(observed()[0], t=0)
