"""Observations and rewards brought to the same size, by running statistics of what was collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.agents.observations import encoding_of
from workspace_rl.basics.arguments import checked
from workspace_rl.composition import Agents
from workspace_rl.config import TrainingConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.envs.spaces.parts import Part
from workspace_rl.errors import UnsupportedSpaceError, VariableMismatchError
from workspace_rl.experience.returns import decayed_sums
from workspace_rl.learning.statistics import Moments, Statistics
from workspace_rl.workspace import Workspace


class _Normalizer(Agent, Statistics):
    """Running mean and variance, `[*shape]`, and of how many: buffers in float64, which `merge` alone changes."""

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: Sequence[int], clip: float, epsilon: float) -> None:
        super().__init__()
        self.shape, self.clip, self.epsilon = tuple(shape), clip, epsilon
        self.register_buffer("mean", torch.zeros(self.shape, dtype=torch.float64))
        self.register_buffer("var", torch.ones(self.shape, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def merge(self, moments: Moments) -> None:
        """Take moments into mean and variance, by the counts (Chan et al. 1979, equation 2.1).

        With the counts m and n of both, the sums S of squared deviations (m var), and the difference d of the means:

            mean <- mean + d n / (m + n),   S <- S + S_n + d^2 m n / (m + n)
        """
        if not moments.n:
            return
        mean, squares = moments.mean.to(self.mean), moments.squares.to(self.mean)
        total, difference = self.count + moments.n, mean - self.mean
        squares = self.count * self.var + squares + difference.square() * (self.count * (moments.n / total))
        self.mean.add_(difference * (moments.n / total))
        self.var.copy_(squares / total)
        self.count.copy_(total)

    @property
    def deviation(self) -> Tensor:
        """The standard deviation, `[*shape]`, 1 before anything is counted."""
        return (self.var + self.epsilon).sqrt()


class ObservationNormalizer(_Normalizer):
    """Brings each number of an observation to mean 0 and deviation 1, by what has been observed so far.

    Reads `observation_variable` (`[B, *shape]`) at `t`, or, with `t=None`, the whole variable (`[T, B, *shape]`);
    writes there, or as a whole, `output_variable`, float32 of the same shape:

        clip((x - mean) / sqrt(var + epsilon), -clip, clip)

    It stands before the networks of a policy, which read what it writes, and is saved with them.
    """

    statistics_of = "observations"

    @checked(least={"shape": 1, "clip": 0, "epsilon": 0})
    def __init__(
        self,
        shape: Sequence[int],
        clip: float = 10.0,
        epsilon: float = 1e-8,
        observation_variable: str = "env/env_obs",
        output_variable: str = "normalized_obs",
    ) -> None:
        """Normalise observations of `shape`: as they are, until the first ones are counted."""
        super().__init__(shape, clip, epsilon)
        self.observation_variable, self.output_variable = observation_variable, output_variable

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Normalise the observations of step `t`, or of all steps.

        Raises:
            VariableMismatchError: they are of another shape.
        """
        observation = self.get(self.observation_variable, t)
        if observation.shape[1 if t is not None else 2 :] != self.shape:
            raise VariableMismatchError(
                f"{self.description()} normalises observations of shape {list(self.shape)}, but "
                f"{self.observation_variable!r} is {list(observation.shape)}. Build it with the shape that one "
                "environment's observation has."
            )
        normalized = ((observation - self.mean) / self.deviation).clamp(-self.clip, self.clip)
        self.set(self.output_variable, t, normalized.float())

    def fold(self, observations: Tensor) -> None:
        """Count observations, `[T, B, *shape]`."""
        self.merge(Moments.of(observations.flatten(0, 1)))

    def moments(self, frames: Workspace, before: Any = None, *, n_repeated: int = 0) -> tuple[Moments, Any]:
        """Return the moments of the observations that are new."""
        new = frames.get_full(self.observation_variable)[n_repeated:]
        return Moments.of(new.flatten(0, 1)), None


