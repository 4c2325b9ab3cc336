"""What the loop expects of an algorithm, told before it is missed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from workspace_rl.agent import is_agent
from workspace_rl.errors import CompositionError

#: What an algorithm's `build` sets, and what for.
POLICIES = {
    "policy": "acts while training, and explores",
    "random_policy": "acts in the first random_steps, for instance RandomAgent(self.train_env.action_space)",
    "eval_policy": "is scored and saved, for instance the actor without noise",
}
#: Metrics that the loop itself writes, and what it adds to an update's.
OF_THE_LOOP = frozenset(
    [f"eval/{one}" for one in ("return_mean", "return_std", "length_mean")]
    + [f"train/{one}" for one in ("episode_return", "episode_length")]
    + ["time/steps_per_second", "workspace_rl/finite", "workspace_rl/steps"]
)


def require_declared(algorithm: type) -> None:
    """Look whether the class of an algorithm says what it is for, and how it learns.

    Raises:
        CompositionError: it does not.
    """
    missing = sorted(getattr(algorithm, "__abstractmethods__", ()))
    if missing:
        raise CompositionError(
            f"{algorithm.__name__} does not implement {' and '.join(missing)}: an algorithm creates its agents in "
            "build(self), and learns in update(self, batch)."
        )
    if not hasattr(algorithm, "config_class"):
        raise CompositionError(
            f"{algorithm.__name__} does not name its parameters: config_class = MyConfig, a dataclass derived from "
            "workspace_rl.config.RunConfig."
        )
    kind = getattr(algorithm, "action_kind", None)
    if kind not in ("continuous", "discrete"):
        raise CompositionError(
            f"{algorithm.__name__} does not name the actions that it is for: action_kind = 'continuous' or 'discrete' "
            f"expected, {kind!r} found."
        )


def require_policies(algorithm: Any) -> None:
    """Look whether `build` has set the policies.

    Raises:
        CompositionError: one is missing, or no agent.
    """
    who = type(algorithm).__name__
    for name, purpose in POLICIES.items():
        found = getattr(algorithm, name, None)
        if not is_agent(found):
            what = "nothing" if found is None else type(found).__name__
            raise CompositionError(f"{who}.build sets no self.{name}, the agent that {purpose}: {what} found.")


def require_metrics(metrics: Any, algorithm: str) -> None:
    """Look whether an update has returned metrics.

    Raises:
        CompositionError: it has not; the message names what is wrong with which.
    """
    if not isinstance(metrics, dict):
        raise CompositionError(
            f"{algorithm}.update returns {'None' if metrics is None else type(metrics).__name__}; a dictionary of "
            "tensors by name is expected, {} if there is nothing to log: return {'loss/critic': loss.detach()}."
        )
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise CompositionError(f"{algorithm}.update returns a metric called {name!r}; a text is expected.")
        if not isinstance(value, Tensor):
            raise CompositionError(
                f"{algorithm}.update returns {type(value).__name__} as {name!r}; a tensor is expected, so that no "
                "device is waited for: loss.detach(), not loss.item(); torch.tensor(x) for other numbers."
            )
        if value.is_complex():
            raise CompositionError(
                f"{algorithm}.update returns complex numbers as {name!r}; real ones can be logged: value.abs(), say."
            )
        if name in OF_THE_LOOP:
            raise CompositionError(
                f"{algorithm}.update returns a metric called {name!r}, which the loop writes itself: the two would be "
                "taken for one. Give it another name."
            )
