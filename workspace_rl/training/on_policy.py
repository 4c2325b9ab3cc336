"""Algorithms that learn from what their policy has just done."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from workspace_rl.agent import Agent, before, state_variables
from workspace_rl.algorithm.definition import Config
from workspace_rl.config import OnPolicyConfig
from workspace_rl.experience.returns import gae
from workspace_rl.experience.rollout import Rollout
from workspace_rl.training.algorithm import Algorithm
from workspace_rl.workspace import Workspace

#: What is put before the names of what acting wrote, which learning writes anew.
OLD = "old/"


class OnPolicyAlgorithm(Algorithm[Config]):
    """An algorithm that learns from rollouts of its own policy, and throws each away after it.

    Acting writes `action`, `action_logprobs` and `value` for `[T, B]`; learning runs the same agents again on the
    stored observations, with the stored actions `given`. `update` gets the rows that `prepare` makes of a rollout,
    `[T, B, ...]`, or minibatches of them, `[1, batch_size, ...]`. A policy with memory begins with the state before the
    rollout, and goes through all of its steps: minibatches are then whole environments, `[T, b, ...]`.
    """

    chooses_anew: ClassVar[bool] = True
    action_kind: ClassVar[str | tuple[str, ...]] = ("continuous", "discrete", "multi-discrete", "multi-binary")
    parameters: OnPolicyConfig
    #: What brings the rewards of a rollout to one size, if anything does: it writes them anew.
    reward_normalizer: Agent | None = None

    # ---- the rows that are learned from ---------------------------------------------------------------------------

    @property
    def read_variables(self) -> list[str]:
        """The variables that the policy reads where actions are given: observations, actions, masks, times."""
        given = [name for part in self.policy.modules() for name in getattr(part, "given_variables", ())]
        return list(dict.fromkeys((*self.train_env.observation_names, *given)))

    def make_experience(self) -> Rollout:
        """Return what gives each rollout `n_epochs` times, in minibatches of `batch_size` rows where that is given."""
        variables = [*self.read_variables, "action_logprobs", "env/reward", "env/terminated"]
        if self.has_values:
            variables.append("value")
        return Rollout(
            self.parameters.n_steps,
            variables,
            n_epochs=self.parameters.n_epochs,
            batch_size=None if self.parameters.batch_size is None else self.rows_per_update(),
            prepare=self._prepare,
            prepare_each_epoch=self.parameters.recompute_advantages,
            state_variables=state_variables(self.policy),
        )

    @property
    def has_values(self) -> bool:
        """Whether acting writes `value`."""
        return True

    def _prepare(self, rollout: Workspace, epoch: int = 0) -> Workspace:
        if self.reward_normalizer is not None:
            rollout = Workspace(rollout)
            self.reward_normalizer(rollout)
        if self.parameters.recompute_advantages and self.has_values:
            judged = Workspace(rollout)
            self.policy(judged, given=True)
            rollout = Workspace(rollout)
            rollout.set_full("value", judged.get_full("value"))
        return self.prepare(rollout)

    def prepare(self, rollout: Workspace) -> Workspace:
        """Return the rows of a rollout, `[T + 1, B, ...]`, that are learned from, `[T, B, ...]`.

        They hold what the policy reads, its state before the first of them (`before(name)`, `[1, B, ...]`), and, each
        `[T, B]`: what acting wrote as `old/action_logprobs` and `old/value`; `advantage` and `return`, which is the
        advantage plus the old value; and `weight`, 0 where the row is no transition, since it only carries a reset, and
        1 elsewhere.
        """
        rows = Workspace()
        for name in self.read_variables:
            rows.set_full(name, rollout.get_full(name)[:-1])
        for name in map(before, state_variables(self.policy)):
            rows.set_full(name, rollout.get_full(name))
        rows.set_full(f"{OLD}action_logprobs", rollout.get_full("action_logprobs")[:-1])
        advantage, value = self.advantages(rollout)
        rows.set_full(f"{OLD}value", value)
        rows.set_full("advantage", advantage)
        rows.set_full("return", advantage + value)
        rows.set_full("weight", (~rollout.get_full("env/done")[:-1]).to(advantage.dtype))
        return rows

    def advantages(self, rollout: Workspace) -> tuple[Tensor, Tensor]:
        """Return the advantages of a rollout's rows and the values that they are measured from, each `[T, B]`.

        Generalised advantage estimates (see `gae`), from the values that were written with the actions: they stand at
        each frame, also where an episode's last observation does.
        """
        value = rollout.get_full("value")
        advantage = gae(
            rollout.get_full("env/reward")[1:],
            value[:-1],
            value[1:],
            bootstrap=~rollout.get_full("env/terminated")[1:],
            trace=~rollout.get_full("env/done")[1:],
            discount_factor=self.parameters.discount_factor,
            gae_lambda=self.parameters.gae_lambda,
        )
        return advantage, value[:-1]

    # ---- pace -----------------------------------------------------------------------------------------------------

    def rows_per_update(self) -> int:
        """Return how many rows an update has, this rank's share."""
        if self.parameters.batch_size is None:
            return self._rows_of_rollout
        return self.ranks.share(self.parameters.batch_size, "algorithm.batch_size")

    @property
    def _rows_of_rollout(self) -> int:
        collectors = self.config.collectors
        n_collectors = 1 if collectors is None else collectors.n
        return n_collectors * self.parameters.n_envs * self.parameters.n_steps

    def planned_updates(self) -> int:
        """Return how many updates the run will do."""
        # Of all ranks, as steps are.
        return self.total_steps * self.parameters.n_epochs // (self.rows_per_update() * self.ranks.size)
