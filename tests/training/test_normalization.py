"""Runs with normalisation: what is counted, what stays as it is, what is saved, and what is refused."""

import copy

import numpy as np
import pytest
import torch

from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace, check, load_policy, policy_function
from workspace_rl.algos import DDPG, DQN, SAC, TD3, SACDiscrete
from workspace_rl.errors import ConfigError, UnsupportedSpaceError

BOTH = {"normalize_observations": True, "normalize_rewards": True}


@pytest.fixture
def parameters(tiny_sac):
    tiny_sac["algorithm"] |= {**BOTH, "checkpoint_interval": 160, "random_steps": 40, "total_steps": 400}
    return tiny_sac


class Watched(SAC):
    """Keeps all fragments that the experience was given."""

    def make_experience(self):
        experience = super().make_experience()
        put, self.fragments = experience.put, []

        def keeping(fragment):
            self.fragments.append(fragment)
            put(fragment)

        experience.put = keeping
        return experience


def bits(module):
    return {name: one.clone() for name, one in module.state_dict().items()}


def same(some, others):
    return all(torch.equal(one, others[name]) for name, one in some.items())


def test_a_run_counts_each_frame_and_saves_the_statistics_with_its_policies(parameters, tmp_path):
    run = Watched(parameters)
    run.train(progress=False)
    observations, rewards = run.normalizers.observations, run.normalizers.rewards
    seen = torch.cat([one["env/env_obs"].flatten(0, 1) for one in run.fragments]).double()
    assert float(observations.count) == len(seen) > 400
    torch.testing.assert_close(observations.mean, seen.mean(0))
    torch.testing.assert_close(observations.var, seen.var(0, unbiased=False))
    assert float(rewards.count) == sum(one.n_transitions for one in run.fragments) == run.steps
    assert rewards.deviation > 10  # rewards of Pendulum are about -6, and a hundred of them count

    latest = load_policy(tmp_path / "run" / "latest")
    assert same(bits(run.eval_policy), bits(latest))
    assert latest.state_dict()["agents.0.mean"].dtype is torch.float64
    act, observation = policy_function(tmp_path / "run" / "latest"), np.array([1.0, 0.0, 7.0], np.float32)
    workspace = Workspace()
    normalized = (observation - observations.mean.numpy()) / np.sqrt(observations.var.numpy() + 1e-8)
    workspace.set("normalized_obs", 0, torch.tensor(normalized, dtype=torch.float32).unsqueeze(0))
    run.actor(workspace, t=0, stochastic=False)
    np.testing.assert_allclose(act(observation) / 2, workspace.get("action", 0)[0].detach().numpy(), rtol=1e-5)


@pytest.mark.parametrize("algorithm", [SAC, DQN])
def test_a_resumed_run_has_the_bits_of_the_whole_one(algorithm, parameters, tmp_path):
    if algorithm is DQN:
        parameters["gym_env"]["env_name"] = "CartPole-v1"
        parameters["algorithm"] |= {"architecture": {"hidden_size": [16]}, "reward_clip": 1.0}
    whole, stopped = (copy.deepcopy(parameters) | {"base_dir": str(tmp_path / name)} for name in ("whole", "stopped"))
    run = algorithm(whole)
    run.train(progress=False)
    train_until(algorithm(stopped), 25)
    again = algorithm.restore(tmp_path / "stopped")
    again.train(progress=False)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")
    for one, other in zip(run.normalizers[:2], again.normalizers[:2], strict=True):
        assert float(one.count) >= 400 and same(bits(one), bits(other))


def test_statistics_stay_as_they_are_in_scores_and_updates(parameters):
    run = SAC(parameters)
    for one in run.normalizers[:2]:
        one.mean.fill_(0.5)
        one.var.fill_(4.0)
        one.count.fill_(10.0)
    before = [bits(one) for one in run.normalizers[:2]]
    run.evaluate()
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, 16, 3))
    batch.set_full("action", torch.rand(2, 16, 1))
    for name in ("reward", "terminated", "done"):
        batch.set_full(f"env/{name}", torch.zeros(2, 16) if name == "reward" else torch.zeros(2, 16, dtype=torch.bool))
    run.learn(batch)
    assert all(map(same, before, map(bits, run.normalizers[:2])))
    run.train_env.close()


@pytest.mark.parametrize("algorithm", [SAC, SACDiscrete, TD3, DDPG, DQN])
def test_updates_learn_from_normalised_numbers(algorithm, parameters):
    """An update with normalisers equals one without them on a batch that is normalised already."""
    discrete = algorithm in (DQN, SACDiscrete)
    if discrete:
        parameters["gym_env"]["env_name"] = "CartPole-v1"
    if algorithm is DQN:
        parameters["algorithm"]["architecture"] = {"hidden_size": [16]}
    run = algorithm(parameters)
    assert not check(run)
    size = run.train_env.observation_size
    parameters["algorithm"] |= {"normalize_observations": False, "normalize_rewards": False}
    plain = algorithm(parameters)
    batch = Workspace()
    batch.set_full("env/env_obs", 3 + 2 * torch.randn(2, 16, size))
    batch.set_full("action", torch.randint(2, (2, 16)) if discrete else torch.rand(2, 16, 1))
    batch.set_full("env/reward", torch.randn(2, 16))
    batch.set_full("env/terminated", torch.rand(2, 16) < 0.5)
    batch.set_full("env/done", batch.get_full("env/terminated"))
    run.normalizers.observations.mean.fill_(3.0)
    run.normalizers.observations.var.fill_(4.0)
    run.normalizers.rewards.var.fill_(0.25)
    normalized = Workspace(batch)
    normalized.set_full("env/env_obs", (batch.get_full("env/env_obs") - 3) / 2)
    normalized.set_full("env/reward", batch.get_full("env/reward") * 2)
    found = []
    for one, given in ((run, batch), (plain, normalized)):
        torch.manual_seed(0)
        found.append(one.update(given, **one.update_flags(2)))
        one.train_env.close()
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_without_the_options_nothing_is_there(tiny_sac):
    run = SAC(tiny_sac)
    batch = Workspace()
    assert run.running_statistics() == [] and run.normalizers(batch) is batch
    assert not any("normalizer" in name for name in run.parts())
    run.train_env.close()


@pytest.mark.parametrize(
    ("env", "said"), [("FrozenLake-v1", "are choices"), ({"env_name": "ALE/Pong-v5", "atari": {}}, "are pictures")]
)
def test_what_has_no_mean_is_refused(env, said, parameters):
    if isinstance(env, dict):
        pytest.importorskip("ale_py")
    parameters["gym_env"] = env if isinstance(env, dict) else {"env_name": env}
    parameters["algorithm"]["architecture"] = {"network": "nature_cnn"} if isinstance(env, dict) else {}
    with pytest.raises(UnsupportedSpaceError, match=f"algorithm.normalize_observations: .* {said}"):
        DQN(parameters)


class Forgetful(SAC):
    """Does not look at the options."""

    def build(self):
        self.parameters.normalize_rewards = False
        super().build()
        self.parameters.normalize_rewards = True


def test_options_that_an_algorithm_does_not_read_are_refused(parameters):
    with pytest.raises(ConfigError, match=r"algorithm.normalize_rewards: false expected, since Forgetful does not"):
        Forgetful(parameters)


def test_observations_that_may_be_nan_are_not_averaged(parameters):
    parameters["gym_env"]["allow_nonfinite_observations"] = True
    with pytest.raises(ConfigError, match="a single NaN makes the running mean NaN"):
        SAC(parameters)
