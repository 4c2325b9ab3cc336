"""The numbers of SAC for discrete actions, by hand, and what it learns."""

import math

import pytest
import torch
from torch.distributions import Categorical

from tests.choices_env import ChoicesEnv
from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace, load_policy, n_step_transitions, policy_function
from workspace_rl.algos import SACDiscrete
from workspace_rl.algos.sac_discrete import DiscreteActor, actor_loss, critic_loss, entropy_coef_loss
from workspace_rl.errors import ActionError, UnsupportedSpaceError
from workspace_rl.inspection import check

KEY = {"action_mask": {"shape": [4], "dtype": "bool"}}
MASK = "env/info/action_mask"


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def config(tmp_path, env="CartPole-v1", env_args=None, **algorithm):
    """Return a configuration of a short run; `env` "masked" is one that allows some actions and not others."""
    masked = {"env_name": "tests.choices_env:Choices-v0", "env_args": {"masked": "info"} | (env_args or {})}
    algorithm = {
        "n_envs": 2, "n_steps": 4, "total_steps": 400, "learning_starts": 100, "random_steps": 40, "batch_size": 16,
        "nb_evals": 2, "eval_interval": 200, "final_episodes": 3, "checkpoint_interval": 120,
        "architecture": {"actor_hidden_size": [16], "critic_hidden_size": [16]},
    } | ({"action_mask": MASK} if env == "masked" else {}) | algorithm  # fmt: skip
    fast = {"classname": "torch.optim.Adam", "lr": 3e-3}
    return {
        "gym_env": masked | {"info_keys": KEY} if env == "masked" else {"env_name": env},
        "algorithm": algorithm,
        "base_dir": str(tmp_path / "run"),
        "compile": False,
        "record_best": False,
        "torch_threads": 1,
        "matmul_precision": "highest",
        **dict.fromkeys(("actor_optimizer", "critic_optimizer", "entropy_coef_optimizer"), fast),
    }


# ---- numbers ------------------------------------------------------------------------------------------------------


def transitions_of(rewards, terminated, done):
    """Return transitions of two actions: the copies say (10, 20) and (12, 14), of which (10, 14) are the least."""
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor(rewards))
    workspace.set_full("env/terminated", torch.tensor(terminated))
    workspace.set_full("env/done", torch.tensor(done))
    workspace.set_full("action", torch.ones_like(workspace["env/reward"], dtype=torch.int64))
    transitions = n_step_transitions(workspace, 0.5)
    n = len(rewards[0])
    transitions.set("target-critic/q_values", 1, torch.tensor([[[10.0, 12.0], [20.0, 14.0]]]).expand(n, -1, -1))
    transitions.set("critic/q_values", 0, torch.tensor([[[99.0, 99.0], [1.0, 2.0]]]).expand(n, -1, -1))
    for t in (0, 1):
        transitions.set("action_probs", t, torch.tensor([[0.25, 0.75]]).expand(n, -1))
        transitions.set("entropy", t, torch.full((n,), 0.5))
    return transitions


#: 0.25 * 10 + 0.75 * 14, and 0.2 * 0.5 for the entropy.
VALUE = 13.0 + 0.1


def test_truncation_bootstraps_and_termination_does_not(double):
    workspace = transitions_of(
        [[0.0, 0.0], [1.0, 1.0]], terminated=[[False, False], [True, False]], done=[[False, False], [True, True]]
    )
    targets = [1.0, 1 + 0.5 * VALUE]
    expected = sum((q_value - target) ** 2 for target in targets for q_value in (1, 2)) / 2
    assert critic_loss(workspace, torch.tensor(0.2)).item() == pytest.approx(expected)


def test_rewards_of_several_steps_are_summed(double):
    workspace = transitions_of([[0.0], [1.0], [2.0], [4.0]], terminated=[[False]] * 4, done=[[False]] * 4)
    target = 1 + 1 + 1 + VALUE / 8
    expected = (1 - target) ** 2 + (2 - target) ** 2
    assert critic_loss(workspace, torch.tensor(0.2)).item() == pytest.approx(expected)


def test_losses_of_actor_and_coefficient_are_those_of_the_paper(double):
    torch.manual_seed(1)
    logits, q_values, alpha = torch.randn(32, 5, requires_grad=True), torch.randn(32, 5, 2), torch.tensor(0.3)
    workspace = Workspace()
    distribution = Categorical(logits=logits)
    workspace.set("action_probs", 0, distribution.probs)
    workspace.set("entropy", 0, distribution.entropy())
    workspace.set("critic/q_values", 0, q_values)
    pi, log_pi, least = distribution.probs, distribution.probs.log(), q_values.min(-1).values
    expected = (pi * (alpha * log_pi - least)).sum(-1).mean()  # equation 12
    close(actor_loss(workspace, alpha), expected)
    close(*(torch.autograd.grad(one, logits, retain_graph=True)[0] for one in (actor_loss(workspace, alpha), expected)))
    target = 0.98 * math.log(5)
    expected = (pi * (-alpha * (log_pi + target))).sum(-1).mean()  # equation 11
    close(entropy_coef_loss(workspace, alpha, target), expected)


