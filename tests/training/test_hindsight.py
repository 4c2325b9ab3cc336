"""Runs with a section hindsight: resumed bit for bit, the same wherever collectors live, or refused."""

import gymnasium as gym
import pytest
import torch

from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from tests.spaces_env import SpacesEnv
from workspace_rl.algos import DDPG, DQN, SAC, TD3, TQC
from workspace_rl.errors import ConfigError

SIZES = {"actor_hidden_size": [8], "critic_hidden_size": [8]}


def a_run(
    path, algorithm=SAC, *, env="PointReach-v0", total=480, gym_env=(), architecture=(), collectors=None, **options
):
    sizes = {"hidden_size": [8]} if algorithm is DQN else SIZES
    return algorithm({
        "gym_env": {"env_name": "BitFlip-v0" if algorithm is DQN else env} | dict(gym_env),
        "algorithm": {
            "total_steps": total, "n_envs": 2, "n_steps": 4, "nb_evals": 1, "eval_interval": 200,
            "checkpoint_interval": 160, "final_episodes": 0, "learning_starts": 60, "updates_per_collect": 2,
            "batch_size": 16, "architecture": sizes | dict(architecture), "hindsight": {},
        } | options,
        "logger": {"log_interval": 80, "save_tensorboard": False},
        "collectors": collectors, "record_best": False, "compile": False, "base_dir": str(path),
    })  # fmt: skip


def test_a_resumed_run_and_one_with_collectors_elsewhere_end_as_the_whole_one(tmp_path):
    options = {"n_step_return": 2, "normalize_rewards": True, "buffer_size": 200, "prioritized": {}}
    collectors = {"n": 2, "where": "process"}
    a_run(tmp_path / "whole", collectors=collectors, **options).train(progress=False)
    train_until(a_run(tmp_path / "stopped", collectors=collectors, **options), 60)
    assert outcome(tmp_path / "stopped") != outcome(tmp_path / "whole")
    SAC.restore(tmp_path / "stopped", ["collectors.where=local"]).train(progress=False)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")
    a_run(tmp_path / "other", collectors=collectors, **options | {"hindsight": {"strategy": "final"}}).train(
        progress=False
    )
    assert outcome(tmp_path / "other") != outcome(tmp_path / "whole")


@pytest.mark.parametrize("algorithm", [SAC, TD3, DDPG, TQC, DQN])
def test_what_is_learned_from_has_the_goals_of_hindsight(algorithm, tmp_path):
    run = a_run(tmp_path, algorithm, total=80, checkpoint_interval=None, nb_evals=0, batch_size=64)
    learn, batches = run.learn, []
    run.learn = lambda batch: (batches.append(batch), learn(batch))[1]
    run.train(progress=False)
    batch = batches[-1]
    reached = (batch["env/env_obs/achieved_goal"][1] == batch["env/env_obs/desired_goal"][1]).all(-1)
    # Random actions never get there, but by hindsight.
    assert 0.02 < reached.float().mean() < 0.8
    assert (
        torch.equal(batch["env/reward"][1] == 0, batch["env/terminated"][1]) and (reached <= batch["env/done"][1]).all()
    )


def test_the_environment_that_computes_rewards_is_closed_with_the_others(tmp_path):
    run = a_run(tmp_path)
    closed = []
    run._goal_rewards._env.close = lambda: closed.append(True)
    run._close_environments()
    assert closed == [True]


class Unbuildable(SAC):
    def build(self):
        self._goal_rewards._env.close = lambda: CLOSED.append(True)
        raise ConfigError("it cannot be built")


CLOSED = []


def test_it_is_closed_where_the_algorithm_cannot_be_built(tmp_path):
    with pytest.raises(ConfigError, match="it cannot be built"):
        a_run(tmp_path, Unbuildable)
    assert CLOSED == [True]


class Unequal(SpacesEnv):
    def __init__(self):
        super().__init__("vector", "continuous")
        box = gym.spaces.Box(-1, 1, (2,))
        self.observation_space = gym.spaces.Dict(achieved_goal=box, desired_goal=gym.spaces.Box(-1, 1, (3,)))


gym.register("Unequal-v0", Unequal)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"env": "Pendulum-v1"},
            "'Pendulum-v1' has no achieved_goal and no desired_goal; .*consists of env/env_obs. A",
        ),
        ({"gym_env": {"wrappers": ["FlattenObservation"]}}, "'PointReach-v0' has no .*no wrapper flattens"),
        (
            {"gym_env": {"wrappers": [{"classname": "FilterObservation", "filter_keys": ["achieved_goal"]}]}},
            "has no desired_goal; .*consists of env/env_obs/achieved_goal",
        ),
        (
            {"env": "Unequal-v0"},
            r"an achieved_goal of float32 \[2\] and a desired_goal of float32 \[3\]; one of the same",
        ),
        ({"gym_env": {"single_instance": True}, "n_envs": 1}, "null expected with gym_env.single_instance"),
        (
            {"gym_env": {"wrappers": [{"classname": "ClipReward", "max_reward": -2.0, "min_reward": -3.0}]}},
            "Leave out wrappers",
        ),
        ({"architecture": {"memory": {"kind": "gru"}}}, "hindsight: null expected with a memory.*memory.kind=none"),
        ({"hindsight": {"strategy": "past"}}, "algorithm.hindsight.strategy: one of 'future', 'final', 'episode'"),
        ({"hindsight": {"n_sampled_goal": 4}}, "n_goals"),
        ({"her": True}, "algorithm.hindsight"),
    ],
)
def test_what_it_is_not_for_is_refused_before_anything_starts(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        a_run(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
