"""Whether an observation needs an encoder, and the one that is configured."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from tests.toys import SpaceEnv
from workspace_rl import Agent, GymAgent
from workspace_rl.agents import Encoder, EncoderAgent
from workspace_rl.agents.encoders import make_encoder, needs_encoder
from workspace_rl.config import EncoderConfig
from workspace_rl.envs.spaces.parts import observation_parts
from workspace_rl.errors import ConfigError, UnsupportedSpaceError

VECTOR = gym.spaces.Box(-1, 1, (3,))
PICTURE = gym.spaces.Box(0, 255, (3, 36, 36), np.uint8)
MASK = gym.spaces.MultiBinary(2)


@pytest.mark.parametrize(
    ("space", "mlp", "images"),
    [
        (VECTOR, False, False),
        (gym.spaces.Discrete(3), False, False),
        (gym.spaces.MultiDiscrete([2, 3]), False, False),
        (gym.spaces.Dict(observation=VECTOR, mask=MASK), False, False),
        (PICTURE, True, False),
        (gym.spaces.Box(-1, 1, (2, 3)), True, False),
        (gym.spaces.Box(-1, 1, ()), True, False),
        (gym.spaces.Dict(a=VECTOR, b=MASK), True, True),
        (gym.spaces.Dict(a=VECTOR, b=PICTURE, mask=MASK), True, True),
    ],
)
def test_an_encoder_is_needed_for_what_networks_do_not_read(space, mlp, images):
    env_agent = GymAgent(lambda: SpaceEnv(space))
    mask = {"mask_variable": "env/env_obs/mask"}
    assert needs_encoder(env_agent, **mask) is mlp
    assert needs_encoder(env_agent.observation_parts("env/env_obs/mask")) is mlp
    assert needs_encoder(env_agent, EncoderConfig(), **mask)
    if images:
        with pytest.raises(ConfigError, match="network: 'mlp' expected where an encoder.*encoder.images: impala_cnn"):
            needs_encoder(env_agent, network="impala_cnn", **mask)
    else:
        assert not needs_encoder(env_agent, network="nature_cnn", **mask)


def test_the_librarys_is_built_as_it_is_configured():
    env_agent = GymAgent(lambda: SpaceEnv(gym.spaces.Dict(a=VECTOR, b=PICTURE, mask=MASK)))
    encoder = make_encoder(env_agent, mask_variable="env/env_obs/mask", features_variable="seen", name="eye")
    assert type(encoder) is EncoderAgent and encoder.n_features == 3 + 256
    assert (encoder.name, encoder.features_variable) == ("eye", "seen")
    config = EncoderConfig(images="impala_cnn", image_hidden_size=[8], vector_hidden_size=[4], hidden_size=[5])
    encoder = make_encoder(env_agent.observation_parts(), config)
    assert encoder.n_features == 5 and encoder.joint[0].in_features == 8 + 4 + 4
    assert encoder.features_variable == "features"


class Own(Encoder):
    def __init__(self, parts, size, claimed=None, **options):
        super().__init__(parts, **options)
        self.n_features = size if claimed is None else claimed
        self.layer = nn.Linear(sum(np.prod(part["shape"], dtype=int) for part in parts), size)

    def encode(self, observation, leading):
        return self.layer(torch.cat([part.flatten(leading).float() for part in observation.values()], -1))


class Convolution(Own):
    def __init__(self, parts, **options):
        super().__init__(parts, 4, **options)
        self.layer = nn.Conv2d(3, 4, parts[0]["shape"][1:])

    def encode(self, observation, leading):
        (picture,) = observation.values()
        return self.layer(picture).flatten(leading)  # of numbers from 0 to 1, as they are


class Nameless(Agent):
    def __init__(self, parts, features_variable, name):
        super().__init__(name)
        self.n_features = 3


class Failing(Agent):
    def __init__(self, parts, **options):
        raise KeyError("camera")


class Plain(nn.Module):
    pass


def test_ones_own_is_built_and_tried():
    parts = observation_parts(
        gym.spaces.Dict(a=VECTOR, b=gym.spaces.MultiDiscrete([2, 3], start=[5, -1])), "env/env_obs"
    )
    config = EncoderConfig(classname=f"{__name__}:Own", arguments={"size": 6})
    state = torch.random.get_rng_state()
    encoder = make_encoder(parts, config, features_variable="seen", name="eye")
    assert type(encoder) is Own and encoder.n_features == 6 and encoder.name == "eye"
    assert encoder.features_variable == "seen" and not torch.equal(torch.random.get_rng_state(), state)


def test_ones_own_may_read_pictures_of_floating_point_numbers():
    parts = observation_parts(gym.spaces.Box(0, 1, (3, 40, 40)), "env/env_obs")
    assert type(make_encoder(parts, EncoderConfig(classname=f"{__name__}:Convolution"))) is Convolution


@pytest.mark.parametrize(
    ("classname", "arguments", "message"),
    [
        ("no_module:Own", {}, "encoder.classname: .*'no_module' cannot be imported"),
        (f"{__name__}:Missing", {}, "encoder.classname: .*no class 'Missing'"),
        (f"{__name__}:Plain", {}, "is no agent"),
        (f"{__name__}:Own", {"length": 3}, None),
        (f"{__name__}:Own", {"size": 3, "claimed": 4}, r"shape \[2, 3\] for 2 environments.*\[2, 4\] expected"),
        (f"{__name__}:Own", {"size": 3, "claimed": "many"}, "n_features: how many features"),
        (f"{__name__}:Nameless", {}, "features_variable: 'features' expected, None found"),
        (f"{__name__}:Failing", {}, "KeyError: 'camera'"),
    ],
)
def test_what_is_no_encoder_is_refused_before_anything_starts(classname, arguments, message):
    parts = observation_parts(VECTOR, "env/env_obs")
    with pytest.raises(ConfigError, match=message or "size"):
        make_encoder(parts, EncoderConfig(classname=classname, arguments=arguments))


def test_pictures_with_channels_last_are_refused_with_the_way_out():
    for shape in ((36, 36, 3), (12, 12, 3), (4, 96, 96, 3), (40, 40)):
        space = gym.spaces.Dict(a=VECTOR, b=gym.spaces.Box(0, 255, shape, np.uint8))
        with pytest.raises(UnsupportedSpaceError, match=r"channels last.*env/env_obs/b.*wrappers"):
            needs_encoder(GymAgent(lambda space=space: SpaceEnv(space)))


def test_arguments_are_for_a_class():
    with pytest.raises(ConfigError, match=r"arguments: none expected without .*classname, \{'size': 3\} found"):
        EncoderConfig(arguments={"size": 3}).check("architecture.encoder.")
    config = EncoderConfig(classname="my_module:Own", arguments={"size": 3})
    config.check("architecture.encoder.")
    assert config.classname == "my_module.Own"
