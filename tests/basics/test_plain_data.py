"""Numbers, paths and devices of other libraries in configurations and arguments."""

import decimal
import enum
import fractions
import math
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from workspace_rl import GymAgent, ReplayBuffer
from workspace_rl.algos import SAC
from workspace_rl.algos.sac import SACConfig
from workspace_rl.basics.plain_data import finite_number, plain, whole_number
from workspace_rl.config.schema import resolve_config, to_yaml
from workspace_rl.errors import CompositionError, ConfigError


class Speed(enum.Enum):
    FAST = "fast"


class Level(enum.IntEnum):
    TWO = 2


#: What is given, and what it becomes.
PLAIN = [
    (np.int64(2), 2),
    (np.uint8(2), 2),
    (np.bool_(True), True),
    (np.float64(0.5), 0.5),
    (np.float32(0.5), 0.5),
    (np.float16(0.5), 0.5),
    (np.longdouble(0.5), 0.5),
    (np.str_("x"), "x"),
    (np.array(2), 2),
    (np.array([1, 2]), [1, 2]),
    (np.array([[0.5]]), [[0.5]]),
    (np.array(["a", None], dtype=object), ["a", None]),
    (torch.tensor(2), 2),
    (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    (torch.tensor(True), True),
    (torch.nn.Parameter(torch.tensor([0.5, 1.5])), [0.5, 1.5]),
    (torch.Size([2, 3]), [2, 3]),
    (torch.device("cpu"), "cpu"),
    (Path("a/b"), "a/b"),
    (PurePosixPath("a"), "a"),
    (Speed.FAST, "fast"),
    (Level.TWO, 2),
    (decimal.Decimal("0.5"), 0.5),
    (fractions.Fraction(1, 2), 0.5),
    ((1, (2,)), [1, [2]]),
    ({np.int64(1): np.int64(2), "x": {"y": (Path("z"),)}}, {1: 2, "x": {"y": ["z"]}}),
    (OmegaConf.create({"a": ["${b}"], "b": 1}), {"a": ["${b}"], "b": 1}),
    ({"classname": torch.optim.Adam}, {"classname": "torch.optim.Adam"}),
]


def kinds(value):
    """Return a value with all the types in it."""
    if isinstance(value, dict):
        return [(kinds(key), kinds(one)) for key, one in value.items()]
    return [kinds(one) for one in value] if isinstance(value, list) else (type(value), value)


@pytest.mark.parametrize(("given", "expected"), PLAIN, ids=[str(type(given)) for given, _ in PLAIN])
def test_plain(given, expected):
    assert kinds(plain(given)) == kinds(expected)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(object(), id="object"),
        {1},
        1j,
        np.complex64(1j),
        torch.tensor(1j),
        len,
        int,
        range,
        np.datetime64("2024-01-01"),
        np.bytes_(b"a"),
        torch.zeros(1, device="meta"),
        "\0",
        "\ud800",
        Path("a\0"),
        {"a\0": 1},
        {"a": {"b": ["\0"]}},
        Ellipsis,
    ],
    ids=repr,
)
def test_what_has_no_plain_form_is_told_by_its_name(value):
    with pytest.raises(ConfigError, match=r"^key(\.a|\.a\.b\[0\]| \(a key\))?: .* expected, .* found"):
        plain(value, "key")


def algorithm(**changes):
    return {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 20_000, **changes}}


def test_numbers_and_paths_of_others_make_the_same_run():
    others = algorithm(
        seed=np.random.default_rng(0).integers(100, 101),
        n_envs=torch.tensor(2),
        buffer_size=np.float64(1e6),
        discount_factor=np.linspace(0.9, 0.99, 2)[1],
        max_grad_norm=np.float32(0.5),
        architecture={"actor_hidden_size": np.array([64, 64]), "critic_hidden_size": torch.Size([32])},
    )
    others |= {"save_best": np.bool_(False), "base_dir": Path("runs") / "x", "device": torch.device("cpu")}
    others["gym_env"]["env_args"] = {"g": np.float64(9.81)}
    others["actor_optimizer"] = {"lr": np.logspace(-4, -2, 3)[1], "betas": np.array([0.5, 0.75])}
    ours = algorithm(
        seed=100,
        n_envs=2,
        buffer_size=1_000_000,
        discount_factor=0.99,
        max_grad_norm=0.5,
        architecture={"actor_hidden_size": [64, 64], "critic_hidden_size": [32]},
    )
    ours |= {"save_best": False, "base_dir": "runs/x", "device": "cpu"}
    ours["gym_env"]["env_args"] = {"g": 9.81}
    ours["actor_optimizer"] = {"lr": 0.001, "betas": [0.5, 0.75]}
    expected = to_yaml(resolve_config(SACConfig, ours))
    assert to_yaml(resolve_config(SACConfig, others)) == expected
    allowed = OmegaConf.create(others, flags={"allow_objects": True})
    assert to_yaml(resolve_config(SACConfig, allowed)) == expected


def test_objects_that_hold_themselves_are_told():
    config = algorithm()
    config["gym_env"]["env_args"] = {"a": config}
    with pytest.raises(ConfigError, match="holds itself"):
        SAC(config)


@pytest.mark.parametrize("n", [2, 2.0, np.int32(2), np.float32(2), torch.tensor(2), np.array(2), fractions.Fraction(2)])
def test_whole_numbers(n):
    assert whole_number(n, "n", least=1) == 2 and type(whole_number(n, "n", least=1)) is int
    env_agent = GymAgent("CartPole-v1", n)
    assert env_agent.n_envs == 2
    env_agent.close()
    assert ReplayBuffer(n, ["x"]).capacity == 2


@pytest.mark.parametrize(
    "n",
    [
        0,
        -1,
        1.5,
        True,
        np.bool_(True),
        "2",
        None,
        math.nan,
        math.inf,
        [2],
        np.array([2]),
        torch.ones(2),
        1j,
        -(10**400),
    ],
)
def test_what_is_no_whole_number_is_told(n):
    with pytest.raises(CompositionError, match="GymAgent: n_envs: (a whole number|at least 1) expected, .* found"):
        GymAgent("CartPole-v1", n)


@pytest.mark.parametrize("x", [0.5, np.float32(0.5), torch.tensor(0.5), fractions.Fraction(1, 2), np.array(0.5)])
def test_finite_numbers(x):
    assert finite_number(x, "x", above=0, most=1) == 0.5


@pytest.mark.parametrize("x", [0, 1.5, math.nan, math.inf, "0.5", None, True, [0.5], 10**400, np.array([0.5]), 1j])
def test_what_is_no_finite_number_is_told(x):
    with pytest.raises(ConfigError, match="x: a finite number above 0 and of at most 1 expected, .* found"):
        finite_number(x, "x", above=0, most=1)
