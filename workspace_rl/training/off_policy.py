"""Algorithms that learn from a replay buffer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from workspace_rl.algorithm.definition import Config
from workspace_rl.config import OffPolicyConfig
from workspace_rl.experience.replay import Replay
from workspace_rl.experience.replay_buffer import ReplayBuffer
from workspace_rl.training.algorithm import Algorithm


class OffPolicyAlgorithm(Algorithm[Config]):
    """An algorithm that learns from a replay buffer.

    `update` gets windows `[n_step_return + 1, batch_size, ...]` of the `stored_variables`.
    """

    policies: ClassVar[tuple[str, ...]] = ("policy", "random_policy", "eval_policy")
    parameters: OffPolicyConfig
    #: The variables that the replay buffer stores.
    stored_variables: Sequence[str] = ("env/env_obs", "action", "env/reward", "env/terminated")

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

    def make_experience(self) -> Replay:
        """Return a replay buffer, from which `updates_per_collect` batches are drawn for each fragment.

        Of several ranks each has a share of the buffer, and of each batch: of all ranks' batches, since it shares in
        the updates for their fragments, too.
        """
        parameters, stacked, collectors = self.parameters, self.config.gym_env.stacked, self.config.collectors
        limiter = None if collectors is None or collectors.mode != "free" else collectors.limiter(parameters)
        window = parameters.n_step_return + 1
        buffer = ReplayBuffer(
            -(-parameters.buffer_size // self.ranks.size),
            self.stored_variables,
            stacked=stacked,
            device=self.device,
            longest_window=window,
            n_sources=1 if collectors is None else collectors.n,
            n_steps=parameters.n_steps,
            keeps_versions=collectors is not None,
        )
        return Replay(
            buffer,
            batch_size=self.rows_per_update(),
            window=window,
            learning_starts=parameters.learning_starts,
            updates_per_fragment=parameters.updates_per_collect * self.ranks.size,
            limiter=limiter,
        )

    def planned_updates(self) -> int:
        """Return how many updates the run will do."""
        parameters, collectors = self.parameters, self.config.collectors
        if collectors is not None and collectors.mode == "free":
            steps = self.total_steps - parameters.learning_starts
            return int(steps * collectors.ratio(parameters) / parameters.batch_size)
        collections = (self.total_steps - parameters.learning_starts) / (parameters.n_envs * parameters.n_steps)
        return int(collections * parameters.updates_per_collect)
