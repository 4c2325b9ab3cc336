"""Generalised state-dependent exploration: its density, the noise that is kept, and runs that explore by it."""

from itertools import pairwise

import pytest
import torch
from stable_baselines3.common.distributions import StateDependentNoiseDistribution
from torch.distributions import Normal

from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace, load_policy, save_policy
from workspace_rl.agents import SquashedGaussianActor, StateDependentExplorationActor
from workspace_rl.algos import SAC, TQC, CrossQ
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.errors import ConfigError

B, OBS, A, F = 5, 3, 2, 8


def new_actor(**options):
    torch.manual_seed(2)
    actor = StateDependentExplorationActor(OBS, [16, F], A, **{"log_std_init": -0.5, **options})
    with torch.no_grad():
        actor.log_std.add_(0.3 * torch.randn(F, A))
    return actor


def workspace_with(observation, timestep=0):
    workspace = Workspace()
    workspace.set("env/env_obs", 0, observation)
    workspace.set("env/timestep", 0, torch.as_tensor(timestep).expand(len(observation)))
    return workspace


def chosen(actor, observation, timestep=0, **kwargs):
    workspace = workspace_with(observation, timestep)
    actor(workspace, t=0, **kwargs)
    return workspace.get("action", 0)


# ---- the density --------------------------------------------------------------------------------------------------


def test_the_density_is_that_of_stable_baselines3(double):
    """Theirs takes the inverse of tanh; the epsilon that it adds inside the logarithm is taken out."""
    actor = new_actor()
    workspace = workspace_with(torch.randn(B, OBS))
    actor(workspace, t=0)
    theirs = StateDependentNoiseDistribution(A, squash_output=True, learn_features=True, epsilon=1e-6)
    theirs.bijector.epsilon = 0.0
    features = actor.body(workspace.get("env/env_obs", 0))
    mean = torch.nn.functional.hardtanh(actor.mean(features), -2, 2)
    distribution = theirs.proba_distribution(mean, actor.log_std, features)
    torch.testing.assert_close(
        workspace.get("action_logprobs", 0),
        distribution.log_prob(workspace.get("action", 0)),
        rtol=1e-6,
        atol=1e-9,
    )


@pytest.mark.parametrize("hold_noise", [False, True])
def test_what_is_drawn_has_the_mean_and_the_deviation_it_says(hold_noise):
    """Held or not: z E with E_ij of deviation S_ij has the variance z^2 S^2."""
    actor, one = new_actor(), torch.randn(1, OBS)
    workspace = workspace_with(one.expand(20_000, OBS))
    actor(workspace, t=0, hold_noise=hold_noise)
    features = actor.body(one)
    mean = actor.mean(features).clamp(-2, 2)
    std = (features.square() @ actor.log_std.exp().square() + 1e-6).sqrt()
    u = workspace.get("action", 0).double().atanh()
    torch.testing.assert_close(u.mean(0), mean[0].double(), atol=0.03, rtol=0)
    torch.testing.assert_close(u.std(0), std[0].double(), rtol=0.03, atol=0)
    density = (Normal(mean, std).log_prob(u) - (1 - u.tanh() ** 2).log()).sum(-1)
    torch.testing.assert_close(workspace.get("action_logprobs", 0).double(), density, rtol=1e-3, atol=1e-3)


def test_means_end_at_two():
    actor = new_actor()
    with torch.no_grad():
        actor.mean.bias.copy_(torch.tensor([50.0, -50.0]))
    action = chosen(actor, torch.randn(B, OBS), stochastic=False)
    torch.testing.assert_close(action, torch.tensor([2.0, -2.0]).tanh().expand(B, A))


def test_gradients_reach_every_parameter():
    actor, workspace = new_actor(), workspace_with(torch.randn(B, OBS))
    actor(workspace, t=0)
    (workspace.get("action", 0).sum() + workspace.get("action_logprobs", 0).sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in actor.parameters())


# ---- noise that is kept -------------------------------------------------------------------------------------------


def test_the_same_state_is_answered_by_the_same_action_until_noise_is_drawn_anew():
    actor, observation = new_actor(resample_interval=3), torch.randn(B, OBS)
    actions = [chosen(actor, observation, t, hold_noise=True) for t in range(7)]
    same = [torch.equal(*pair) for pair in pairwise(actions)]
    assert same == [True, True, False, True, True, False]
    # Each environment has noise of its own, and whoever learns draws for each row.
    alike = observation[:1].expand(B, OBS)
    for kept in (True, False):
        assert len(chosen(actor, alike, 1, hold_noise=kept).unique(dim=0)) == B
    assert not torch.equal(chosen(actor, observation), chosen(actor, observation))


