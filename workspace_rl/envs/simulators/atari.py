"""Atari games in the standard preprocessing, stepped one by one or by ale-py's own vector environment.

An observation is a stack of grey pictures, uint8 `[frame_stack, screen_size, screen_size]`, the newest last; where an
episode is younger than the stack, the missing pictures are zeros (Mnih et al. 2015, "Human-level control through deep
reinforcement learning"; Machado et al. 2018, "Revisiting the Arcade Learning Environment").

There are two ways, in which all options mean the same: gymnasium's wrappers around ale-py's environment, which can
draw itself in colour, and ale-py's vector environment, which is faster. The same actions from the same start lead to
the same bits. From a seed, however, the two ways draw different numbers of no-ops and different repeated actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation, TransformReward

from workspace_rl.errors import CompositionError, ConfigError, RenderingError, did_you_mean

#: Frames that the console shows in a second.
FRAMES_PER_SECOND = 60

NOOP = 0


@dataclass(frozen=True, kw_only=True)
class AtariOptions:
    """How an Atari game is shown to an agent. A frame is one of the emulator's, a step one of the agent's."""

    #: Frames in a step: the action is repeated, and the maximum over the last two pictures is shown.
    frame_skip: int = 4
    #: An episode starts with a number of no-op frames, drawn uniformly from 0 to this.
    noop_max: int = 30
    #: End an episode (`terminated`) when a life is lost. The next one starts a new game.
    terminal_on_life_loss: bool = False
    #: Press FIRE in the first frame, where the game has it: some games wait for it. It counts as one of the no-ops.
    fire_reset: bool = True
    #: "Sticky actions": the probability that a frame repeats the last action instead. None: the id's own, which is
    #: 0 for `PongNoFrameskip-v4` and 0.25 for `ALE/Pong-v5`.
    repeat_action_probability: float | None = None
    #: An episode is truncated after so many frames, not counting those of its start.
    max_frames_per_episode: int = 108_000
    #: Height and width of the pictures.
    screen_size: int = 84
    #: Pictures in an observation.
    frame_stack: int = 4
    #: Clip the reward of a step to [-1, 1]. Returns are then no scores any more: better left to the learner.
    reward_clipping: bool = False

    def __post_init__(self) -> None:
        least = {"frame_skip": 1, "noop_max": 0, "max_frames_per_episode": 1, "screen_size": 1, "frame_stack": 1}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in least:
                valid = type(value) is int and value >= least[one.name]
                expected = f"a whole number of at least {least[one.name]}"
            elif one.name == "repeat_action_probability":
                valid = value is None or (isinstance(value, int | float) and 0 <= value <= 1)
                expected = "a number from 0 to 1, or null,"
            else:
                valid, expected = isinstance(value, bool), "true or false"
            if not valid:
                raise ConfigError(f"atari.{one.name}: {expected} expected, {value!r} found.")

    @classmethod
    def of(cls, given: AtariOptions | Mapping[str, Any]) -> AtariOptions:
        """Return the options that a dictionary holds.

        Raises:
            ConfigError: an option is unknown, or has an impossible value.
        """
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ConfigError(f"atari: a dictionary of options expected, {given!r} found; {{}} takes the defaults.")
        known = [one.name for one in fields(cls)]
        for key in given:
            if key not in known:
                raise ConfigError(
                    f"unknown key 'atari.{key}'.{did_you_mean(str(key), known)} Valid here: {', '.join(known)}."
                )
        return cls(**given)


def make_atari_env(
    spec: gym.envs.registration.EnvSpec, options: AtariOptions, **kwargs: Any
) -> gym.Env[np.ndarray, np.int64]:
    """Make one game, by gymnasium's wrappers.

    Args:
        spec: a game's specification, whatever its own frame skip.
        options: the preprocessing.
        **kwargs: given to `gymnasium.make`, for instance `render_mode="rgb_array"`: `render` then shows the screen in
            colour, once a step.

    Raises:
        CompositionError: the environment is no Atari game.
    """
    env = gym.make(
        spec,
        frameskip=1,
        repeat_action_probability=_repeat_action_probability(spec, options),
        max_num_frames_per_episode=None,
        # Not looked at, but made for every frame: smaller than colours.
        obs_type="grayscale",
        **kwargs,
    )
    env = _Episodes(env, options)
    env = AtariPreprocessing(env, noop_max=0, frame_skip=options.frame_skip, screen_size=options.screen_size)
    if options.reward_clipping:
        env = TransformReward(env, lambda reward: min(1.0, max(-1.0, float(reward))))
    return FrameStackObservation(env, options.frame_stack, padding_type="zero")


def make_atari_vector_env(
    spec: gym.envs.registration.EnvSpec,
    n_envs: int,
    *,
    atari: AtariOptions | Mapping[str, Any],
    render_mode: str | None = None,
    **kwargs: Any,
) -> AtariVector:
    """Make `n_envs` copies of a game, by ale-py's vector environment, with `NEXT_STEP` resets.

    Args:
        spec: a game's specification.
        n_envs: the number of copies.
        atari: the preprocessing.
        render_mode: refused.
        **kwargs: given to `ale_py.vector_env.AtariVectorEnv`, for instance `num_threads`.

    Raises:
        CompositionError: the environment is no Atari game.
        RenderingError: pictures are asked for.
    """
    options = AtariOptions.of(atari)
    probability = _repeat_action_probability(spec, options)
    if render_mode is not None:
        raise RenderingError(f"{spec.id}: ale-py's vector environment draws nothing; use vectorization='sync'.")
    from ale_py.vector_env import AtariVectorEnv

    env = AtariVectorEnv(
        spec.kwargs["game"],
        n_envs,
        frameskip=options.frame_skip,
        # It draws from 0 to noop_max - 1.
        noop_max=options.noop_max + 1,
        episodic_life=options.terminal_on_life_loss,
        use_fire_reset=options.fire_reset,
        repeat_action_probability=probability,
        max_num_frames_per_episode=options.max_frames_per_episode,
        img_height=options.screen_size,
        img_width=options.screen_size,
        stack_num=options.frame_stack,
        reward_clipping=options.reward_clipping,
        autoreset_mode=AutoresetMode.NEXT_STEP,
        **kwargs,
    )
    return AtariVector(env, -(-options.max_frames_per_episode // options.frame_skip))


class AtariVector(VectorWrapper):
    """ale-py's vector environment, taking a list of seeds, one for each copy, as gymnasium's vector environments do."""

    def __init__(self, env: VectorEnv[Any, Any, Any], max_episode_steps: int) -> None:
        """Wrap an `AtariVectorEnv`, whose episodes have at most so many steps.

        Its observations are new arrays at every step.
        """
        super().__init__(env)
        self._max_episode_steps = max_episode_steps

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset all copies: copy i from `seed[i]`, or from `seed + i`, or going on with its random numbers."""
        seeds: Any = seed if seed is None or isinstance(seed, int) else np.asarray(seed)
        return self.env.reset(seed=seeds, options=options)


