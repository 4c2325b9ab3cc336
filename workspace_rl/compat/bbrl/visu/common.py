"""`bbrl.visu.common`."""

from typing import Any

from gymnasium.spaces import flatdim

from workspace_rl import plots


def final_show(
    save_figure: bool, plot: bool, directory: str, figure_name: str, x_label: str, y_label: str, title: str
) -> None:
    """Label, save, show and close pyplot's current figure."""
    import matplotlib.pyplot as plt

    plt.gca().set(xlabel=x_label, ylabel=y_label, title=title)
    finish(plt.gcf(), save_figure, plot, f"{directory}/{figure_name}")
    plt.close()


def finish(figure: Any, save: bool, show: bool, path: str) -> None:
    """Save a figure, show it, or both."""
    if save:
        plots.save_figure(figure, path)
    if show:
        plots.show_figure(figure)


def describe(env: Any, env_name: str | None, definition: int, obs: str, action: str) -> tuple[str, dict[str, Any]]:
    """Return the environment's id and the options that all maps share; a space's own `names` come first."""
    if env_name is None:
        inside = getattr(env, "vector_env", env)  # an agent's, or a vector of environments, or one
        env_name = str(getattr(inside, "envs", [inside])[0].unwrapped.spec.id)
    space = env.observation_space
    names = [*getattr(space, "names", ())]
    names += [f"observation[{index}]" for index in range(len(names), flatdim(space))]
    options = {"observation_space": space, "names": names, "resolution": definition}
    return env_name, {**options, "observation_variable": obs, "action_variable": action}