def test_noise_is_drawn_anew_for_those_environments_alone_whose_time_it_is():
    actor, observation = new_actor(resample_interval=4), torch.randn(B, OBS)
    before = chosen(actor, observation, 1, hold_noise=True)
    after = chosen(actor, observation, torch.tensor([2, 0, 3, 8, 5]), hold_noise=True)
    assert before.eq(after).all(-1).tolist() == [True, False, True, False, True]


def test_without_exploration_nothing_is_drawn():
    actor, state = new_actor(), torch.get_rng_state()
    first = chosen(actor, torch.ones(B, OBS), stochastic=False, hold_noise=True)
    assert torch.equal(first, chosen(actor, torch.ones(B, OBS), 8, stochastic=False, hold_noise=True))
    assert torch.equal(state, torch.get_rng_state())


def test_another_number_of_environments_begins_with_noise_of_its_own():
    actor = new_actor()
    assert chosen(actor, torch.randn(B, OBS), 1, hold_noise=True).shape == (B, A)
    assert chosen(actor, torch.randn(2, OBS), 1, hold_noise=True).shape == (2, A)


def test_it_can_be_saved(tmp_path):
    actor = KWAgentWrapper(new_actor(resample_interval=5), log_prob=False, hold_noise=True)
    save_policy(actor, tmp_path)
    loaded = load_policy(tmp_path)
    observation = torch.randn(B, OBS)
    assert loaded.wrapped.resample_interval == 5
    assert torch.equal(
        chosen(loaded.wrapped, observation, stochastic=False), chosen(actor.wrapped, observation, stochastic=False)
    )


# ---- runs ---------------------------------------------------------------------------------------------------------


def a_run(path, algorithm=SAC, collectors=None, **options):
    return algorithm({
        "gym_env": {"env_name": "Pendulum-v1"},
        "algorithm": {
            "total_steps": 480, "n_envs": 2, "n_steps": 4, "nb_evals": 1, "eval_interval": 200,
            "checkpoint_interval": 160, "final_episodes": 0, "learning_starts": 60, "random_steps": 60,
            "updates_per_collect": 2, "batch_size": 16,
            "architecture": {"actor_hidden_size": [8], "critic_hidden_size": [8]},
            "state_dependent_exploration": {"resample_interval": 6},
        } | options,
        "logger": {"log_interval": 80, "save_tensorboard": False},
        "collectors": collectors, "record_best": False, "compile": False, "base_dir": str(path),
    })  # fmt: skip


@pytest.mark.parametrize("algorithm", [SAC, TQC, CrossQ])
def test_algorithms_explore_by_it(algorithm, tmp_path):
    run = a_run(tmp_path, algorithm)
    deviations = run.actor.log_std.detach().clone()
    assert deviations.eq(-3).all()
    run.train(progress=False)
    assert isinstance(run.actor, StateDependentExplorationActor) and not torch.equal(run.actor.log_std, deviations)
    assert type(a_run(tmp_path / "other", algorithm, state_dependent_exploration=None).actor) is SquashedGaussianActor


def test_a_resumed_run_and_one_with_collectors_elsewhere_end_as_the_whole_one(tmp_path):
    collectors = {"n": 2, "where": "process"}
    a_run(tmp_path / "whole", collectors=collectors).train(progress=False)
    train_until(a_run(tmp_path / "stopped", collectors=collectors), 60)
    assert outcome(tmp_path / "stopped") != outcome(tmp_path / "whole")
    SAC.restore(tmp_path / "stopped", ["collectors.where=local"]).train(progress=False)
    assert outcome(tmp_path / "stopped") == outcome(tmp_path / "whole")
    a_run(tmp_path / "other", collectors=collectors, state_dependent_exploration={"resample_interval": 7}).train(
        progress=False
    )
    assert outcome(tmp_path / "other") != outcome(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_sde": True}, "use_sde.*algorithm.state_dependent_exploration"),
        ({"sde_sample_freq": 4}, "sde_sample_freq.*algorithm.state_dependent_exploration.resample_interval"),
        ({"state_dependent_exploration": {"resample_interval": 0}}, "resample_interval: at least 1"),
    ],
)
def test_what_cannot_be_is_refused(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        a_run(tmp_path, **options)
