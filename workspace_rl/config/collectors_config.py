"""What a run can be told about collectors beside each other: the section `collectors`, which may be absent."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass

from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.schema import option
from workspace_rl.config.training_config import OffPolicyConfig, TrainingConfig
from workspace_rl.errors import ConfigError, MissingDependencyError
from workspace_rl.experience.block_limiter import BlockLimiter
from workspace_rl.messages.installation import how_to_install

#: Options that say how collectors of free mode are held together; in lockstep numbers decide that.
_OF_FREE_MODE = ("samples_per_insert", "error_buffer", "max_weights_age")


@dataclass
class CollectorsConfig:
    """Collectors beside each other: how many, where they live, and how they and the learner keep pace."""

    n: int = option(1, "collectors, each with n_envs environments; steps are summed over all of them", least=1)
    where: str = option(
        "process",
        "where their environments and policies are: in the learner's process, in processes of their own, on Ray",
        choices=("process", "local", "ray"),
    )
    mode: str = option(
        "lockstep",
        "in rounds that repeat bit for bit, wherever the collectors are; or free, each at its own speed",
        choices=("lockstep", "free"),
    )
    lag: int = option(
        0, "rounds by which the weights that act are old in lockstep; with 1, collecting and learning overlap",
        choices=(0, 1),
    )  # fmt: skip
    address: str | None = option(
        None, "the Ray cluster to join: HOST:PORT, or auto for this machine's; null: a new one on this machine"
    )
    samples_per_insert: float | None = option(
        None,
        "free: sampled items for each transition put in; null: the ratio of updates_per_collect, "
        "updates_per_collect x batch_size / (n_envs x n_steps)",
        above=0,
    )
    error_buffer: float | None = option(
        None,
        "free: sampled items that learning may be ahead or behind; null: ahead a batch, behind two fragments of each",
        above=0,
    )
    max_weights_age: int | None = option(
        None,
        "free: fragments whose weights are more than so many updates old are thrown away; null: none are",
        least=1,
    )
    cpus_each: float = option(1, "processors that Ray reserves for a collector; 0.1 packs ten on one", least=0)
    max_restarts: int = option(100, "how often collectors that failed are started again in the whole run", least=0)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        given = [name for name in _OF_FREE_MODE if getattr(self, name) is not None]
        if given and self.mode == "lockstep":
            raise ConfigError(
                f"{path}{given[0]}: null expected with {path}mode=lockstep, {getattr(self, given[0])} found: there "
                f"updates_per_collect says how much is learned from a fragment. Use {path}mode=free, or leave it out."
            )
        if self.lag and self.mode == "free":
            raise ConfigError(
                f"{path}lag: 0 expected with {path}mode=free, {self.lag} found: there are no rounds that weights could "
                f"be late by. {path}max_weights_age bounds their age, in updates; {path}mode=lockstep has a lag."
            )
        if self.address is not None and self.where != "ray":
            raise ConfigError(
                f"{path}address: null expected with {path}where={self.where}, {self.address!r} found. Collectors of a "
                f"Ray cluster need {path}where=ray."
            )
        if self.address is not None and not re.fullmatch(r"auto|(\[[0-9a-fA-F:]+\]|[^\s:/]+):[0-9]{1,5}", self.address):
            raise ConfigError(
                f"{path}address: HOST:PORT, as 10.0.0.7:6379, auto or null expected, {self.address!r} found."
            )

    def check_run(self, parameters: TrainingConfig, environment: EnvironmentConfig) -> None:
        """Raise a `ConfigError` if collectors such as these cannot serve a run of these parameters."""
        if environment.single_instance and self.where == "process":
            raise ConfigError(
                "collectors.where: local or ray expected with gym_env.single_instance, process found: the simulator "
                "can be open only once in a process, and the learner's opens it, too, to know its spaces and to score. "
                "Use collectors.where=local, a process for each collector, or leave the section collectors out."
            )
        if self.mode == "lockstep":
            return
        if not isinstance(parameters, OffPolicyConfig):
            raise ConfigError(
                "collectors.mode: lockstep expected, free found: this algorithm learns from what its newest weights "
                "have collected, and in free mode any may have. Use collectors.mode=lockstep."
            )
        try:
            self.limiter(parameters)
        except ConfigError as error:
            raise ConfigError(f"collectors.mode=free: {error}") from error

    def ratio(self, parameters: OffPolicyConfig) -> float:
        """Return how many items are sampled for each transition put in."""
        if self.mode == "free" and self.samples_per_insert is not None:
            return self.samples_per_insert
        return parameters.updates_per_collect * parameters.batch_size / (parameters.n_envs * parameters.n_steps)

    def limiter(self, parameters: OffPolicyConfig) -> BlockLimiter:
        """Return what holds collecting and learning together in free mode.

        Raises:
            ConfigError: they could wait for each other for ever.
        """
        return BlockLimiter.for_collectors(
            self.n,
            block=parameters.n_envs * parameters.n_steps,
            batch=parameters.batch_size,
            capacity=-(-parameters.buffer_size // parameters.n_envs) * parameters.n_envs,
            min_size=max(1, parameters.learning_starts),
            samples_per_insert=self.ratio(parameters),
            error_buffer=self.error_buffer,
        )

    def require_installed(self) -> None:
        """Look whether what the collectors live on is installed, without importing it.

        Raises:
            MissingDependencyError: it is not.
        """
        if self.where == "ray" and importlib.util.find_spec("ray") is None:
            raise MissingDependencyError(
                f"collectors.where=ray needs the package ray: {how_to_install('ray')}. "
                "collectors.where=local needs nothing else, on one machine."
            )
