"""Algorithms that learn from a replay buffer."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from workspace_rl.agent import Agent, before
from workspace_rl.algorithm.definition import Config
from workspace_rl.config import OffPolicyConfig
from workspace_rl.envs.goals import GoalRewards
from workspace_rl.experience.hindsight import Hindsight
from workspace_rl.experience.replay import Importance, Replay
from workspace_rl.experience.replay_buffer import Priorities, ReplayBuffer
from workspace_rl.experience.returns import clip_rewards, n_step_transitions
from workspace_rl.experience.sequences import counting_steps, steps_side_by_side
from workspace_rl.learning.metrics import ROW_ERRORS
from workspace_rl.training.algorithm import Algorithm
from workspace_rl.training.goals import goal_rewards
from workspace_rl.workspace import Workspace


class OffPolicyAlgorithm(Algorithm[Config]):
    """An algorithm that learns from a replay buffer.

    `update` gets windows of the `stored_variables`, `[n_step_return + 1, batch_size, ...]`, and makes transitions of
    them by `transitions`. With a memory they are `[burn_in + sequence_length + n_step_return, batch_size, ...]`, with
    `env/timestep` and what the memory's state was before them.
    """

    policies: ClassVar[tuple[str, ...]] = ("policy", "random_policy", "eval_policy")
    parameters: OffPolicyConfig
    #: The variables that the replay buffer stores.
    stored_variables: Sequence[str] = ("env/env_obs", "action", "env/reward", "env/terminated")
    #: What normalises a batch, `workspace_rl.agents.Normalizers`, if anything does.
    normalizers: Any = None
    #: Whether `update` returns `row_errors`, by which windows can be drawn.
    gives_priorities: ClassVar[bool] = False
    #: What writes the features that networks read, `workspace_rl.agents.Fronts`, if anything does.
    fronts: Any = None
    #: What tells rewards of other goals, with `algorithm.hindsight`.
    _goal_rewards: GoalRewards | None = None

    def _build(self) -> None:
        if self.parameters.hindsight is not None:
            self._goal_rewards = goal_rewards(self.config.gym_env, self.train_env, self.parameters.seed)
        with contextlib.ExitStack() as if_it_fails:
            if self._goal_rewards is not None:
                if_it_fails.callback(self._goal_rewards.close)
            super()._build()
            if_it_fails.pop_all()

    def _close_environments(self) -> None:
        with contextlib.ExitStack() as both:
            both.callback(super()._close_environments)
            if self._goal_rewards is not None:
                both.callback(self._goal_rewards.close)

    @property
    def random_steps(self) -> int:
        """Steps with random actions at the beginning."""
        return self.parameters.random_steps

    @property
    def first_log(self) -> int:
        """The step at which learning starts."""
        return self.parameters.learning_starts

    def rows_per_update(self) -> int:
        """Return how many windows a batch has, this rank's share."""
        return self.ranks.share(self.parameters.batch_size, "algorithm.batch_size")

    def transitions(self, batch: Workspace, *, reward_clip: float | None = None) -> Workspace:
        """Return the transitions of a batch, `[2, B, ...]`, which networks and losses read: s at 0, s' at 1.

        Observations and rewards are normalised, features written, and rewards summed (see `n_step_transitions`), each
        where that is configured. With a memory, the transitions of all steps of the sequences stand side by side, B is
        `sequence_length * batch_size`, and `weight` (`[B]`, at 0) is 0 for those that do not count (see
        `counting_steps`): losses take means by `batch_mean`. Where windows are drawn by priorities, `weight` is their
        importance, of each transition that counts. Gradients flow through the features at 0, back to the
        first step of each sequence, and not into the frames before (`burn_in`).

        Args:
            batch: as `update` gets it; it stays as it is.
            reward_clip: c, each reward is clipped to [-c, c], before they are summed; None for no limit.
        """
        parameters, fronts = self.parameters, self.fronts
        window = batch if self.normalizers is None else self.normalizers(batch)
        if reward_clip is not None:
            window = clip_rewards(window, reward_clip)
        if fronts is not None and parameters.remembers:
            n_steps = parameters.learned_steps
            weight = counting_steps(window)[parameters.frames_before :][:n_steps]
            frames = fronts.run_over(window, parameters.frames_before)
            window = steps_side_by_side(frames, n_steps, parameters.n_step_return)
            transitions = n_step_transitions(window, parameters.discount_factor)
            weight = weight.flatten().to(transitions.get("discount", 1).dtype)
            transitions.set("weight", 0, weight * transitions.get("weight", 0) if "weight" in transitions else weight)
            return transitions
        transitions = n_step_transitions(window, parameters.discount_factor)
        if fronts is not None:
            fronts.encode(transitions)
        return transitions

    def row_errors(self, errors: Tensor, workspace: Workspace) -> dict[str, Tensor]:
        """Return what `update` returns with its metrics, where windows are `prioritized`, for them to be drawn by it.

        The error of a sequence is a part of the greatest of its transitions' and a part of their mean, of those that
        count (Kapturowski et al. 2019, "Recurrent Experience Replay in Distributed Reinforcement Learning", section
        2.3).

        Args:
            errors: what each of the `transitions` was off, of either sign, `[B]`; or by each of N critics, `[B, N]`, of
                which the mean counts.
            workspace: those transitions.
        """
        parameters = self.parameters
        errors = errors.detach().abs()
        if errors.ndim > 1:
            errors = errors.mean(-1)
        if parameters.prioritized is not None and parameters.remembers:
            count = workspace.get("weight", 0).ne(0).view(parameters.learned_steps, -1)
            errors = errors.view_as(count) * count
            share = parameters.prioritized.greatest_share
            errors = share * errors.amax(0) + (1 - share) * errors.sum(0) / count.sum(0).clamp(min=1)
        return {ROW_ERRORS: errors}

    def make_experience(self) -> Replay:
        """Return a replay buffer, from which `updates_per_collect` batches are drawn for each fragment.

        Of several ranks each has a share of the buffer, and of each batch: of all ranks' batches, since it shares in
        the updates for their fragments, too.
        """
        parameters, stacked, collectors = self.parameters, self.config.gym_env.stacked, self.config.collectors
        limiter = None if collectors is None or collectors.mode != "free" else collectors.limiter(parameters)
        window, states, by = parameters.window, self._stored_states(), parameters.prioritized
        befores = [before(name) for name in states]
        buffer = ReplayBuffer(
            -(-parameters.buffer_size // self.ranks.size),
            [*self._variables_of_frames(), *befores],
            stacked=stacked,
            first_only=befores,
            device=self.device,
            longest_window=window,
            n_sources=1 if collectors is None else collectors.n,
            n_steps=parameters.n_steps,
            keeps_versions=collectors is not None,
            priorities=None if by is None else Priorities(by.exponent, by.epsilon),
            hindsight=self._hindsight(),
        )
        return Replay(
            buffer,
            batch_size=self.rows_per_update(),
            window=window,
            learning_starts=parameters.learning_starts,
            updates_per_fragment=parameters.updates_per_collect * self.ranks.size,
            limiter=limiter,
            state_variables=states,
            importance=None if by is None else Importance(by.importance_exponent, self.total_steps),
        )

    def _hindsight(self) -> Hindsight | None:
        """Return what relabels windows, where the configuration asks for it."""
        asked = self.parameters.hindsight
        if asked is None or self._goal_rewards is None:
            return None
        return Hindsight(self._goal_rewards, strategy=asked.strategy, n_goals=asked.n_goals)

    def _variables_of_frames(self) -> list[str]:
        """Return the variables that are stored of each frame; those of all parts of an observation for the whole."""
        parts = self.train_env.observation_names
        names = [name for one in self.stored_variables for name in (parts if one == "env/env_obs" else [one])]
        return [*names, "env/timestep"] if self.parameters.remembers else names

    def _stored_states(self) -> list[str]:
        """Return the states of memories in the policy that are small enough to be stored with each frame."""
        agents = [one for one in self.policy.modules() if isinstance(one, Agent) and getattr(one, "stores_state", True)]
        return list(dict.fromkeys(name for agent in agents for name in agent.state_variables))

    def planned_updates(self) -> int:
        """Return how many updates the run will do."""
        parameters, collectors = self.parameters, self.config.collectors
        if collectors is not None and collectors.mode == "free":
            steps = self.total_steps - parameters.learning_starts
            return int(steps * collectors.ratio(parameters) / parameters.batch_size)
        collections = (self.total_steps - parameters.learning_starts) / (parameters.n_envs * parameters.n_steps)
        return int(collections * parameters.updates_per_collect)
