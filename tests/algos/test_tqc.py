"""TQC's numbers, against sb3-contrib and by hand."""

import copy

import gymnasium as gym
import numpy as np
import pytest
import torch
from sb3_contrib import TQC as TheirTQC
from sb3_contrib.common.utils import quantile_huber_loss as their_loss
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from tests.toys import ACT, BATCH, ContinuousSpacesEnv
from workspace_rl import Workspace, n_step_transitions
from workspace_rl.algos import TQC
from workspace_rl.algos.tqc import critic_loss, kept_quantiles
from workspace_rl.config.schema import resolve_config
from workspace_rl.errors import ConfigError
from workspace_rl.learning import quantile_huber_loss

M, DROPPED, RATE = 5, 2, 3e-4
ADAM = {"classname": "torch.optim.Adam", "lr": RATE}


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


# ---- against sb3-contrib ------------------------------------------------------------------------------------------


@pytest.fixture
def theirs(double, batch, monkeypatch):
    """sb3-contrib's TQC in float64 with one batch, without the epsilon that it adds inside the logarithm."""
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    networks = {"net_arch": [16, 12], "n_quantiles": M, "n_critics": 3}
    model = TheirTQC(
        "MlpPolicy",
        ContinuousSpacesEnv(),
        learning_rate=RATE,
        policy_kwargs=networks,
        top_quantiles_to_drop_per_net=DROPPED,
        gamma=0.9,
        tau=0.01,
        ent_coef="auto_0.3",
        device="cpu",
    )
    model.policy.double()
    model.actor.action_dist.epsilon = 0.0
    model.set_logger(Logger(None, []))
    samples = ReplayBufferSamples(
        observations=batch["env/env_obs"][0],
        actions=batch["action"][0],
        next_observations=batch["env/env_obs"][1],
        dones=batch["env/terminated"][1].double().unsqueeze(-1),
        rewards=batch["env/reward"][1].unsqueeze(-1),
    )
    monkeypatch.setattr(model.replay_buffer, "sample", lambda *args, **kwargs: samples)
    with (
        torch.no_grad()
    ):  # values that are far enough apart for both parts of Huber's loss, and for targets of their own
        for parameter in model.critic.parameters():
            parameter.mul_(2)
        for parameter in model.critic_target.parameters():
            parameter.mul_(2).add_(0.2 * torch.randn_like(parameter))
    return model


def critic_tensors(critic):
    """Return the weights of their critics in the layout of `ContinuousQAgent`, by name."""
    nets = [[layer for layer in net if isinstance(layer, torch.nn.Linear)] for net in critic.q_networks]
    tensors = {
        "model.first.weight": torch.cat([net[0].weight for net in nets]),
        "model.first.bias": torch.cat([net[0].bias for net in nets]),
        "model.last_weight": torch.stack([net[2].weight for net in nets]),
        "model.last_bias": torch.stack([net[2].bias for net in nets]),
    }
    for member, net in enumerate(nets):
        tensors |= {f"model.middle.0.{member}.{name}": value for name, value in net[1].state_dict().items()}
    return tensors


def actor_tensors(actor):
    parts = {"body": actor.latent_pi, "mean": actor.mu, "log_std": actor.log_std}
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


@pytest.fixture
def ours(theirs, monkeypatch):
    """Our TQC with their weights."""
    monkeypatch.setitem(gym.registry, "Spaces-v0", gym.envs.registration.EnvSpec("Spaces-v0", ContinuousSpacesEnv))
    one = TQC(
        {
            "gym_env": {"env_name": "Spaces-v0"},
            "algorithm": {
                "n_envs": 1,
                "total_steps": 20_000,
                "discount_factor": 0.9,
                "tau_target": 0.01,
                "init_entropy_coef": 0.3,
                "n_critics": 3,
                "n_quantiles": M,
                "n_dropped_quantiles": DROPPED,
                "architecture": {"actor_hidden_size": [16, 12], "critic_hidden_size": [16, 12]},
            },
            "actor_optimizer": ADAM,
            "critic_optimizer": ADAM,
            "entropy_coef_optimizer": ADAM,
        }
    )
    for part, tensors in parts(one, theirs):
        part.load_state_dict(tensors)
    return one


def parts(ours, theirs):
    return [
        (ours.actor, actor_tensors(theirs.actor)),
        (ours.critic, critic_tensors(theirs.critic)),
        (ours.target_critic, critic_tensors(theirs.critic_target)),
    ]


