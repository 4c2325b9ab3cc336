"""SAC's numbers, against stable-baselines3 and by hand."""

import copy

import pytest
import torch
from stable_baselines3 import SAC as SB3SAC
from torch.nn import functional

from tests.toys import ACT, OBS, ContinuousSpacesEnv
from workspace_rl import Agents, StackAgent, Workspace, minimise, n_step_transitions
from workspace_rl.agents import ContinuousQAgent, LearnedEntropyCoefficient, SquashedGaussianActor
from workspace_rl.algos import SAC
from workspace_rl.algos.sac import actor_loss, critic_loss, entropy_coef_loss
from workspace_rl.errors import UnsupportedSpaceError


@pytest.fixture
def sb3(double, monkeypatch):
    """stable-baselines3's SAC in float64, without the epsilon that it adds inside the logarithm."""
    monkeypatch.setattr("stable_baselines3.common.policies.preprocess_obs", lambda obs, *args, **kwargs: obs)
    model = SB3SAC(
        "MlpPolicy", ContinuousSpacesEnv(), policy_kwargs={"net_arch": [16, 12]}, gamma=0.9, ent_coef="auto_0.3"
    )
    model.policy.double()
    model.actor.action_dist.epsilon = 0.0
    with torch.no_grad():  # move the target critics away from the critics
        for parameter in model.critic_target.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.fixture
def ours(sb3):
    """Our agents with stable-baselines3's weights."""
    actor = SquashedGaussianActor(OBS, [16, 12], ACT)
    actor.body.load_state_dict(sb3.actor.latent_pi.state_dict())
    actor.mean.load_state_dict(sb3.actor.mu.state_dict())
    actor.log_std.load_state_dict(sb3.actor.log_std.state_dict())
    critics = []
    for source, prefix in ((sb3.critic, "critic/"), (sb3.critic_target, "target-critic/")):
        critic = ContinuousQAgent(OBS, [16, 12], ACT).with_prefix(prefix)
        nets = [[layer for layer in net if isinstance(layer, torch.nn.Linear)] for net in source.q_networks]
        with torch.no_grad():
            critic.model.first.weight.copy_(torch.cat([net[0].weight for net in nets]))
            critic.model.first.bias.copy_(torch.cat([net[0].bias for net in nets]))
            for member, net in enumerate(nets):
                critic.model.middle[0][member].load_state_dict(net[1].state_dict())
                critic.model.last_weight[member] = net[2].weight[0]
                critic.model.last_bias[member] = net[2].bias[0]
        critics.append(critic)
    return actor, *critics


def close(ours, theirs):
    return torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_log_probabilities_targets_and_losses_equal_stable_baselines3(sb3, ours, batch):
    actor, critic, target_critic = ours

    # theirs, as in stable_baselines3/sac/sac.py
    observation, next_observation = batch["env/env_obs"]
    alpha = torch.exp(sb3.log_ent_coef.detach()).double()
    torch.manual_seed(7)
    with torch.no_grad():
        next_action, next_log_prob = sb3.actor.action_log_prob(next_observation)
        next_q = torch.cat(sb3.critic_target(next_observation, next_action), dim=1).min(dim=1, keepdim=True)[0]
        not_done = 1 - batch["env/terminated"][1].double().unsqueeze(-1)
        target = batch["env/reward"][1].unsqueeze(-1) + not_done * 0.9 * (next_q - alpha * next_log_prob.reshape(-1, 1))
    current = sb3.critic(observation, batch["action"][0])
    their_critic_loss = 0.5 * sum(functional.mse_loss(q, target) for q in current)
    torch.manual_seed(8)
    action, log_prob = sb3.actor.action_log_prob(observation)
    their_actor_loss = (
        alpha * log_prob.reshape(-1, 1) - torch.cat(sb3.critic(observation, action), dim=1).min(1, keepdim=True)[0]
    ).mean()

    # ours
    transitions = n_step_transitions(batch, 0.9)
    workspace = Workspace(transitions)
    torch.manual_seed(7)
    with torch.no_grad():
        actor(workspace, t=1)
        target_critic(workspace, t=1)
    critic(workspace, t=0)
    close(workspace.get("action", 1), next_action)
    close(workspace.get("action_logprobs", 1), next_log_prob)
    our_critic_loss = critic_loss(workspace, alpha)
    # SB3 halves the critics' squared errors.
    close(our_critic_loss, 2 * their_critic_loss)
    workspace = Workspace(transitions)
    torch.manual_seed(8)
    actor(workspace, t=0)
    critic(workspace, t=0)
    close(workspace.get("action_logprobs", 0), log_prob)
    close(actor_loss(workspace, alpha), their_actor_loss)

    # and their gradients
    for ours_loss, theirs_loss, ours_parameter, theirs_parameter in (
        (our_critic_loss, 2 * their_critic_loss, critic.model.last_bias, None),
        (actor_loss(workspace, alpha), their_actor_loss, actor.mean.weight, sb3.actor.mu.weight),
    ):
        (gradient,) = torch.autograd.grad(ours_loss, ours_parameter, retain_graph=True)
        if theirs_parameter is None:
            biases = [net[-1].bias for net in sb3.critic.q_networks]
            expected = torch.cat(torch.autograd.grad(theirs_loss, biases, retain_graph=True))
        else:
            (expected,) = torch.autograd.grad(theirs_loss, theirs_parameter, retain_graph=True)
        close(gradient, expected)

    # The coefficient is learned with exp(log_alpha), as in the paper; SB3 uses log_alpha, so that its gradient lacks
    # the factor alpha.
    coefficient = LearnedEntropyCoefficient(0.3, -ACT)
    (gradient,) = torch.autograd.grad(
        entropy_coef_loss(workspace, coefficient(), -ACT), coefficient.log_alpha, retain_graph=True
    )
    theirs = -(sb3.log_ent_coef * (log_prob + sb3.target_entropy).detach()).mean()
    (expected,) = torch.autograd.grad(theirs, sb3.log_ent_coef)
    close(gradient, 0.3 * expected.squeeze().double())


