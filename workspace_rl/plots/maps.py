"""Heat-maps of policies and critics: what they say as one or two coordinates of the observation change."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from workspace_rl.drawing.figures import new_figure
from workspace_rl.drawing.scales import Scale, discrete_scale, plain_scale, signed_scale
from workspace_rl.errors import CompositionError, ConfigError
from workspace_rl.plots.running import Runnable, as_numpy, read_rows, remember, run_agents
from workspace_rl.plots.section import Ranges, Section

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def policy_map(
    policy: Runnable,
    observation_space: gym.Space[Any],
    *,
    axes: Sequence[int] | None = None,
    ranges: Ranges | None = None,
    fixed: Mapping[int, float] | None = None,
    names: Sequence[str] | None = None,
    resolution: int = 100,
    observation_variable: str = "env/env_obs",
    action_variable: str = "action",
    action_index: int = 0,
    n_actions: int | None = None,
    title: str | None = None,
    **kwargs: Any,
) -> Figure:
    """Draw the actions of a policy over two coordinates of the observation, the first to the right, the second up.

    Each pixel shows the action for the observation at its centre; the coordinates that are not shown are fixed, and
    named in the subtitle. With one coordinate the picture is a line. Discrete actions have a colour each. Continuous
    actions within [-1, 1], and others that have both signs, are coloured around white, which is 0.

        policy_map(actor, env_agent.observation_space, axes=(0, 2), stochastic=False)

    The policy runs once, in evaluation mode, without gradients and with random numbers of its own. One with memory is
    asked at the beginning of an episode, as the title then says. The figure that is returned does not belong to pyplot;
    see `save_figure` and `show_figure`.

    Args:
        policy: reads `observation_variable` (`[B, observation_size]`), writes `action_variable` (`[B]` or `[B, A]`).
        observation_space: a one-dimensional `Box` of floating-point numbers; it is only read.
        axes: the indices of the one or two coordinates; unless given, the first two, or the only one.
        ranges: the interval in which a coordinate is shown, by its index, in the observation's units. Unless given, it
            lies between the bounds of the space; where a bound is infinite, or beyond `LARGEST_BOUND`, an interval of
            length 2 is shown, from -1 to 1 if both are, and the axis says so.
        fixed: the values of coordinates that are not shown, by index; unless given, the middle of the bounds, or, where
            one is infinite, what is closest to 0. Like `ranges`, it may hold coordinates for which it is not needed.
        names: of all coordinates, "observation[0]" and so on unless given.
        resolution: the number of points along each axis.
        observation_variable: where the observations are written, `[1, resolution**2, observation_size]`.
        action_variable: where the policy writes its actions.
        action_index: the component of the action that is shown.
        n_actions: the number of discrete actions, for the colours; unless given, as many as the picture holds.
        title: the picture's title.
        **kwargs: given to the policy.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        UnsupportedSpaceError: the space is none of vectors of floating-point numbers.
        ConfigError: `axes`, `ranges`, `fixed`, `names`, `resolution` or `action_index` do not fit.
        UnknownVariableError: the policy does not write `action_variable`.
        VariableMismatchError: what it writes there is no action for each observation.
    """
    figure = new_figure()
    section = Section(observation_space, axes, ranges, fixed, names, resolution)
    workspace = run_agents([policy], {observation_variable: section.observations()}, kwargs)
    actions = read_rows(workspace, action_variable, policy)
    values, label = _component(actions, action_index, action_variable)
    scale = signed_scale(values) if actions.is_floating_point() else discrete_scale(values, n_actions)
    return _draw(figure, section, values, scale, label, title or _title("Policy", policy))


def _title(what: str, *agents: Runnable | None) -> str:
    return what + remember([one for one in agents if one is not None]) * " at the beginning of an episode"


def _component(actions: Tensor, index: int, variable: str) -> tuple[np.ndarray, str]:
    """Return a component (`[B]`) of actions (`[B, A]`), and what it is called."""
    n = actions.shape[1]
    if not 0 <= index < n:
        raise ConfigError(f"action_index: 0 to {n - 1} expected for variable {variable!r}, {index} found.")
    return as_numpy(actions[:, index]), f"{variable}[{index}]" if n > 1 else variable


def critic_map(
    critic: Runnable,
    observation_space: gym.Space[Any],
    *,
    value_variable: str,
    action: int | Sequence[float] | np.ndarray | Tensor | None = None,
    policy: Runnable | None = None,
    axes: Sequence[int] | None = None,
    ranges: Ranges | None = None,
    fixed: Mapping[int, float] | None = None,
    names: Sequence[str] | None = None,
    resolution: int = 100,
    observation_variable: str = "env/env_obs",
    action_variable: str = "action",
    title: str | None = None,
    **kwargs: Any,
) -> Figure:
    """Draw the values of a critic over two coordinates of the observation, as `policy_map` draws actions.

    | critic                                       | neither given     | `action`                 | `policy`        |
    |----------------------------------------------|-------------------|--------------------------|-----------------|
    | V(s), writes `[B]` or `[B, 1]`               | V(s)              |                          |                 |
    | discrete Q(s, .), writes `[B, n_actions]`    | max over a Q(s,a) | a, an index: Q(s, a)     | Q(s, policy(s)) |
    | continuous Q(s, a), writes `[B]` or `[B, N]` |                   | a, `[A]` floats: Q(s, a) | Q(s, policy(s)) |

    Of N critics of a continuous action, or of all discrete ones (`[B, n_actions, N]`), the least value is shown.

        critic_map(critic, space, value_variable="critic/q_values", policy=actor, stochastic=False)

    Args:
        critic: reads `observation_variable`, a continuous Q critic also `action_variable`; writes `value_variable`.
        observation_space: a one-dimensional `Box` of floating-point numbers; it is only read.
        value_variable: where the critic writes its values.
        action: the index of a discrete action, or a continuous action `[A]`, in the units that the critic reads.
        policy: runs before the critic and writes `action_variable`.
        axes: see `policy_map`.
        ranges: see `policy_map`.
        fixed: see `policy_map`.
        names: see `policy_map`.
        resolution: see `policy_map`.
        observation_variable: see `policy_map`.
        action_variable: where the policy writes, and a continuous Q critic reads, actions.
        title: the picture's title.
        **kwargs: given to the policy and to the critic.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        UnsupportedSpaceError: the space is none of vectors of floating-point numbers.
        CompositionError: both `action` and `policy` are given.
        ConfigError: `axes`, `ranges`, `fixed`, `names`, `resolution` or `action` do not fit.
        UnknownVariableError: the critic does not write `value_variable`, or the policy `action_variable`.
        VariableMismatchError: what is written there are no values, or no actions, for each observation.
    """
    if action is not None and policy is not None:
        raise CompositionError("the values of one action are shown, or of a policy's: give action or policy, not both.")
    figure = new_figure()
    section = Section(observation_space, axes, ranges, fixed, names, resolution)
    given = {observation_variable: section.observations()}
    values, label = _values(critic, policy, action, given, (value_variable, action_variable), kwargs)
    return _draw(figure, section, values, plain_scale(values), label, title or _title("Critic", critic, policy))


def _values(
    critic: Runnable,
    policy: Runnable | None,
    action: int | Sequence[float] | np.ndarray | Tensor | None,
    given: dict[str, Tensor],
    variables: tuple[str, str],
    kwargs: Mapping[str, Any],
) -> tuple[np.ndarray, str]:
    """Return the values (`[B]`) of `action`, of the policy's or of the best one, and what they are called.

    `given` holds the observations, `variables` says where the values and the actions are written.
    """
    value_variable, action_variable = variables
    label, index = value_variable, None
    if isinstance(action, int | np.integer):
        n_points = next(iter(given.values())).shape[1]
        label, index = f"{label} of action {action}", torch.full((n_points, 1), int(action))
    elif action is not None:
        vector = _finite_vector(action)
        label += f" of action [{', '.join(f'{one:.4g}' for one in vector.tolist())}]"
        given[action_variable] = vector.expand(1, next(iter(given.values())).shape[1], -1)
    workspace = run_agents([critic] if policy is None else [policy, critic], given, kwargs)
    if policy is not None:
        label += " of the policy's action"
        chosen = read_rows(workspace, action_variable, policy)
        index = None if chosen.is_floating_point() else chosen
    of_all = index is not None or (action is None and policy is None)
    values = read_rows(workspace, value_variable, critic, of_critics=of_all)
    n = values.shape[1]
    if index is not None:
        return as_numpy(_of_actions(values, index, value_variable).flatten()), label
    if action is None and policy is None:
        return as_numpy(values.amax(1)), label + (" of the best action" if n > 1 else "")
    return as_numpy(values.amin(1)), label + (f", least of {n} critics" if n > 1 else "")


def _finite_vector(action: Sequence[float] | np.ndarray | Tensor) -> Tensor:
    vector = torch.as_tensor(action, dtype=torch.float32)
    if vector.ndim != 1 or not bool(vector.isfinite().all()):
        raise ConfigError(f"action: an index or a vector of finite numbers expected, {action!r} found.")
    return vector


def _of_actions(values: Tensor, index: Tensor, variable: str) -> Tensor:
    """Return of the values (`[B, n_actions]`) of all discrete actions those of the actions `index` (`[B, 1]`)."""
    n = values.shape[1]
    if index.shape[1] != 1 or int(index.min()) < 0 or int(index.max()) >= n:
        found = sorted(set(index.flatten().tolist()))
        raise ConfigError(f"variable {variable!r} has the values of actions 0 to {n - 1}, not of {found}.")
    return values.gather(1, index.long().to(values.device))


def _draw(figure: Figure, section: Section, values: np.ndarray, scale: Scale, label: str, title: str) -> Figure:
    """Draw `values`, one for each of the observations of `section`, in an empty figure, and return it."""
    axes = figure.add_subplot()
    if len(section.axes) == 1:
        axes.plot(section.points(0), values, drawstyle="steps-mid" if scale.discrete else "default")
        axes.set_xlim(*section.ranges[0])
        axes.set_ylabel(label)
        if scale.ticks is not None:
            axes.set_yticks(scale.ticks)
        axes.grid(alpha=0.3)
    else:
        image = axes.imshow(
            values.reshape(section.resolution, section.resolution),
            origin="lower",
            extent=(*section.ranges[0], *section.ranges[1]),
            aspect="auto",
            interpolation="nearest",
            cmap=scale.colours,
            norm=scale.norm,
        )
        figure.colorbar(image, ax=axes, label=label, ticks=scale.ticks).minorticks_off()
        axes.set_ylabel(section.labels[1])
    axes.set_xlabel(section.labels[0])
    axes.set_title(textwrap.fill(section.subtitle, 72), fontsize="small")
    figure.suptitle(title)
    return figure