def test_targets_and_losses_equal_those_of_sb3_contrib(theirs, ours, batch):
    # theirs, as in sb3_contrib/tqc/tqc.py
    observation, next_observation = batch["env/env_obs"]
    alpha = torch.exp(theirs.log_ent_coef.detach()).double()
    torch.manual_seed(7)
    with torch.no_grad():
        next_action, next_log_prob = theirs.actor.action_log_prob(next_observation)
        kept = torch.sort(theirs.critic_target(next_observation, next_action).reshape(BATCH, -1))[0][:, : 3 * (M - 2)]
        not_done = 1 - batch["env/terminated"][1].double().unsqueeze(-1)
        target = batch["env/reward"][1].unsqueeze(-1) + not_done * 0.9 * (kept - alpha * next_log_prob.reshape(-1, 1))
    current = theirs.critic(observation, batch["action"][0])
    expected = their_loss(current, target.unsqueeze(1), sum_over_quantiles=False)
    sizes = (target.unsqueeze(1).unsqueeze(1) - current.unsqueeze(-1)).abs()
    assert 0.1 < (sizes < 1).double().mean() < 0.9

    transitions = n_step_transitions(batch, 0.9)
    torch.manual_seed(7)
    with torch.no_grad():
        ours.actor(transitions, t=1)
        ours.target_critic(transitions, t=1)
    ours.critic(transitions, t=0)
    close(kept_quantiles(transitions.get("target-critic/quantiles", 1), DROPPED).sort(-1).values, kept)
    found = critic_loss(transitions, alpha, DROPPED)
    close(found, expected)
    biases = [net[-1].bias for net in theirs.critic.q_networks]
    gradients = torch.autograd.grad(expected, biases)
    close(torch.autograd.grad(found, ours.critic.model.last_bias)[0], torch.stack(gradients))


def test_a_whole_update_equals_that_of_sb3_contrib(theirs, ours, batch, monkeypatch):
    now, later = torch.randn(BATCH, ACT), torch.randn(BATCH, ACT)
    their_noise, our_noise = iter([now, later]), iter([later, now])  # ours judges the next step first
    monkeypatch.setattr("torch.distributions.normal._standard_normal", lambda *args, **kwargs: next(their_noise))
    monkeypatch.setattr(torch, "randn_like", lambda *args, **kwargs: next(our_noise))
    theirs.train(gradient_steps=1, batch_size=BATCH)
    metrics, logged = ours.learn(batch), theirs.logger.name_to_value
    for name in ("critic", "actor"):
        assert metrics[f"loss/{name}"].item() == pytest.approx(logged[f"train/{name}_loss"], rel=1e-6)
    assert metrics["entropy/coefficient"].item() == pytest.approx(logged["train/ent_coef"], rel=1e-6)
    for part, tensors in parts(ours, theirs):
        for name, expected in tensors.items():
            close(part.state_dict()[name], expected.detach())
    # Theirs is learned by its logarithm: the gradient lacks the factor alpha, which Adam takes out at the first step.
    close(ours.entropy_coef.log_alpha.detach(), theirs.log_ent_coef.detach().double().squeeze())


# ---- by hand ------------------------------------------------------------------------------------------------------


def test_the_loss_of_two_quantiles(double):
    # tau = 1/4, 3/4; errors of the first: 0.5 and -3, of the second: 1.5 and -2.
    loss = quantile_huber_loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.5, -2.0]]))
    first = (0.25 * 0.125 + 0.75 * 2.5) / 2
    second = (0.75 * 1.0 + 0.25 * 1.5) / 2
    close(loss, torch.tensor([[first, second]]))


@pytest.mark.parametrize("shapes", [((7,), (1,)), ((4, 3), (4, 1)), ((2, 5, 3), (2, 1, 1))])
def test_the_loss_and_its_gradient_are_those_of_all_pairs(shapes, double):
    """Also where errors are 0, 1 and -1, where the parts of Huber's loss meet."""
    torch.manual_seed(0)
    leading, of_targets = shapes
    quantiles = torch.randint(-6, 7, (*leading, 6)) / 2
    targets = torch.randint(-6, 7, (*of_targets, 9)) / 2
    quantiles.requires_grad_()
    levels = (torch.arange(6) + 0.5) / 6
    errors = targets.unsqueeze(-2) - quantiles.unsqueeze(-1)
    huber = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), reduction="none")
    expected = ((levels.unsqueeze(-1) - (errors < 0).double()).abs() * huber).mean(-1)
    loss = quantile_huber_loss(quantiles, targets)
    close(loss, expected)
    close(*(torch.autograd.grad(one.sum(), quantiles)[0] for one in (loss, expected)))


def test_the_quantiles_of_a_sample_are_where_the_loss_is_least(double):
    sample = torch.randn(4000) * 30  # Huber's loss moves quantiles by less than 1
    quantiles = torch.zeros(1, 4, requires_grad=True)
    optimizer = torch.optim.Adam([quantiles], lr=1.0)
    for _ in range(300):
        optimizer.zero_grad()
        quantile_huber_loss(quantiles, sample.unsqueeze(0)).sum().backward()
        optimizer.step()
    expected = torch.quantile(sample, torch.tensor([1, 3, 5, 7]) / 8)
    torch.testing.assert_close(quantiles[0].detach(), expected, rtol=0, atol=1.5)


