"""Whatever type of number observations, actions and torch's defaults are of: what can be built runs."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import Collector, GymAgent, ReplayBuffer
from workspace_rl.agents import RandomAgent
from workspace_rl.algos import DDPG, DQN, SAC, TD3
from workspace_rl.runs.run import Run


class ShortEnv(SpaceEnv):
    """Any types of numbers; episodes are 9 steps long."""

    def __init__(self, observation_dtype="float32", action_dtype=None):
        dtype = np.dtype(observation_dtype)
        low, high = (-1, 1) if dtype.kind == "f" else (0, 1 if dtype.kind == "b" else 9)
        actions = (
            gym.spaces.Discrete(3) if action_dtype is None else gym.spaces.Box(-1, 1, (2,), np.dtype(action_dtype))
        )
        super().__init__(gym.spaces.Box(low, high, (3,), dtype), actions)

    def reset(self, **options):
        self.k = 0
        return super().reset(**options)

    def step(self, action):
        self.k += 1
        observation, reward, _, *rest = super().step(action)
        return observation, reward, self.k >= 9, *rest


gym.register("Short-v0", ShortEnv)


@pytest.fixture
def default_dtype(request):
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("algorithm", "default_dtype", "observations", "actions"),
    [
        (SAC, torch.float32, "float16", "float16"),
        (SAC, torch.float64, "float32", "float32"),
        (SAC, torch.bfloat16, "float64", "float32"),
        (TD3, torch.float64, "float16", "float64"),
        (DDPG, torch.float16, "float32", "float16"),
        (DQN, torch.float32, "float16", None),
        (DQN, torch.float64, "float64", None),
        (DQN, torch.bfloat16, "float16", None),
        (DQN, torch.float32, "uint16", None),
        (DQN, torch.float32, "bool", None),
    ],
    indirect=["default_dtype"],
)
def test_runs_train_resume_and_score(algorithm, default_dtype, observations, actions, tiny_sac, tmp_path):
    sizes = {"hidden_size": [8]} if algorithm is DQN else {"actor_hidden_size": [8], "critic_hidden_size": [8]}
    keys = ("seed", "n_envs", "total_steps", "learning_starts", "batch_size", "eval_interval", "nb_evals")
    parameters = {key: value for key, value in tiny_sac["algorithm"].items() if key in keys}
    config = {
        "base_dir": str(tmp_path / "run"),
        "gym_env": {"env_name": "Short-v0", "env_args": {"observation_dtype": observations}},
        "record_best": False,
        "compile": False,
        "logger": {"save_tensorboard": False},
        "algorithm": {
            **parameters,
            "total_steps": 120,
            "learning_starts": 30,
            "eval_interval": 60,
            "checkpoint_interval": 60,
            "final_episodes": 0,
            "architecture": sizes,
        },
    }
    if actions is not None:
        config["gym_env"]["env_args"]["action_dtype"] = actions
    algorithm(config).train(progress=False)
    resumed = algorithm.restore(config["base_dir"], ["algorithm.total_steps=180"])
    resumed.train(progress=False)
    weights = list(resumed.eval_policy.parameters())
    assert weights and {one.dtype for one in weights} == {default_dtype}
    assert Run(config["base_dir"]).evaluate(2).lengths == [9, 9]


@pytest.mark.parametrize("default_dtype", [torch.float64, torch.bfloat16, torch.float16], indirect=True)
def test_what_environments_and_random_actions_are_of_does_not_depend_on_the_default(default_dtype):
    env_agent = GymAgent("Pendulum-v1", 2)
    frames = Collector(env_agent, RandomAgent(env_agent.action_space)).collect(5)
    assert {frames[f"env/{name}"].dtype for name in ("env_obs", "reward", "cumulated_reward")} == {torch.float32}
    assert frames["action"].dtype == (torch.float64 if default_dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize(
    "dtype", ["float16", "float64", "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_the_replay_buffer_keeps_every_type_of_number(dtype):
    env_agent = GymAgent(lambda: ShortEnv(dtype), 2)
    frames = Collector(env_agent, RandomAgent(env_agent.action_space)).collect(30)
    buffer, restored = (ReplayBuffer(40, ["env/env_obs"]) for _ in range(2))
    for one in (buffer, restored):
        one.put(frames) if one is buffer else one.restore(
            buffer.describe(), [(buffer.rows.start, buffer.read_rows(buffer.rows.start, buffer.rows.stop))]
        )
        torch.manual_seed(0)
        for window in (2, 4):
            sample = one.sample(16, window)
            assert sample["env/env_obs"].dtype == frames["env/env_obs"].dtype
            known = {tuple(row) for row in frames["env/env_obs"].flatten(0, 1).tolist()}
            assert {tuple(row) for row in sample["env/env_obs"].flatten(0, 1).tolist()} <= known
