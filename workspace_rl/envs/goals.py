"""What an environment says of goals without a step: rewards, and ends of episodes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

from workspace_rl.errors import ConfigError

#: Steps with random actions after which is known how rewards are computed, and pairs of goals that they are tried on.
_STEPS, _PAIRS = 12, 32
_Pairs = tuple[np.ndarray, np.ndarray]


class GoalRewards:
    """Rewards for what was achieved where something else was the goal, by an environment's `compute_reward`.

    That is `compute_reward(achieved_goal, desired_goal, info)` of gymnasium-robotics, whose `info` is empty here; and
    `compute_terminated`, called likewise, where there is one. Both are tried before they are used: they must say of
    steps that are taken what the steps themselves say. They are given many goals at once where they say of many what
    they say of each, and one after the other, which takes longer and is warned of, where they do not.
    """

    def __init__(self, env: gym.Env[Any, Any], label: str, seed: int = 0) -> None:
        """Try an environment, which is kept.

        Args:
            env: whose observations hold `achieved_goal` and `desired_goal`.
            label: what it is called in messages.
            seed: of the steps that it is tried on.

        Raises:
            ConfigError: it has no `compute_reward`, or this says something else than its steps do.
        """
        self._env, self._label = env, label
        self._reward = self._method("compute_reward")
        if self._reward is None:
            raise self._refused(
                "has no compute_reward(achieved_goal, desired_goal, info), by which rewards of other goals are known",
                "Give it one, or take a wrapper that has it",
            )
        self._terminated = self._method("compute_terminated")
        self._many = {"compute_reward": True, "compute_terminated": True}
        self._try(seed)

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def rewards(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        """Return the rewards `[N]` for having achieved this (`[N, ...]`) where that (`[N, ...]`) was the goal."""
        return self._said("compute_reward", self._reward, achieved, desired)

    def terminated(self, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray | None:
        """Return whether that terminates an episode, `[N]` bool; None where the environment does not say."""
        if self._terminated is None:
            return None
        return self._said("compute_terminated", self._terminated, achieved, desired).astype(bool)

    # ---- asking ---------------------------------------------------------------------------------------------------

    def _method(self, name: str) -> Callable[..., Any] | None:
        # Of the outermost wrapper that has one.
        return self._env.get_wrapper_attr(name) if self._env.has_wrapper_attr(name) else None

    def _said(self, name: str, method: Any, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
        if self._many[name]:
            return np.asarray(method(achieved, desired, [{} for _ in achieved]))
        return _one_by_one(method, achieved, desired)

    # ---- trying ---------------------------------------------------------------------------------------------------

    def _try(self, seed: int) -> None:
        goals, rewards, terminated = self._steps(seed)
        self._compare("compute_reward", self._reward, goals, rewards)
        if self._terminated is not None:
            self._compare("compute_terminated", self._terminated, goals, terminated)
        achieved, desired = goals
        # What was achieved is a goal, too: so there are pairs that are reached.
        candidates = np.concatenate((desired, achieved))
        chosen = np.random.default_rng(seed).integers((len(achieved), len(candidates)), size=(_PAIRS, 2))
        chosen[: len(achieved), 0] = chosen[: len(achieved), 1] = np.arange(len(achieved))
        chosen[: len(achieved), 1] += len(desired)
        pairs = achieved[chosen[:, 0]], candidates[chosen[:, 1]]
        for name, method in (("compute_reward", self._reward), ("compute_terminated", self._terminated)):
            if method is not None:
                self._try_many(name, method, pairs)

    def _steps(self, seed: int) -> tuple[_Pairs, np.ndarray, np.ndarray]:
        """Take some steps; return what was achieved and the goal after each, its reward, and whether it terminated."""
        env, seen = self._env, []
        env.action_space.seed(seed)
        env.reset(seed=seed)
        for _ in range(_STEPS):
            observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            # An observation may be changed by the next step.
            goals = [np.array(observation[name]) for name in ("achieved_goal", "desired_goal")]
            seen.append((*goals, float(reward), bool(terminated)))
            if terminated or truncated:
                env.reset()
        achieved, desired, rewards, ends = (np.stack(one) for one in zip(*seen, strict=True))
        return (_as_stored(achieved), _as_stored(desired)), rewards, ends

    def _compare(self, name: str, method: Any, goals: _Pairs, found: np.ndarray) -> None:
        """Look whether a method says of steps what they have said.

        Raises:
            ConfigError: it does not.
        """
        try:
            computed = _one_by_one(method, *goals)
        except Exception as error:  # of whoever has written it
            raise self._refused(
                f"cannot tell rewards of other goals: {name}(achieved_goal, desired_goal, {{}}) raises "
                f"{type(error).__name__}: {error}. What it needs of info is not kept",
                "Let it do without, by what stands in achieved_goal",
            ) from error
        if not np.allclose(computed, found, rtol=1e-3, atol=1e-4):
            step = int(np.argmax(~np.isclose(computed, found, rtol=1e-3, atol=1e-4)))
            raise self._refused(
                f"says of step {step + 1} {found[step]}, and by {name} {computed[step]}: rewards of other goals would "
                "not be those that are learned from otherwise",
                "Leave out wrappers that change rewards or goals, and what else is rewarded or ends an episode",
            )

    def _try_many(self, name: str, method: Any, pairs: _Pairs) -> None:
        """Find out whether a method takes many goals at once, and warn where it does not."""
        began = time.perf_counter()
        each = _one_by_one(method, *pairs)
        seconds = (time.perf_counter() - began) / len(each)
        try:
            together = np.asarray(method(*pairs, [{} for _ in each]))
        except Exception:  # told by the warning
            together = np.empty(0)
        self._many[name] = together.shape == each.shape and bool(np.allclose(together, each))
        if not self._many[name]:
            warnings.warn(
                f"{name} of {self._label} does not take many goals at once, and is asked for each by itself: that took "
                f"{1e6 * seconds:.0f} microseconds a goal. Written for arrays [..., n] it would be faster.",
                UserWarning,
                stacklevel=2,
            )

    def _refused(self, what: str, way_out: str) -> ConfigError:
        return ConfigError(f"algorithm.hindsight: null expected, since {self._label} {what}. {way_out}.")


def _one_by_one(method: Any, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    return np.array([float(method(one, goal, {})) for one, goal in zip(achieved, desired, strict=True)])


def _as_stored(goals: np.ndarray) -> np.ndarray:
    return goals.astype(np.float32) if goals.dtype == np.float64 else goals
