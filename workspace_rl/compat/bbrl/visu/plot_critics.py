"""`bbrl.visu.plot_critics`."""

import warnings
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from workspace_rl.agents import GreedyAgent
from workspace_rl.compat.bbrl.visu.common import describe, finish
from workspace_rl.composition import Agents
from workspace_rl.plots import critic_map, policy_map


def plot_critic(
    agent: Any,
    env: Any,
    best_reward: Any,
    directory: str,
    env_name: str | None = None,
    plot: bool = False,
    save_fig: bool = True,
    definition: int = 100,
    input_action: Any = None,
    var_name_obs: str = "env/env_obs",
    var_name_action: str = "action",
    var_name_value: str = "None",
    **kwargs: Any,
) -> None:
    """Draw a critic in `<directory>/<env>_critics/critic_<env>_<reward>.png`.

    With `is_q_function`, it is shown for `input_action`, by default 0 or the best one; "policy" draws the best one.
    """
    env_name, options = describe(env, env_name, definition, var_name_obs, var_name_action)
    is_q = getattr(agent, "is_q_function", input_action is not None)
    value = f"{agent.name}/{'q' if is_q else 'v'}_values" if var_name_value == "None" else var_name_value
    if not is_q and input_action is not None:
        warnings.warn("input_action is ignored: by its is_q_function, the critic judges no actions.", stacklevel=2)
        input_action = None
    if is_q and isinstance(env.action_space, Box):
        if input_action is None:
            warnings.warn("input_action is not given: the values of action 0 are shown.", stacklevel=2)
            input_action = np.clip(0, env.action_space.low, env.action_space.high)
        input_action = np.ravel(input_action)
    options |= {"title": f"{env_name} critic", **kwargs}
    if isinstance(input_action, str):  # "policy"
        policy = Agents(agent, GreedyAgent(value, var_name_action))
        figure = policy_map(policy, n_actions=env.action_space.n, **options)
    else:
        figure = critic_map(agent, value_variable=value, action=input_action, **options)
    finish(figure, save_fig, plot, f"{directory}/{env_name}_critics/critic_{env_name}_{best_reward}.png")


plot_discrete_q = plot_critic  # whose picture depends on the action space