def test_the_greatest_of_all_critics_are_dropped():
    # One critic sees twice as much as the other: three of the four that go are its own.
    next_quantiles = torch.tensor([[[1.0, 4.0, 3.0], [8.0, 2.0, 6.0]], [[1.0, 1.0, 1.0], [9.0, 8.0, 7.0]]])
    assert kept_quantiles(next_quantiles, 0).sort(-1).values.tolist() == [[1, 2, 3, 4, 6, 8], [1, 1, 1, 7, 8, 9]]
    assert kept_quantiles(next_quantiles, 1).sort(-1).values.tolist() == [[1, 2, 3, 4], [1, 1, 1, 7]]
    assert kept_quantiles(next_quantiles, 2).sort(-1).values.tolist() == [[1, 2], [1, 1]]


def transitions_of(rewards, terminated, done, discount=0.5):
    """Return transitions whose critics say 0, and whose targets' critics say 10, 20, 30 and 40."""
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor(rewards))
    workspace.set_full("env/terminated", torch.tensor(terminated))
    workspace.set_full("env/done", torch.tensor(done))
    transitions = n_step_transitions(workspace, discount)
    n = len(rewards[0])
    transitions.set("target-critic/quantiles", 1, torch.tensor([[[10.0, 40.0], [30.0, 20.0]]]).expand(n, -1, -1))
    transitions.set("critic/quantiles", 0, torch.zeros(n, 2, 2))
    transitions.set("action_logprobs", 1, torch.full((n,), 4.0))
    return transitions


def test_truncation_bootstraps_and_termination_does_not(double):
    workspace = transitions_of(
        [[0.0, 0.0], [1.0, 1.0]], terminated=[[False, False], [True, False]], done=[[False, False], [True, True]]
    )
    # The first one's targets are 1; the other's 1 + 0.5 (10 - 1) = 5.5 and 1 + 0.5 (20 - 1) = 10.5. Of errors y > 0 the
    # loss is tau (y - 0.5), and the mean of tau 0.5.
    expected = 0.5 * (0.5 + (5.0 + 10.0) / 2) / 2
    assert critic_loss(workspace, torch.tensor(0.25), 1).item() == pytest.approx(expected)


def test_rewards_of_several_steps_are_summed(double):
    # Rewards 1, 2, 4 with discount 1/2 are 3, and then follows an eighth of 10 - 1, and of 20 - 1.
    workspace = transitions_of([[0.0], [1.0], [2.0], [4.0]], terminated=[[False]] * 4, done=[[False]] * 4)
    targets = [1 + 1 + 1 + 9 / 8, 1 + 1 + 1 + 19 / 8]
    expected = 0.5 * (sum(targets) / 2 - 0.5)
    assert critic_loss(workspace, torch.tensor(0.25), 1).item() == pytest.approx(expected)


def test_rows_of_weight_0_do_not_count(theirs, ours, batch):
    alpha, half = torch.tensor(0.3), BATCH // 2
    transitions = n_step_transitions(batch, 0.9)
    ours.actor(transitions, t=1)
    ours.target_critic(transitions, t=1)
    ours.critic(transitions, t=0)
    found = []
    for junk in (1.0, 1e3):
        workspace = Workspace(transitions)
        quantiles = workspace.get("critic/quantiles", 0)
        workspace.set("critic/quantiles", 0, torch.cat((quantiles[:half], quantiles[half:] * junk)))
        workspace.set("weight", 0, torch.cat((torch.ones(half), torch.zeros(BATCH - half))))
        found.append(critic_loss(workspace, alpha, DROPPED))
    first = Workspace()
    first.set("critic/quantiles", 0, transitions.get("critic/quantiles", 0)[:half])
    for name in ("target-critic/quantiles", "action_logprobs", "env/reward", "discount"):
        first.set(name, 1, transitions.get(name, 1)[:half])
    close(found[0], critic_loss(first, alpha, DROPPED))
    assert torch.equal(*found)


# ---- without target critics ---------------------------------------------------------------------------------------

UNFOLLOWED = {"target_critics": False, "policy_delay": 3}
RENORMALISED = {"actor_block": "batch_renorm", "critic_block": "batch_renorm"}


@pytest.fixture
def unfollowed(tiny_sac):
    """Parameters of a short run whose critics look at both ends of transitions in one pass, and have no targets."""
    tiny_sac["algorithm"] |= {"total_steps": 240, "eval_interval": 120, "checkpoint_interval": 100, "final_episodes": 1}
    tiny_sac["algorithm"] |= UNFOLLOWED
    tiny_sac["algorithm"]["architecture"] |= RENORMALISED
    return tiny_sac | {"torch_threads": 1, "matmul_precision": "highest"}


