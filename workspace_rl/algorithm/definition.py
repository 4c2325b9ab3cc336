"""What an algorithm's author writes: parameters, agents, and one update."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor

from workspace_rl.agent import Agent
from workspace_rl.algorithm.contract import require_declared
from workspace_rl.config import RunConfig, TrainingConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.experience.collector import Collecting, Collector
from workspace_rl.experience.experience import Experience
from workspace_rl.learning.optimizers import scale_learning_rates
from workspace_rl.learning.state.training_state import Part
from workspace_rl.learning.statistics import Statistics
from workspace_rl.ranks import Alone

Config = TypeVar("Config", bound=RunConfig)
Member = TypeVar("Member")


class AlgorithmDefinition(ABC, Generic[Config]):
    """What is particular to an algorithm; the loop around it is the same for all (see `training.Algorithm`).

    A subclass names its `config_class` and its `action_kind`, builds its agents in `build`, and learns in `update`.
    """

    config_class: ClassVar[type[RunConfig]]
    #: The actions it is for, "continuous" say, or ("discrete", "multi-discrete") (see `GymAgent.action_kind`).
    action_kind: ClassVar[str | tuple[str, ...]]
    #: Which policies `build` sets.
    policies: ClassVar[tuple[str, ...]] = ("policy", "eval_policy")
    #: Whether `policy` and `random_policy` collect in evaluation mode. If not, each of their modules keeps the mode
    #: that `build` has left it in: dropout then explores.
    collects_in_evaluation_mode: ClassVar[bool] = True
    #: Whether all actions of a fragment are those of the weights that act: see `Collector`.
    chooses_anew: ClassVar[bool] = False

    #: The resolved configuration, and its part `algorithm`.
    config: Config
    parameters: TrainingConfig
    device: torch.device
    #: The environments of training; `build` asks for their spaces.
    train_env: GymAgent
    #: Those that learn together, each in a process of its own: one, unless torchrun has started the program.
    ranks: Alone = Alone()
    #: Whether weights are about to come from a checkpoint, so that `build` need not look for any to begin with.
    has_checkpoint: bool = False

    #: The agent that acts while training; it explores by itself.
    policy: Agent
    #: The agent that acts in the first `random_steps`.
    random_policy: Agent
    #: The agent that is evaluated and saved.
    eval_policy: Agent

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object, if its class is complete."""
        require_declared(cls)
        return super().__new__(cls)

    @abstractmethod
    def build(self) -> None:
        """Create the agents (on `self.device`) and the optimisers, and set the policies."""

    @abstractmethod
    def update(self, *args: Any, **flags: Any) -> dict[str, Tensor]:
        """Learn: `update(batch, **flags)`; return metrics, scalar tensors.

        The batch is a workspace, `[T, B, ...]`, as the experience gives it; `flags` are those of `update_flags`. This
        is what gets compiled: it does not ask for a tensor's value, and what it reads besides its arguments are
        tensors, or does not change.
        """

    def update_flags(self, n: int) -> dict[str, Any]:
        """Return the keyword arguments of the n-th update (from 1), for instance whether the actor is updated."""
        return {}

    def begin_updates(self, step: int) -> None:
        """Do what is due before the updates that follow a collection; `step` counts the steps so far.

        Learning rates fall along a line, to 0 at the end of the run, where `anneal_learning_rate` says so. An override
        calls this one, too.
        """
        if self.parameters.anneal_learning_rate:
            scale_learning_rates(self.optimizers(), 1 - step / self.parameters.run_length)

    def enough(self, metrics: dict[str, Tensor]) -> bool:
        """Return whether what an update has measured says that the fragments' other batches are to be left out."""
        return False

    def schedules(self, step: int) -> dict[str, float]:
        """Return what changes with the number of steps alone and is to be logged, for instance epsilon."""
        return {}

    # ---- the parts of the loop that an algorithm chooses ----------------------------------------------------------

    @abstractmethod
    def make_experience(self) -> Experience:
        """Return a new one of what fragments go into, and batches come from.

        An own one is of a class derived from `Experience`, or goes around the usual one:
        `MyExperienceWrapper(super().make_experience())`.
        """

    def make_collector(self) -> Collecting:
        """Return a new one of what collects fragments by `policy`: in this process, from `train_env`.

        An own one has the methods of `Collecting`; it may go around the usual one, `super().make_collector()`.
        """
        return Collector(
            self.train_env,
            self.policy,
            getattr(self, "random_policy", None),
            keep_modes=not self.collects_in_evaluation_mode,
            choose_anew=self.chooses_anew,
            seed=self.ranks.seed(self.parameters.seed),
        )

    @property
    def random_steps(self) -> int:
        """Steps with random actions at the beginning."""
        return 0

    @property
    def first_log(self) -> int:
        """The step at which the loop first logs."""
        return 0

    def rows_per_update(self) -> int:
        """Return how many rows an update's products have."""
        return self.parameters.n_envs * self.parameters.n_steps

    def planned_updates(self) -> int:
        """Return how many updates the run will do: one for each fragment unless a subclass knows better."""
        return self.parameters.run_length // (self.parameters.n_envs * self.parameters.n_steps)

    # ---- what it consists of --------------------------------------------------------------------------------------

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Return the optimisers that `build` has made."""
        return list(self.members(torch.optim.Optimizer).values())

    def members(self, kind: type[Member]) -> dict[str, Member]:
        """Return the attributes of a kind by their names, those in lists and dictionaries among them."""
        return {name: one for key, value in vars(self).items() for name, one in _found(key, value, kind)}

    def running_statistics(self) -> list[Statistics]:
        """Return what counts the frames that are collected: in its modules, or one of them, each once."""
        parts = (part for module in self.members(torch.nn.Module).values() for part in module.modules())
        return list(dict.fromkeys(part for part in parts if isinstance(part, Statistics)))

    def parts(self) -> dict[str, Part]:
        """Return the modules and optimisers that make up the algorithm's state."""
        parts: dict[str, Part] = {**self.members(torch.nn.Module), **self.members(torch.optim.Optimizer)}
        loose = torch.nn.Module()
        for name, tensor in self.members(Tensor).items():  # such as a coefficient that is learned
            loose.register_buffer(name, tensor)
        return {**parts, "tensors": loose} if loose._buffers else parts


def _found(name: str, value: Any, kind: type[Member]) -> Iterator[tuple[str, Member]]:
    if isinstance(value, kind):
        yield name, value
    elif isinstance(value, list | tuple | dict):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            yield from _found(f"{name}[{key}]", one, kind)
