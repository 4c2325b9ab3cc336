"""An environment whose frames are numbered: what was lost, doubled or joined falsely is seen in what has come of it."""

from collections import defaultdict

import gymnasium as gym
import numpy as np

#: Made by these names in any process that has the repository as working directory, or on its path.
ENV = "tests.collectors.numbered_env:Numbered-v0"
FAILING_ENV = "tests.collectors.numbered_env:SometimesFailing-v0"
_PIECES, _BASE = 5, 4096


class NumberedEnv(gym.Env):
    """Observes who it is (the seed of its first reset) and how many frames it has returned before, resets included.

    Both are written in pieces that float32 holds exactly, between 0 and 1, so that networks can read them, too. A step
    pays 1; an episode ends after `length` steps.
    """

    def __init__(self, length=7, render_mode=None):
        self.render_mode = render_mode
        self.observation_space = gym.spaces.Box(0, 1, (_PIECES,), np.float32)
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self._length, self._identity, self._n_frames = length, None, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if self._identity is None:
            self._identity = int(seed)
        self._steps = 0
        return self._frame(), {}

    def step(self, action):
        self._steps += 1
        return self._frame(), 1.0, self._steps == self._length, False, {}

    def _frame(self):
        pieces = [*_digits(self._identity, 3), *_digits(self._n_frames, 2)]
        self._n_frames += 1
        return np.array(pieces, np.float32) / _BASE


class SometimesFailingEnv(NumberedEnv):
    """Raises an exception at the frame that `fails_at` names, in one environment out of `one_in`."""

    def __init__(self, fails_at=20, one_in=2, **options):
        super().__init__(**options)
        self._fails_at, self._one_in = fails_at, one_in

    def step(self, action):
        if self._n_frames == self._fails_at and self._identity % self._one_in == 0:
            raise RuntimeError(f"frame {self._n_frames} of {self._identity}")
        return super().step(action)


def _digits(number, n):
    return [number // _BASE**k % _BASE for k in range(n)]


def numbers(observations):
    """Return who made frames, and the frames' numbers, of observations `[..., 5]`."""
    pieces = np.round(np.asarray(observations, np.float64) * _BASE).astype(np.int64)
    powers = _BASE ** np.arange(3)
    return pieces[..., :3] @ powers, pieces[..., 3:] @ powers[:2]


def frames_by_environment(fragments):
    """Return the numbers of the frames that each environment has given, in the order in which they were handed over."""
    frames = defaultdict(list)
    for fragment in fragments:
        who, number = numbers(fragment["env/env_obs"])
        for one, several in zip(who.T, number.T, strict=True):
            for identity, k in zip(one.tolist(), several.tolist(), strict=True):
                frames[identity].append(k)
    return dict(frames)


def require_true_windows(batch):
    """Look whether each window of a batch `[T, B, ...]` is what one environment has done one after the other."""
    who, number = numbers(batch["env/env_obs"])
    assert (who == who[0]).all()
    assert (np.diff(number, axis=0) == 1).all()


gym.register("Numbered-v0", NumberedEnv)
gym.register("SometimesFailing-v0", SometimesFailingEnv)