def test_without_target_critics_targets_come_from_the_critics_own_pass_over_both_ends(unfollowed, monkeypatch):
    """By hand: all 2 B rows are normalised together, and the actor's loss moves no statistics."""
    one, seen = TQC(unfollowed), []
    assert not hasattr(one, "target_critic")
    loss_of = one.critic_loss
    monkeypatch.setattr(one, "critic_loss", lambda *args: (seen.append((args, loss_of(*args))), seen[-1][1])[1])
    batch = Workspace()
    for name, shape in (("env/env_obs", (2, 16, 3)), ("action", (2, 16, 1)), ("env/reward", (2, 16))):
        batch.set_full(name, torch.randn(shape))
    batch.set_full("env/terminated", torch.rand(2, 16) < 0.3)
    untouched, learning = copy.deepcopy(one.critic), one.critic.model
    metrics = one.learn(batch)
    (((workspace, alpha), loss),) = seen
    with torch.no_grad():
        pairs = torch.cat([workspace.get_full("env/env_obs"), workspace.get_full("action")], -1).flatten(0, 1)
        quantiles = untouched.model(pairs).view(2, 16, 2, 25)
        z = quantiles[1].flatten(1).sort(-1).values[:, : 2 * 23] - alpha * workspace.get("action_logprobs", 1)[:, None]
        y = workspace.get("env/reward", 1)[:, None] + workspace.get("discount", 1)[:, None] * z
        by_hand = quantile_huber_loss(quantiles[0], y.unsqueeze(1)).mean()
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(metrics["loss/critic"], by_hand)
    counts = [int(value) for name, value in learning.named_buffers() if name.endswith("n_batches")]
    assert counts and set(counts) == {1}  # the actor's loss, too, has asked the critics


@pytest.mark.parametrize("collectors", [None, {"n": 2, "where": "process"}])
def test_a_run_without_target_critics_is_resumed_bit_for_bit(collectors, unfollowed, tmp_path):
    unfollowed["collectors"] = collectors
    whole, stopped = (TQC(copy.deepcopy(unfollowed) | {"base_dir": str(tmp_path / name)}) for name in ("one", "two"))
    whole.train(progress=False)
    train_until(stopped, 12)
    TQC.restore(tmp_path / "two").train(progress=False)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")


@pytest.mark.parametrize(
    ("parameters", "architecture", "message"),
    [
        ({}, {"critic_block": "batch_renorm"}, "critic_block: no batch_renorm expected with target critics.*=false"),
        ({}, {"actor_block": "batch_renorm"}, "actor_block: no batch_renorm expected with target critics"),
        (
            UNFOLLOWED,
            RENORMALISED | {"memory": {"kind": "gru"}},
            "memory.kind: none expected without target critics, gru found",
        ),
        (UNFOLLOWED, {}, "critic_block: batch_renorm expected without target critics, 'plain' found.*actor_block"),
        (UNFOLLOWED | {"batch_size": 1}, RENORMALISED, "batch_size: at least 2 expected with layers of batch_renorm"),
    ],
)
def test_what_does_not_go_with_target_critics_or_without_is_refused(parameters, architecture, message):
    config = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 99_000, **parameters}}
    config["algorithm"]["architecture"] = architecture
    with pytest.raises(ConfigError, match=message):
        resolve_config(TQC.config_class, config)


# ---- what does not fit, and what is learned -----------------------------------------------------------------------


def test_dropping_everything_is_refused():
    config = {"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 99_000, "n_quantiles": 3}}
    resolve_config(TQC.config_class, config)
    config["algorithm"]["n_dropped_quantiles"] = 3
    with pytest.raises(ConfigError, match="n_dropped_quantiles: less than algorithm.n_quantiles = 3 expected, 3 found"):
        resolve_config(TQC.config_class, config)


def test_a_run_is_resumed_bit_for_bit(tiny_sac, tmp_path):
    tiny_sac["algorithm"] |= {"total_steps": 240, "eval_interval": 120, "checkpoint_interval": 100, "final_episodes": 1}
    tiny_sac |= {"torch_threads": 1, "matmul_precision": "highest"}
    whole, stopped = (TQC(copy.deepcopy(tiny_sac) | {"base_dir": str(tmp_path / name)}) for name in ("one", "two"))
    whole.train(progress=False)
    train_until(stopped, 12)
    TQC.restore(tmp_path / "two").train(progress=False)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")


def test_it_learns_the_optimum_of_a_one_step_problem(one_step_problem):
    one_step_problem["algorithm"] |= {"entropy_mode": "fixed", "init_entropy_coef": 0.01, "n_quantiles": 5}
    result = TQC(copy.deepcopy(one_step_problem)).train(progress=False)
    assert result.final.mean > -0.01 and np.isfinite(result.final.mean)
