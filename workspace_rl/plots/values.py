"""What a critic expects of an episode, beside what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import RandomState
from workspace_rl.composition import Agents
from workspace_rl.drawing.figures import new_figure
from workspace_rl.drawing.text import plain_text
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import CompositionError, ConfigError, UnknownVariableError, VariableMismatchError, did_you_mean
from workspace_rl.inspection.copies.twins import acting_copies
from workspace_rl.learning.modes import evaluation_mode
from workspace_rl.plots.curves import COLOURS, finish_axes
from workspace_rl.plots.running import as_numpy
from workspace_rl.workspace import Workspace

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class EpisodeValues:
    """An episode of T actions, as a critic saw it and as it went."""

    #: Q(s_t, a_t), `[T]`.
    q_values: np.ndarray
    #: r_t+1 + g r_t+2 + ... up to the episode's last reward, `[T]`.
    returns: np.ndarray
    #: The same with g^(T-t) Q(s_T, a_T) for what would have followed, `[T]`; None where the episode terminated.
    bootstrapped: np.ndarray | None

    @property
    def bias(self) -> float:
        """The mean of what the critic expects too much (where negative: too little)."""
        observed = self.returns if self.bootstrapped is None else self.bootstrapped
        return float(np.mean(self.q_values - observed))


def episode_values(
    env_agent: GymAgent,
    policy: Agent,
    critic: Agent | None = None,
    *,
    value_variable: str,
    discount_factor: float,
    seed: int = 0,
    action_variable: str = "action",
    **kwargs: Any,
) -> EpisodeValues:
    """Play one episode, and let a critic judge each of its actions.

        episode_values(env_agent, sac.eval_policy, sac.critic, value_variable="critic/q_values", discount_factor=0.99)
        episode_values(env_agent, dqn.eval_policy, value_variable="q/q_values", discount_factor=0.99)

    Of N critics that judge a continuous action together (`[B, N]`), or all discrete ones (`[B, n_actions, N]`), the
    least value counts, as TD3 and SAC use it; of the values of discrete actions (`[B, n_actions]`) that of the policy's
    action. The values of SAC contain the entropy of the actions to come, weighted by its coefficient, which no observed
    return does.

    Args:
        env_agent: one environment without auto-reset; it is played, while copies of policy and critic act.
        policy: writes `action_variable`, as the critic reads it.
        critic: runs after the policy; None where the policy writes `value_variable` itself, as DQN's.
        value_variable: where the values are written, `[1]`, `[1, N]`, `[1, n_actions]` or `[1, n_actions, N]`.
        discount_factor: g.
        seed: of the episode, and of the policy's random numbers if it uses any.
        action_variable: where the policy writes its actions.
        **kwargs: given to policy and critic.

    Raises:
        CompositionError: the environment resets itself, or there are several.
        ConfigError: `discount_factor` is not in [0, 1].
        UnknownVariableError: nobody writes `value_variable`.
        VariableMismatchError: what is written there is no value for each action.
    """
    if env_agent.auto_reset or env_agent.n_envs != 1:
        raise CompositionError(
            f"the values of one episode are shown: build {env_agent.description()} with n_envs=1, auto_reset=False."
        )
    if not 0 <= discount_factor <= 1:
        raise ConfigError(f"discount_factor: a number from 0 to 1 expected, {discount_factor} found.")
    judged = [policy, *([] if critic is None else [critic])]
    env_agent.seed_episodes([seed])
    workspace, t, done = Workspace(), 0, False
    values, rewards = [], []
    with RandomState(seed), torch.no_grad(), acting_copies(judged) as copies, evaluation_mode(*copies):
        agents = Agents(env_agent, *copies)
        while not done:
            agents(workspace, t=t, **kwargs)
            values.append(_value(workspace, t, value_variable, action_variable))
            rewards.append(float(workspace.get("env/reward", t)))
            done = bool(workspace.get("env/done", t).all())
            terminated = bool(workspace.get("env/terminated", t).all())
            # Images of a long episode would fill the memory: only the last step is needed.
            workspace, t = workspace.subtime(t), 1
    returns = _discounted(rewards[1:], discount_factor, 0.0)
    bootstrapped = None if terminated else _discounted(rewards[1:], discount_factor, values[-1])
    return EpisodeValues(np.array(values[:-1]), returns, bootstrapped)


def value_plot(values: EpisodeValues, *, title: str | None = None) -> Figure:
    """Draw the critic's values of an episode's actions and the discounted returns that were observed, over its steps.

    Where the episode was truncated, what it would still have brought is not in the observed return; the dashed line
    adds the critic's value of the last step to it.

    Returns:
        The figure, which does not belong to pyplot; see `save_figure` and `show_figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = new_figure(7.2, 4.2)
    axes = figure.add_subplot(ylabel="discounted return")
    steps = np.arange(len(values.returns))
    dot = "o" if len(steps) == 1 else None
    axes.plot(steps, values.q_values, color=COLOURS[0], marker=dot, linewidth=1.6, label="critic: Q(s, a)")
    axes.plot(steps, values.returns, color=COLOURS[1], marker=dot, linewidth=1.6, label="observed")
    if values.bootstrapped is not None:
        label = "observed, then the critic's value of the last step (truncated)"
        axes.plot(steps, values.bootstrapped, "--", color=COLOURS[1], marker=dot, linewidth=1.6, label=label)
    finish_axes(axes, "step of the episode")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    what = "overestimates" if values.bias > 0 else "underestimates"
    axes.set_title(f"on average the critic {what} by {abs(values.bias):.3g}", fontsize="small")
    figure.suptitle(plain_text(title or "Q-values of an episode against observed returns"))
    return figure


def _value(workspace: Workspace, t: int, value_variable: str, action_variable: str) -> float:
    if value_variable not in workspace:
        raise UnknownVariableError(
            f"neither policy nor critic wrote variable {value_variable!r}.{did_you_mean(value_variable, workspace)}"
        )
    value, action = workspace.get(value_variable, t), workspace.get(action_variable, t)
    if value.ndim not in ((1, 2) if action.is_floating_point() else (1, 2, 3)):
        raise VariableMismatchError(
            f"variable {value_variable!r} has the shape {list(value.shape)}; [1], [1, N], [1, n_actions] or "
            "[1, n_actions, N] expected."
        )
    if value.ndim == 3:  # of several critics
        value = value.amin(-1)
    if value.ndim == 1 or action.is_floating_point():
        return float(as_numpy(value.min()))
    return float(as_numpy(value[0, _index(action, value.shape[1], value_variable)]))


def _index(action: Tensor, n: int, value_variable: str) -> int:
    if action.numel() != 1 or not 0 <= int(action) < n:
        raise VariableMismatchError(
            f"variable {value_variable!r} has the values of actions 0 to {n - 1}, not of {action.tolist()}."
        )
    return int(action)


def _discounted(rewards: Sequence[float], discount_factor: float, last: float) -> np.ndarray:
    """Return the discounted sums (`[T]`) of the rewards from each of them on, and of `last` behind them."""
    sums = [last]
    for reward in reversed(rewards):
        sums.append(reward + discount_factor * sums[-1])
    return np.array(sums[:0:-1])