class RunningReturn(NamedTuple):
    """Where environments are with their discounted returns."""

    #: Of the episode so far, `[B]` float64; its next reward is added to what is left of it.
    value: Tensor
    #: Whether the episode is over, `[B]`.
    done: Tensor


class RewardNormalizer(_Normalizer):
    """Divides rewards by the deviation of the discounted return, so that values are of the same size in all tasks.

    Reads `reward_variable` (`[B]`) at `t`, or, with `t=None`, the whole variable (`[T, B]`); writes to
    `output_variable`, float32 of the same shape, `clip(r / sqrt(var + epsilon), -clip, clip)`: the sign of rewards
    stays. `var` is the variance of R_t = r_t + g R_t-1 over all transitions, where R begins at 0 in each episode.

    It is for learning alone, on a workspace of the update's own (`Workspace(batch)`), in whose rewards' place it
    writes unless told otherwise.
    """

    statistics_of = "rewards"
    known_to_updates = True

    @checked(least={"discount_factor": 0, "clip": 0, "epsilon": 0})
    def __init__(
        self,
        discount_factor: float,
        clip: float = 10.0,
        epsilon: float = 1e-8,
        reward_variable: str = "env/reward",
        done_variable: str = "env/done",
        output_variable: str = "env/reward",
    ) -> None:
        """Normalise the rewards of returns that are discounted by `discount_factor`, g."""
        super().__init__((), clip, epsilon)
        self.discount_factor = discount_factor
        self.reward_variable, self.done_variable, self.output_variable = reward_variable, done_variable, output_variable

    def forward(self, t: int | None = None, **kwargs: Any) -> None:
        """Normalise the rewards of step `t`, or of all steps."""
        reward = self.get(self.reward_variable, t) / self.deviation
        self.set(self.output_variable, t, reward.clamp(-self.clip, self.clip).float())

    def fold(self, reward: Tensor, done: Tensor, before: RunningReturn | None = None) -> RunningReturn:
        """Count the returns that rewards lead to.

        Args:
            reward: `[T, B]`; that of a frame that follows the end of an episode, and only carries a reset, is left out.
            done: where episodes end, `[T, B]` bool.
            before: what `fold` has returned for the frames before; None where these follow nothing, so that the first
                one carries a reset.

        Returns:
            Where the environments are now.
        """
        moments, after = self._moments(reward, done, before)
        self.merge(moments)
        return after

    def moments(
        self, frames: Workspace, before: RunningReturn | None = None, *, n_repeated: int = 0
    ) -> tuple[Moments, RunningReturn]:
        """Return the moments of the returns at the frames that are new, and where the environments are then."""
        reward, done = (frames.get_full(name)[n_repeated:] for name in (self.reward_variable, self.done_variable))
        return self._moments(reward, done, before)

    def _moments(self, reward: Tensor, done: Tensor, before: RunningReturn | None) -> tuple[Moments, RunningReturn]:
        reward, done = reward.detach().to("cpu", torch.float64), done.to("cpu")
        if before is None:
            before = RunningReturn(torch.zeros_like(reward[0]), torch.ones_like(done[0]))
        resets = torch.cat((before.done.unsqueeze(0), done[:-1]))
        value = _running_returns(reward.masked_fill(resets, 0.0), resets, before.value, self.discount_factor)
        return Moments.of(value[~resets]), RunningReturn(value[-1], done[-1])


def _running_returns(reward: Tensor, resets: Tensor, before: Tensor, discount_factor: float) -> Tensor:
    """Return R_t = r_t + g R_t-1, `[T, B]`, where R_t-1 counts for nothing where `resets` is true at t."""
    decay = discount_factor * (~resets).to(reward.dtype)
    first = reward[:1] + decay[:1] * before
    return decayed_sums(torch.cat((first, reward[1:])).flip(0), decay.flip(0)).flip(0)