class _Episodes(gym.Wrapper[np.ndarray, np.int64, np.ndarray, np.int64]):
    """Where episodes begin and end, frame by frame, exactly as in ale-py's vector environment.

    What gymnasium's wrapper knows of this has a slightly different meaning there: it never presses FIRE, presses at
    least one no-op, counts them as frames of the episode, and takes the last life's loss for the end of the game.
    """

    def __init__(self, env: gym.Env[np.ndarray, np.int64], options: AtariOptions) -> None:
        super().__init__(env)
        self.metadata = {**env.metadata, "render_fps": FRAMES_PER_SECOND / options.frame_skip}
        self._options = options
        #: For `workspace_rl.envs.facts`.
        self._max_episode_steps = -(-options.max_frames_per_episode // options.frame_skip)
        self._emulator: Any = env.unwrapped.ale  # type: ignore[attr-defined]
        meanings: list[str] = env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        self._fire = meanings.index("FIRE") if options.fire_reset and "FIRE" in meanings else None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        n_noops = int(self.unwrapped.np_random.integers(self._options.noop_max + 1))
        if self._fire is not None:
            observation, _, _, _, info = self.env.step(np.int64(self._fire))
            n_noops -= 1
        for _ in range(n_noops):
            observation, _, terminated, _, info = self.env.step(np.int64(NOOP))
            if terminated:
                observation, info = self.env.reset()
        self._lives = self._emulator.lives()
        self._n_frames = 0
        return observation, info

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, _, info = self.env.step(action)
        self._n_frames += 1
        lives = self._emulator.lives()
        if self._options.terminal_on_life_loss:
            # Some games show no life left while the last one is still being played.
            terminated = terminated or 0 < lives < self._lives
        self._lives = lives
        truncated = self._n_frames >= self._options.max_frames_per_episode and not terminated
        return observation, float(reward), terminated, truncated, info


def _repeat_action_probability(spec: gym.envs.registration.EnvSpec, options: AtariOptions) -> float:
    if "game" not in spec.kwargs or "ale_py" not in str(spec.entry_point):
        raise CompositionError(f"environment {spec.id!r} is no Atari game, which the argument 'atari' is for.")
    if options.repeat_action_probability is None:
        return float(spec.kwargs["repeat_action_probability"])
    return options.repeat_action_probability