def test_rows_of_weight_0_do_not_count(double):
    rewards = [[0.0, 0.0], [1.0, 5.0]]
    whole = transitions_of(rewards, terminated=[[False] * 2] * 2, done=[[False] * 2] * 2)
    first = transitions_of([[0.0], [1.0]], terminated=[[False]] * 2, done=[[False]] * 2)
    whole.set("weight", 0, torch.tensor([1.0, 0.0]))
    alpha = torch.tensor(0.2)
    close(critic_loss(whole, alpha), critic_loss(first, alpha))
    for loss in (actor_loss, lambda *arguments: entropy_coef_loss(*arguments, torch.tensor(0.1))):
        for one in (whole, first):
            one.set("critic/q_values", 0, torch.zeros(len(one.get("entropy", 0)), 2, 2))
        whole.set("entropy", 0, torch.tensor([0.5, 7.0]))
        close(loss(whole, alpha), loss(first, alpha))


def test_the_actor_tells_probabilities_and_entropies_and_acts_as_before():
    actor, workspace = DiscreteActor(3, [8], 4, mask_variable="mask"), Workspace()
    with torch.no_grad():
        actor.head.weight.mul_(100)
    mask = torch.tensor([[True] * 4, [True, False, True, False], [False, True, False, False], [False] * 4])
    workspace.set("env/env_obs", 0, torch.randn(4, 3))
    workspace.set("mask", 0, mask)
    actor(workspace, t=0, of_all=True)
    assert "action" not in workspace
    probabilities, entropy = workspace.get("action_probs", 0), workspace.get("entropy", 0)
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4))
    assert (probabilities[:3][~mask[:3]] == 0).all() and entropy[2] == 0
    torch.testing.assert_close(entropy, Categorical(probabilities).entropy(), rtol=1e-4, atol=1e-6)
    # What is not allowed leaves no trace in the loss, whatever the coefficient is.
    workspace.set("critic/q_values", 0, torch.randn(4, 4, 2))
    loss = actor_loss(workspace, torch.tensor(1e6))
    gradients = torch.autograd.grad(loss, list(actor.parameters()))
    assert torch.isfinite(loss) and all(torch.isfinite(one).all() for one in gradients)
    workspace.set("mask", 0, torch.ones(4, 4, dtype=torch.bool))
    actor(workspace, t=0, stochastic=False)
    assert workspace.get("action", 0).shape == (4,)


def test_targets_are_copies_that_follow(tmp_path):
    one = SACDiscrete(config(tmp_path, tau_target=0.25))
    for copied, online in zip(one.target_critic.parameters(), one.critic.parameters(), strict=True):
        assert torch.equal(copied, online) and not copied.requires_grad
    before = [copied.clone() for copied in one.target_critic.parameters()]
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, 16, 4))
    batch.set_full("action", torch.randint(2, (2, 16)))
    batch.set_full("env/reward", torch.randn(2, 16))
    batch.set_full("env/terminated", torch.zeros(2, 16, dtype=torch.bool))
    metrics = one.learn(batch)
    for old, copied, online in zip(before, one.target_critic.parameters(), one.critic.parameters(), strict=True):
        assert not torch.equal(old, online)
        torch.testing.assert_close(copied, old + 0.25 * (online - old))
    assert metrics["entropy/policy"] == pytest.approx(math.log(2), rel=1e-2)


# ---- masks, runs --------------------------------------------------------------------------------------------------


def test_it_learns_without_ever_taking_what_is_not_allowed(tmp_path):
    given = config(
        tmp_path, "masked", total_steps=1600, updates_per_collect=4, batch_size=64, discount_factor=0.5,
        init_entropy_coef=0.1, nb_evals=4, eval_interval=800, final_episodes=20, tau_target=0.05,
    )  # fmt: skip
    algorithm = SACDiscrete(given)
    assert not check(algorithm) and MASK in algorithm.stored_variables
    assert algorithm.train(progress=False).final.mean > 2.5
    act, env = policy_function(load_policy(tmp_path / "run")), ChoicesEnv(masked="info")
    observation, info = env.reset(seed=0)
    for _ in range(3):
        observation, *_, info = env.step(act(observation, info))


def test_the_entropy_is_a_part_of_what_it_is_at_most(tmp_path):
    one, masked = SACDiscrete(config(tmp_path, target_entropy_part=0.5)), SACDiscrete(config(tmp_path / "m", "masked"))
    assert one.target_entropy(Workspace()) == pytest.approx(0.5 * math.log(2))
    workspace = Workspace()
    workspace.set(MASK, 0, torch.tensor([[True] * 4, [True, True, False, False], [False, True, False, False]]))
    expected = 0.3 * torch.tensor([4.0, 2.0, 1.0]).log()
    torch.testing.assert_close(masked.target_entropy(workspace), expected)


def test_where_nothing_is_allowed_the_run_stops(tmp_path):
    with pytest.raises(ActionError, match="allows no action"):
        SACDiscrete(config(tmp_path, "masked", {"none_at": 1})).train(progress=False)


def test_a_run_is_resumed_bit_for_bit(tmp_path):
    whole, stopped = (SACDiscrete(config(tmp_path / name, "masked", total_steps=240)) for name in ("one", "two"))
    whole.train(progress=False)
    train_until(stopped, 12)
    SACDiscrete.restore(tmp_path / "two" / "run").train(progress=False)
    assert outcome(tmp_path / "one" / "run") == outcome(tmp_path / "two" / "run")


def test_continuous_actions_are_refused(tmp_path):
    with pytest.raises(UnsupportedSpaceError, match="SACDiscrete needs discrete actions.*SAC, TD3 and DDPG"):
        SACDiscrete(config(tmp_path, "Pendulum-v1"))
