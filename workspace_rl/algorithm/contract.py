"""What the loop expects of an algorithm, told before it is missed."""

from __future__ import annotations

from typing import Any

from workspace_rl.agent import is_agent
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import CompositionError, UnsupportedSpaceError

#: What an algorithm's `build` sets, and what for.
POLICIES = {
    "policy": "acts while training, and explores",
    "random_policy": "acts in the first random_steps, for instance RandomAgent(self.train_env.action_space)",
    "eval_policy": "is scored and saved, for instance the actor without noise",
}
#: What there is for the actions of an environment.
_FOR_ACTIONS = {
    "continuous": "SAC, TD3 and DDPG are for continuous ones; {classname: DiscretizeAction, bins: 5} in "
    "gym_env.wrappers makes a few choices of them.",
    "discrete": "DQN is for discrete ones.",
    "multi-discrete": "DQN is for a single choice: number the combinations in a subclass of gymnasium.ActionWrapper, "
    "and name it in gym_env.wrappers.",
}


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


def require_actions(algorithm: type, env: GymAgent, env_name: str) -> None:
    """Look whether an algorithm is for the actions of an environment.

    Raises:
        UnsupportedSpaceError: it is not.
    """
    needed = algorithm.action_kind  # type: ignore[attr-defined]
    if env.action_kind != needed:
        raise UnsupportedSpaceError(
            f"{algorithm.__name__} needs {needed} actions, but {env_name!r} has {env.action_space}. "
            f"{_FOR_ACTIONS[env.action_kind]}"
        )


def require_policies(algorithm: Any) -> None:
    """Look whether `build` has set the policies.

    Raises:
        CompositionError: one is missing, or no agent.
    """
    who = type(algorithm).__name__
    for name in algorithm.policies:
        found = getattr(algorithm, name, None)
        if not is_agent(found):
            what = "nothing" if found is None else type(found).__name__
            raise CompositionError(f"{who}.build sets no self.{name}, the agent that {POLICIES[name]}: {what} found.")