def test_truncation_bootstraps_and_termination_does_not(double):
    workspace = Workspace()
    workspace.set_full("env/reward", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    workspace.set_full("env/terminated", torch.tensor([[False, False], [True, False]]))
    workspace.set_full("env/done", torch.tensor([[False, False], [True, True]]))
    transitions = n_step_transitions(workspace, 0.5)
    transitions.set("target-critic/q_values", 1, torch.tensor([[10.0, 20.0], [10.0, 20.0]]))
    transitions.set("action_logprobs", 1, torch.tensor([4.0, 4.0]))
    transitions.set("critic/q_values", 0, torch.zeros(2, 2))
    # targets: 1, and 1 + 0.5 (10 - 0.25 * 4) = 5.5; two critics at 0
    assert critic_loss(transitions, torch.tensor(0.25)).item() == pytest.approx(2 * (1 + 5.5**2) / 2)


def test_two_separate_critics_work_as_well(batch):
    class Single(ContinuousQAgent):
        def forward(self, t, **kwargs):
            super().forward(t)
            self.set((f"{self.prefix}q_value", t), self.get((f"{self.prefix}q_values", t)).squeeze(-1))

    ensemble = ContinuousQAgent(OBS, [8], ACT)
    singles = [Single(OBS, [8], ACT, n_critics=1).with_prefix(f"critic-{k}/") for k in (1, 2)]
    with torch.no_grad():
        for k, single in enumerate(singles):
            single.model.first.weight.copy_(ensemble.model.first.weight[8 * k : 8 * k + 8])
            single.model.first.bias.copy_(ensemble.model.first.bias[8 * k : 8 * k + 8])
            single.model.last_weight.copy_(ensemble.model.last_weight[k : k + 1])
            single.model.last_bias.copy_(ensemble.model.last_bias[k : k + 1])
    one, two = Workspace(batch), Workspace(batch)
    ensemble(one, t=0)
    Agents(*singles, StackAgent(["critic-1/q_value", "critic-2/q_value"], "critic/q_values"))(two, t=0)
    torch.testing.assert_close(one.get("critic/q_values", 0), two.get("critic/q_values", 0))


def test_the_actors_step_leaves_the_critics_alone(tiny_sac):
    sac = SAC(tiny_sac)
    before = copy.deepcopy(sac.critic.state_dict())
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.randn(4, 3))
    sac.actor(workspace, t=0)
    sac.critic(workspace, t=0)
    minimise(actor_loss(workspace, torch.tensor(0.1)), sac.actor_optimizer)
    assert all(parameter.grad is None for parameter in sac.critic.parameters())
    assert all(torch.equal(value, sac.critic.state_dict()[name]) for name, value in before.items())


def test_it_learns_the_optimum_of_a_one_step_problem(one_step_problem):
    one_step_problem["algorithm"] |= {"entropy_mode": "fixed", "init_entropy_coef": 0.01}
    assert SAC(one_step_problem).train(progress=False).final.mean > -0.01


def test_discrete_actions_are_refused(tiny_sac):
    tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
    with pytest.raises(UnsupportedSpaceError, match="SAC needs continuous actions, but 'CartPole-v1' has Discrete"):
        SAC(tiny_sac)
