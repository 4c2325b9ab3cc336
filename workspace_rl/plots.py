"""Pictures of policies and critics: what they say as one or two coordinates of the observation change."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from workspace_rl.errors import (
    CompositionError,
    ConfigError,
    MissingDependencyError,
    RenderingError,
    UnknownVariableError,
    UnsupportedSpaceError,
    VariableMismatchError,
    did_you_mean,
)
from workspace_rl.files import whole_file
from workspace_rl.seeding import RandomState
from workspace_rl.workspace import Workspace

if TYPE_CHECKING:  # matplotlib is imported where a picture is made: it is optional, and slow
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

#: A bound of the observation space that is greater than this counts as infinite.
LARGEST_BOUND = 1e6
#: So many fixed coordinates are named one by one below a picture's title.
MOST_NAMED = 12
#: So many discrete actions have a tick each.
MOST_TICKS = 20

Ranges = Mapping[int, tuple[float, float]]


class Runnable(Protocol):
    """What can be drawn: anything that is called as an agent is, `agent(workspace, t=0)`."""

    def __call__(self, workspace: Workspace, **kwargs: Any) -> object:
        """Read and write variables of `workspace`."""


# ---- maps ---------------------------------------------------------------------------------------------------------


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

    The policy runs once, in evaluation mode, without gradients and with random numbers of its own.

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

    Returns:
        The figure, which does not belong to pyplot; see `save_figure` and `show_figure`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        UnsupportedSpaceError: the space is none of vectors of floating-point numbers.
        ConfigError: `axes`, `ranges`, `fixed`, `names`, `resolution` or `action_index` do not fit.
        UnknownVariableError: the policy does not write `action_variable`.
        VariableMismatchError: what it writes there is no action for each observation.
    """
    figure = new_figure()
    section = _Section(observation_space, axes, ranges, fixed, names, resolution)
    workspace = _run([policy], {observation_variable: section.observations()}, kwargs)
    actions = _read(workspace, action_variable, policy)
    n = actions.shape[1]
    if not 0 <= action_index < n:
        raise ConfigError(
            f"action_index: 0 to {n - 1} expected for variable {action_variable!r}, {action_index} found."
        )
    values = _numpy(actions[:, action_index])
    scale = _signed_scale(values) if actions.is_floating_point() else _discrete_scale(values, n_actions)
    label = f"{action_variable}[{action_index}]" if n > 1 else action_variable
    return _draw(figure, section, values, scale, label, title or "Policy")


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

    Of N critics that judge a continuous action together, the least value is shown, as TD3 and SAC use it.

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

    Returns:
        The figure, which does not belong to pyplot; see `save_figure` and `show_figure`.

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
    section = _Section(observation_space, axes, ranges, fixed, names, resolution)
    given = {observation_variable: section.observations()}
    n_points = given[observation_variable].shape[1]
    label, index = value_variable, None
    if isinstance(action, int | np.integer):
        label, index = f"{label} of action {action}", torch.full((n_points, 1), int(action))
    elif action is not None:
        vector = torch.as_tensor(action, dtype=torch.float32)
        if vector.ndim != 1 or not bool(vector.isfinite().all()):
            raise ConfigError(f"action: an index or a vector of finite numbers expected, {action!r} found.")
        label += f" of action [{', '.join(f'{one:.4g}' for one in vector.tolist())}]"
        given[action_variable] = vector.expand(1, n_points, -1)
    workspace = _run([critic] if policy is None else [policy, critic], given, kwargs)
    if policy is not None:
        label += " of the policy's action"
        chosen = _read(workspace, action_variable, policy)
        index = None if chosen.is_floating_point() else chosen
    values = _read(workspace, value_variable, critic)
    n = values.shape[1]
    if index is not None:
        if index.shape[1] != 1 or int(index.min()) < 0 or int(index.max()) >= n:
            found = sorted(set(index.flatten().tolist()))
            raise ConfigError(f"variable {value_variable!r} has the values of actions 0 to {n - 1}, not of {found}.")
        values = values.gather(1, index.long().to(values.device))
    elif action is None and policy is None:
        label += " of the best action" if n > 1 else ""
        values = values.amax(1)
    else:
        label += f", least of {n} critics" if n > 1 else ""
        values = values.amin(1)
    shown = _numpy(values.flatten())
    return _draw(figure, section, shown, _plain_scale(shown), label, title or "Critic")


# ---- figures, files and windows -----------------------------------------------------------------------------------