class Normalizers(NamedTuple):
    """What an algorithm normalises, as its options `normalize_observations` and `normalize_rewards` say.

    `build` makes them and tells its networks what they read; `update` runs them on its batch once:

        self.normalizers = Normalizers.of(self.parameters, self.train_env, self.device)
        self.actor = DeterministicActor(..., **self.normalizers.reads)
        self.policy = self.normalizers.before(self.actor)
        ...
        batch = self.normalizers(batch)

    Without these options nothing is normalised, and nothing done.
    """

    #: One `ObservationNormalizer`, or one for each part that is normalised.
    observations: ObservationNormalizer | Agents | None = None
    rewards: RewardNormalizer | None = None
    #: What agents that read observations are told of them besides the size.
    reads: Mapping[str, Any] = {}
    #: The variable that is written instead of each that is normalised.
    written: Mapping[str, str] = {}

    @classmethod
    def of(cls, parameters: TrainingConfig, env_agent: GymAgent, device: torch.device | str = "cpu") -> Self:
        """Return those that an algorithm's parameters ask for, on `device`.

        Raises:
            UnsupportedSpaceError: the observations are no array of numbers that a mean could be taken of.
        """
        clip = parameters.normalization_clip
        rewards = (
            RewardNormalizer(parameters.discount_factor, clip).to(device) if parameters.normalize_rewards else None
        )
        mask = getattr(parameters, "action_mask", None)  # of algorithms for choices
        if not parameters.normalize_observations:
            return cls(None, rewards, encoding_of(env_agent, mask))
        parts = env_agent.observation_parts(mask)
        each = _of_numbers(parts, clip, env_agent)
        written = {one.observation_variable: one.output_variable for one in each}
        reads = {"observation_variable": each[0].output_variable} if len(parts) == 1 else {}
        return cls((each[0] if len(each) == 1 else Agents(*each)).to(device), rewards, reads, written)

    def parts(self, parts: Sequence[Part]) -> list[Part]:
        """Return the parts of an observation as they are after this: some of them are read from other variables."""
        return [Part({**part, "variable": self.written.get(part["variable"], part["variable"])}) for part in parts]

    def before(self, agent: Agent) -> Agent:
        """Return `agent`, which reads observations, behind what normalises them."""
        return agent if self.observations is None else Agents(self.observations, agent)

    def __call__(self, batch: Workspace) -> Workspace:
        """Return a batch, `[T, B, ...]`, with its rewards normalised, and with normalised observations beside its own.

        What is written there leaves the given batch as it is.
        """
        if self.observations is None and self.rewards is None:
            return batch
        batch = Workspace(batch)
        for one in (self.observations, self.rewards):
            if one is not None:
                one(batch)
        return batch


def _of_numbers(parts: Sequence[Part], clip: float, env_agent: GymAgent) -> list[ObservationNormalizer]:
    """Return what normalises each part that is numbers.

    Raises:
        UnsupportedSpaceError: none is.
    """
    whole = f"{env_agent.output_prefix}env_obs"
    numbers = [part for part in parts if part["kind"] == "numbers"]
    if numbers:
        return [
            ObservationNormalizer(
                part["shape"],
                clip,
                observation_variable=part["variable"],
                output_variable="normalized_obs" + (part["variable"].removeprefix(whole) if len(parts) > 1 else ""),
            )
            for part in numbers
        ]
    kinds = {part["kind"] for part in parts}
    what = {
        "picture": "pictures, which networks scale by themselves",
        "choices": "choices, which networks are given as zeros and ones",
    }
    raise UnsupportedSpaceError(
        f"algorithm.normalize_observations: observations that are arrays of numbers expected, but those of "
        f"{env_agent.label} are {', and '.join(text for kind, text in what.items() if kind in kinds)} "
        f"({env_agent.observation_space}). Set it to false."
    )
