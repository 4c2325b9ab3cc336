"""`bbrl.visu.plot_policies`."""

from math import prod
from typing import Any

from workspace_rl.compat.bbrl.visu.common import describe, finish
from workspace_rl.plots import policy_map


def plot_policy(
    actor: Any,
    env: Any,
    best_reward: Any,
    directory: str,
    env_name: str | None = None,
    plot: bool = False,
    save_fig: bool = True,
    definition: int = 100,
    var_name_obs: str = "env/env_obs",
    var_name_action: str = "action",
    **kwargs: Any,
) -> None:
    """Draw each component of the action in `<directory>/<env>_policies/policy_<env>_dim_<component>_<reward>.png`."""
    env_name, options = describe(env, env_name, definition, var_name_obs, var_name_action)
    options |= {"n_actions": getattr(env.action_space, "n", None), **kwargs}
    for dim in range(prod(env.action_space.shape)):
        figure = policy_map(actor, action_index=dim, title=f"{env_name} Actor (action dim: {dim})", **options)
        file = f"{env_name}_policies/policy_{env_name}_dim_{dim}_{best_reward}.png"
        finish(figure, save_fig, plot, f"{directory}/{file}")
