import numpy as np
import pytest
import torch

from tests.toys import ConstantAgent, CountingEnv, SummingAgent
from workspace_rl import Agent, GymAgent
from workspace_rl.algos import DQN, SAC, SACDiscrete
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.errors import CompositionError, ConfigError, UnknownVariableError, VariableMismatchError
from workspace_rl.plots import episode_values, save_figure, value_plot


class Writes(Agent):
    """Writes a function of observation (`[B, 1]`) and action."""

    def __init__(self, function, variable="q"):
        super().__init__()
        self.function, self.variable = function, variable

    def forward(self, t, **kwargs):
        action = self.get(("action", t)) if self.variable == "q" else None
        self.set((self.variable, t), self.function(self.get(("env/env_obs", t)), action))


def env(**options):
    return GymAgent(lambda: CountingEnv(**options), 1, auto_reset=False)


def test_returns_are_discounted_sums_of_the_rewards_that_follow():
    values = episode_values(
        env(), ConstantAgent(), Writes(lambda o, a: 10 * o), value_variable="q", discount_factor=0.5
    )
    assert values.returns.tolist() == [1 + 0.5 * 2 + 0.25 * 3, 2 + 0.5 * 3, 3]
    assert values.q_values.tolist() == [0, 10, 20] and values.bootstrapped is None
    assert values.bias == pytest.approx(np.mean([0 - 2.75, 10 - 3.5, 20 - 3]))


def test_a_truncated_episode_goes_on_with_the_critics_last_value():
    critic = Writes(lambda o, a: 10 * o)
    values = episode_values(env(ending="truncated"), ConstantAgent(), critic, value_variable="q", discount_factor=0.5)
    assert values.returns.tolist() == [2.75, 3.5, 3]
    assert values.bootstrapped.tolist() == [2.75 + 30 / 8, 3.5 + 30 / 4, 3 + 30 / 2]


def test_critics_of_continuous_actions_are_asked_for_the_least_value_of_the_policys_action():
    critic = Writes(lambda o, a: torch.cat((a * 4, a * 2 + 7), 1))
    values = episode_values(env(), ConstantAgent(0.5), critic, value_variable="q", discount_factor=1)
    assert values.q_values.tolist() == [2, 2, 2]


def test_critics_of_discrete_actions_are_asked_for_that_of_the_policys_action():
    policy = Writes(lambda o, a: torch.ones(1, dtype=torch.long), "action")
    critic = Writes(lambda o, a: torch.tensor([[9.0, 5.0, 7.0]]))
    cartpole = GymAgent("CartPole-v1", 1, auto_reset=False)
    values = episode_values(cartpole, policy, critic, value_variable="q", discount_factor=1, seed=2)
    assert set(values.q_values) == {5} and values.returns.tolist() == list(range(len(values.returns), 0, -1))
    several = Writes(lambda o, a: torch.tensor([[[9.0, 8.0], [5.0, 4.0], [7.0, 3.0]]]))
    values = episode_values(cartpole, policy, several, value_variable="q", discount_factor=1, seed=2)
    assert set(values.q_values) == {4}
    with pytest.raises(VariableMismatchError, match=r"actions 0 to 0, not of \[1\]"):
        episode_values(cartpole, policy, Writes(lambda o, a: torch.ones(1, 1)), value_variable="q", discount_factor=1)


def test_agents_of_algorithms_can_be_judged_and_drawn(tiny_sac, tmp_path):
    sac = SAC(tiny_sac)
    pendulum = make_env_agent(sac.config.gym_env, 1, auto_reset=False)
    found = [
        episode_values(pendulum, sac.eval_policy, sac.critic, value_variable="critic/q_values", discount_factor=0.99)
        for _ in range(2)
    ]
    assert len(found[0].returns) == 200 and found[0].bootstrapped is not None
    assert (found[0].q_values == found[1].q_values).all()  # the same seed, the same episode
    assert sac.critic.training
    save_figure(value_plot(found[0], title="$x"), tmp_path / "values.png")
    dqn = DQN({"gym_env": {"env_name": "CartPole-v1"}, "algorithm": {"total_steps": 100, "learning_starts": 1}})
    cartpole = make_env_agent(dqn.config.gym_env, 1, auto_reset=False)
    values = episode_values(cartpole, dqn.eval_policy, value_variable="q/q_values", discount_factor=0.99)
    (axes,) = value_plot(values).axes
    discrete = SACDiscrete(
        {"gym_env": {"env_name": "CartPole-v1"}, "algorithm": {"total_steps": 100, "learning_starts": 1}}
    )
    judged = discrete.eval_policy, discrete.critic
    values = episode_values(cartpole, *judged, value_variable="critic/q_values", discount_factor=0.99)
    assert len(values.q_values) == len(values.returns)
    assert [line.get_label() for line in axes.get_lines()] == ["critic: Q(s, a)", "observed"]


def test_memory_goes_on_within_the_episode_that_is_judged():
    values = episode_values(
        env(length=4), SummingAgent(), Writes(lambda o, a: 100 * a), value_variable="q", discount_factor=1
    )
    assert values.q_values.tolist() == pytest.approx([0, 1, 3, 6])


def test_what_cannot_be_judged_is_told():
    critic = Writes(lambda o, a: o.view(1, 1, 1))
    several = GymAgent(lambda: CountingEnv(), 2, auto_reset=False)
    with pytest.raises(CompositionError, match="n_envs=1, auto_reset=False"):
        episode_values(several, ConstantAgent(), critic, value_variable="q", discount_factor=1)
    with pytest.raises(ConfigError, match="discount_factor: a number from 0 to 1 expected, 2 found"):
        episode_values(env(), ConstantAgent(), critic, value_variable="q", discount_factor=2)
    with pytest.raises(UnknownVariableError, match="neither policy nor critic wrote variable 'v'"):
        episode_values(env(), ConstantAgent(), critic, value_variable="v", discount_factor=1)
    with pytest.raises(VariableMismatchError, match=r"shape \[1, 1, 1\]; \[1\], \[1, N\], \[1, n_actions\] or"):
        episode_values(env(), ConstantAgent(), critic, value_variable="q", discount_factor=1)
