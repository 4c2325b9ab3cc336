"""A fleet: collectors as configured, in the place where they are to live, and what drives them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workspace_rl.agent import Agent
from workspace_rl.collectors.driver import Collectors
from workspace_rl.collectors.faults import Faults
from workspace_rl.collectors.free_running import FreeRunning
from workspace_rl.collectors.lockstep import Lockstep
from workspace_rl.collectors.places.in_process import InProcess
from workspace_rl.collectors.places.local_processes import LocalProcesses
from workspace_rl.collectors.places.place import Place
from workspace_rl.collectors.places.ray_actors import RayActors
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.training_config import TrainingConfig
from workspace_rl.envs.known_elsewhere import KnownEnvironment
from workspace_rl.errors import ConfigError
from workspace_rl.experience.block_limiter import BlockLimiter


@dataclass(frozen=True)
class FleetPlan:
    """All that a fleet is made of."""

    config: CollectorsConfig
    env_config: EnvironmentConfig
    parameters: TrainingConfig
    #: What the collectors' random numbers are derived from: of learners side by side, each has its own.
    seed: int
    policy: Agent
    random_policy: Agent | None
    #: Whether policies act in the modes that their modules have now, or in evaluation mode.
    keep_modes: bool
    #: Whether the action of a fragment's last frame is chosen again by the weights of the next one.
    choose_anew: bool
    #: Transitions of the run, in all, with random actions at the beginning.
    random_steps: int
    #: The variables that fragments are to hold.
    variables: Iterable[str]
    #: Threads of torch.
    threads: int
    #: What holds collecting and learning together in free mode, if the experience knows that.
    limiter: BlockLimiter | None = None

    def recipes(self) -> list[CollectorRecipe]:
        """Return the recipes of the collectors; they act on the CPU, wherever the learner is."""
        known = KnownEnvironment.of(self.env_config.env_name, self.env_config.wrappers)
        variables = tuple(dict.fromkeys((*self.variables, "env/done")))
        return [
            CollectorRecipe(
                number=number,
                seed=self.seed,
                env_config=self.env_config,
                known=known,
                n_envs=self.parameters.n_envs,
                policy=self.policy.clone().to("cpu"),
                random_policy=None if self.random_policy is None else self.random_policy.clone().to("cpu"),
                keep_modes=self.keep_modes,
                choose_anew=self.choose_anew,
                variables=variables,
                threads=self.threads,
            )
            for number in range(self.config.n)
        ]


def make_fleet(plan: FleetPlan) -> Collectors:
    """Return what drives collectors, which are yet to be started.

    Raises:
        ConfigError: they are to run freely, and nothing limits how far from learning.
    """
    config, parameters = plan.config, plan.parameters
    place, recipes, faults = _place(config), plan.recipes(), Faults(config.max_restarts, parameters.seed)
    if config.mode == "lockstep":
        return Lockstep(
            place,
            recipes,
            faults,
            policy=plan.policy,
            n_steps=parameters.n_steps,
            random_steps=plan.random_steps,
            lag=config.lag,
        )
    if plan.limiter is None:
        raise ConfigError(
            "collectors.mode: lockstep expected, free found: the experience that make_experience returns has no "
            "limiter, which says how much may be collected. Use lockstep, or derive it from Replay, and give that "
            "limiter=self.config.collectors.limiter(self.parameters)."
        )
    return FreeRunning(
        place,
        recipes,
        faults,
        plan.limiter,
        policy=plan.policy,
        n_steps=parameters.n_steps,
        random_steps=plan.random_steps,
        max_weights_age=config.max_weights_age,
    )


def _place(config: CollectorsConfig) -> Place:
    if config.where == "ray":
        return RayActors(config.address, config.cpus_each)
    return LocalProcesses() if config.where == "local" else InProcess()