def new_figure(width: float = 6.4, height: float = 5.2) -> Figure:
    """Return an empty figure (sizes in inches) that belongs to nobody: pyplot and its backend are left alone.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            f'plots need matplotlib ({error}). To install it: pip install "workspace-rl[plots]"'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, whole or not at all; its name ends in .png (150 dots per inch), .svg or .pdf.

    Returns:
        The file's path.

    Raises:
        RenderingError: the name ends otherwise.
        RunFolderError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise RenderingError(f"a figure is a .png, .svg or .pdf file, but {str(path)!r} was asked for.")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150)
    return path


def show_figure(figure: Figure) -> None:
    """Show a figure in pyplot's window, or in the notebook, and let go of it when that is closed."""
    import matplotlib.pyplot as plt

    if not any(plt.figure(number) is figure for number in plt.get_fignums()):
        # This is how pyplot takes over a figure that was made without it.
        plt.figure(FigureClass=cast(Any, lambda *args, **kwargs: figure))
    plt.show()
    plt.close(figure)


# ---- a cut through the observation space --------------------------------------------------------------------------


class _Section:
    """A cut through an observation space along one or two coordinates, the others being fixed.

    It has `axes`, the indices of the coordinates, with an interval (`ranges`) and a text (`labels`) each, `values`
    (`[size]`), those of the fixed coordinates, and `subtitle`, which says so.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        axes: Sequence[int] | None,
        ranges: Ranges | None,
        fixed: Mapping[int, float] | None,
        names: Sequence[str] | None,
        resolution: int,
    ) -> None:
        if not (
            isinstance(space, gym.spaces.Box) and len(space.shape) == 1 and np.issubdtype(space.dtype, np.floating)
        ):
            raise UnsupportedSpaceError(
                f"a map needs observations that are vectors of floating-point numbers, but the space is {space}. Give "
                "the space of one environment; gymnasium.wrappers.FlattenObservation makes vectors of others."
            )
        size = space.shape[0]
        if names is not None and len(names) != size:
            raise ConfigError(f"names: {size} expected, one for each coordinate; {len(names)} found.")
        if not isinstance(resolution, int) or resolution < 2:
            raise ConfigError(f"resolution: a whole number of at least 2 expected, {resolution!r} found.")
        ranges, fixed = ranges or {}, fixed or {}
        for what, given in (("ranges", ranges), ("fixed", fixed)):
            for index, value in given.items():
                if index not in range(size) or not np.isfinite(value).all():
                    raise ConfigError(
                        f"{what}: finite numbers for coordinates 0 to {size - 1} expected, {value} for {index!r} found."
                    )
        self.resolution = resolution
        self.axes = _check_axes(axes, size)
        # What the observations will be: float64 becomes float32, as in GymAgent.
        self.dtype = np.dtype(np.float32) if space.dtype == np.float64 else space.dtype

        low, high = (
            np.where(np.abs(bound) > LARGEST_BOUND, np.copysign(np.inf, bound), bound)
            for bound in (space.low.astype(np.float64), space.high.astype(np.float64))
        )
        bounded = np.isfinite(low) & np.isfinite(high)
        first = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - 2, -1))
        last = np.where(np.isfinite(high), high, first + 2)
        self.values = np.where(bounded, (first + last) / 2, np.clip(0, low, high))
        for index, value in fixed.items():
            self.values[index] = value
        constant = first == last
        first, last = first - constant, last + constant

        names = [f"observation[{index}]" for index in range(size)] if names is None else names
        self.ranges: list[tuple[float, float]] = []
        self.labels: list[str] = []
        for index in self.axes:
            least, most = ranges.get(index, (first[index], last[index]))
            if not least < most:
                raise ConfigError(f"ranges: low < high expected for coordinate {index}; {least}, {most} found.")
            self.ranges.append((float(least), float(most)))
            note = "" if index in ranges or bounded[index] else f" (unbounded, shown from {least:g} to {most:g})"
            self.labels.append(names[index] + note)
        others = [index for index in range(size) if index not in self.axes]
        named = others if len(others) <= MOST_NAMED else [index for index in others if index in fixed][:MOST_NAMED]
        parts = [f"{names[index]} = {self.values[index]:.4g}" for index in named]
        if len(named) < len(others):
            parts.append(f"{len(others) - len(named)} {'more' if named else 'coordinates'}")
        self.subtitle = f"fixed: {', '.join(parts)}" if others else ""

    def points(self, axis: int) -> np.ndarray:
        """Return the values (`[resolution]`) along an axis: the centres of pixels, or the points of a line."""
        low, high = self.ranges[axis]
        if len(self.axes) == 1:
            return np.linspace(low, high, self.resolution)
        return low + (np.arange(self.resolution) + 0.5) / self.resolution * (high - low)

    def observations(self) -> Tensor:
        """Return all observations, `[1, resolution**len(axes), size]`; the first axis changes fastest."""
        grid = np.tile(self.values, (self.resolution ** len(self.axes), 1))
        coordinates = np.meshgrid(*(self.points(axis) for axis in range(len(self.axes))))
        for index, coordinate in zip(self.axes, coordinates, strict=True):
            grid[:, index] = coordinate.ravel()
        return torch.from_numpy(grid.astype(self.dtype)).unsqueeze(0)


def _check_axes(axes: Sequence[int] | None, size: int) -> tuple[int, ...]:
    indices = tuple(range(min(size, 2)) if axes is None else axes)
    if len(indices) not in (1, 2) or len(set(indices)) < len(indices) or not set(indices) <= set(range(size)):
        raise ConfigError(f"axes: one or two different coordinates from 0 to {size - 1} expected, {axes!r} found.")
    return tuple(int(index) for index in indices)


# ---- running agents -----------------------------------------------------------------------------------------------


def _run(agents: Sequence[Runnable], given: Mapping[str, Tensor], kwargs: Mapping[str, Any]) -> Workspace:
    """Run `agents` in order at t=0 of a new workspace with the variables `given`, and return it."""
    modules = [agent for agent in agents if isinstance(agent, nn.Module)]
    parameter = next((parameter for module in modules for parameter in module.parameters()), None)
    workspace = Workspace()
    for name, value in given.items():
        workspace.set_full(name, value if parameter is None else value.to(parameter.device))
    with RandomState(0), torch.no_grad(), _evaluation_mode(modules):
        for agent in agents:
            agent(workspace, t=0, **kwargs)
    return workspace


@contextlib.contextmanager
def _evaluation_mode(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Keep batch normalisation from learning, and dropout from blurring, what is drawn."""
    training = [part for module in modules for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _read(workspace: Workspace, name: str, agent: Runnable) -> Tensor:
    """Return what `agent` wrote for each of the observations, the workspace's first variable, as `[B, n]`."""
    observations, *others = workspace.keys()
    n_points = workspace.batch_size(observations)
    who = f"agent {getattr(agent, 'name', None) or type(agent).__name__!r}"
    if name not in others:
        raise UnknownVariableError(
            f"{who} did not write variable {name!r}.{did_you_mean(name, others)} "
            f"Besides {observations!r}, the workspace holds {', '.join(map(repr, others)) or 'nothing'}."
        )
    value = workspace.get(name, 0)
    if value.ndim not in (1, 2) or value.shape[0] != n_points:
        raise VariableMismatchError(
            f"{who} wrote variable {name!r} of shape {list(value.shape)} for {n_points} observations; "
            f"[{n_points}] or [{n_points}, n] expected."
        )
    return value.unsqueeze(1) if value.ndim == 1 else value


def _numpy(values: Tensor) -> np.ndarray:
    """Return integers as they are, and floating-point numbers as float64: NumPy lacks some of torch's."""
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values.long()).numpy()


