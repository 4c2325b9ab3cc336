"""Whole runs with a section `collectors`, whose collectors are in the learner's process."""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.runs.test_checkpoint import train_until
from workspace_rl import Agent
from workspace_rl.algos import DQN, PPO, SAC
from workspace_rl.collectors.fleet import make_fleet


def a_run(path, algorithm=SAC, *, total=480, normalize=False, memory=False, **collectors):
    env, sizes = "Pendulum-v1", {"actor_hidden_size": [8], "critic_hidden_size": [8]}
    if algorithm is DQN:
        env, sizes = "CartPole-v1", {"hidden_size": [8]}
    options = {"learning_starts": 60, "updates_per_collect": 2, "batch_size": 16}
    if algorithm is PPO:
        sizes = {"hidden_size": [8]}
        options = {"n_epochs": 1, "batch_size": 4, "normalize_observations": True, "normalize_rewards": True}
    if memory:
        sizes["memory"] = {"kind": "gru", "size": 6}
        options |= {} if algorithm is PPO else {"sequence_length": 4, "burn_in": 2}
    return algorithm({
        "gym_env": {"env_name": env},
        "algorithm": {
            "total_steps": total, "n_envs": 2, "n_steps": 4, "nb_evals": 1, "eval_interval": 200,
            "checkpoint_interval": 160, "final_episodes": 0, "architecture": sizes,
            "normalize_observations": normalize, "normalize_rewards": normalize,
        } | options,
        "logger": {"log_interval": 80, "save_tensorboard": False},
        "collectors": collectors, "record_best": False, "compile": False, "base_dir": str(path),
    })  # fmt: skip


def trained(path, *args, **options):
    a_run(path, *args, **options).train(progress=False)
    return outcome(path)


def outcome(path):
    weights = load_file(Path(path) / "latest" / "policy.safetensors")
    return (path / "metrics.csv").read_text(), {name: value.tolist() for name, value in weights.items()}


@pytest.mark.parametrize("algorithm", [SAC, DQN, PPO])
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("n", [1, 3])
def test_equal_runs_are_equal_and_so_are_resumed_ones(n, lag, algorithm, tmp_path):
    options = {"n": n, "lag": lag, "normalize": n > 1, "memory": n > 1 and algorithm is not DQN}
    expected = trained(tmp_path / "one", algorithm, **options)
    train_until(a_run(tmp_path / "two", algorithm, **options), 60)
    assert outcome(tmp_path / "two") != expected
    algorithm.restore(tmp_path / "two").train(progress=False)
    assert outcome(tmp_path / "two") == expected


def test_collectors_have_episodes_and_actions_of_their_own(tmp_path):
    run = a_run(tmp_path, n=3)
    _, collectors = run.make_parts()
    collectors.start()
    first, second, third = collectors.collect(0)
    assert [one.collector for one in (first, second, third)] == [0, 1, 2]
    for name in ("env/env_obs", "action"):
        values = [one[name][:, env] for one in (first, second, third) for env in range(2)]
        assert not any(a.equal(b) for index, a in enumerate(values) for b in values[:index]), name


@pytest.mark.parametrize(("lag", "versions"), [(0, [0, 1, 2, 3]), (1, [0, 0, 1, 2])])
def test_a_lag_is_one_round(lag, versions, tmp_path):
    run = a_run(tmp_path, n=2, lag=lag)
    _, collectors = run.make_parts()
    collectors.start()
    found = []
    for version in range(4):
        round_ = collectors.collect(0)
        found += [{one.version for one in round_}]
        collectors.load_policy(run.policy, version + 1)
    assert found == [{version} for version in versions]


class Constant(Agent):
    """Acts by its one weight, and counts in a buffer how often it has acted."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.int64))

    def forward(self, t, **kwargs):
        self.n_calls += 1
        n_envs = len(self.get(("env/env_obs", t)))
        self.set(("action", t), self.weight.detach().expand(n_envs, 1))
        self.set(("n_calls", t), self.n_calls.repeat(n_envs))


@pytest.mark.parametrize("lag", [0, 1])
def test_actions_are_those_of_the_version_that_fragments_name(lag, tmp_path):
    run = a_run(tmp_path, n=2, lag=lag)
    policy = Constant()
    plan = run._fleet_plan(run.config.collectors, run.make_experience())
    plan = dataclasses.replace(plan, policy=policy, random_policy=None, random_steps=0, variables=("action", "n_calls"))
    collectors = make_fleet(plan)
    collectors.start()
    for version in range(1, 6):
        for one in collectors.collect(0):
            assert (one["action"] == one.version / 10).all()
            # What acting changes in the copy is lost: the learner's weights and buffers are those that count.
            assert one["n_calls"][0, 0] == 100 * one.version + 1
        with torch.no_grad():
            policy.weight.fill_(version / 10)
            policy.n_calls.fill_(100 * version)
        collectors.load_policy(policy, version)
    collectors.close()