# ---- drawing ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scale:
    """How numbers become colours."""

    colours: Colormap
    norm: Normalize
    discrete: bool = False
    #: Discrete numbers that are few have a tick each; None leaves the ticks to matplotlib.
    ticks: Sequence[int] | None = None


def _discrete_scale(values: np.ndarray, n: int | None) -> _Scale:
    from matplotlib.colors import BoundaryNorm

    least, most = min(int(values.min()), 0), max(int(values.max()), (n or 2) - 1)
    count = most - least + 1
    ticks = range(least, most + 1) if count <= MOST_TICKS else None
    norm = BoundaryNorm([least - 0.5 + k for k in range(count + 1)], count)
    return _Scale(_colours("viridis").resampled(count), norm, True, ticks)


def _signed_scale(values: np.ndarray) -> _Scale:
    """Return colours around 0 for values of both signs and those within [-1, 1], plain ones for others."""
    from matplotlib.colors import Normalize

    low, high = _limits(values)
    limit = max(1.0, -low, high)
    if limit > 1 and low * high >= 0:
        return _plain_scale(values)
    return _Scale(_colours("RdBu_r"), Normalize(-limit, limit))


def _plain_scale(values: np.ndarray) -> _Scale:
    from matplotlib.colors import Normalize

    return _Scale(_colours("viridis"), Normalize(*_limits(values)))


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return the least and the greatest finite value."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _colours(name: str) -> Colormap:
    """Return colours that colour-blind people can tell apart; what is not finite is grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad="grey")


def _draw(figure: Figure, section: _Section, values: np.ndarray, scale: _Scale, label: str, title: str) -> Figure:
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
