"""A collector where its environments live: it does what it is ordered to."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable

import numpy as np
import torch

from workspace_rl.basics.seeding import COLLECTING, RENEWAL, TRAINING_EPISODES, RandomState, episode_seeds
from workspace_rl.collectors.order import Arrays, Delivery, EnvironmentsDifferError, History, Order
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.experience.collector import Collector
from workspace_rl.experience.fragment import Effort, Fragment
from workspace_rl.workspace import Workspace


class CollectorWorker:
    """Builds what its recipe says when it is first needed, and then collects fragment after fragment.

    A fragment's random numbers come from the numbers in its order, so that it does not matter which process collects
    it, nor what that one did before, as long as the environments are where they were.
    """

    def __init__(self, recipe: CollectorRecipe) -> None:
        """Nothing is built yet."""
        self._recipe = recipe
        self._collector: Collector | None = None
        #: Which environments are open.
        self._environments: tuple[int, ...] | None = None

    def collect(self, order: Order) -> Delivery:
        """Collect what is ordered.

        Raises:
            EnvironmentsDifferError: environments that had been lost do not repeat what they did.
            WorkspaceRLError: what an environment or an agent has raised.
        """
        collector = self._collector_in(order.environments, anew=order.history is not None)
        if order.history is not None:
            self._rebuild(collector, order, order.history)
        with self._random_state(order, order.index):
            order.weights.load_into(collector.policy)
            began, used = time.perf_counter(), time.process_time()
            fragment = collector.collect(order.n_steps, step=order.step, random=order.random)
            fragment.effort = Effort(time.perf_counter() - began, time.process_time() - used)
        return self._delivery(collector, order, fragment)

    def close(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            self._collector.close()
            self._collector = None

    def _random_state(self, order: Order, index: int) -> RandomState:
        return RandomState(self._recipe.seed, COLLECTING, order.collector, *order.environments, index)

    def _collector_in(self, environments: tuple[int, ...], *, anew: bool) -> Collector:
        """Return the collector in these environments, which are made if they are others than before, or `anew`."""
        recipe, collector = self._recipe, self._collector
        if collector is None or self._environments != environments or anew:
            self._environments = None
            seed, *_ = episode_seeds(recipe.seed, TRAINING_EPISODES, recipe.number, *environments, n=1)
            with RandomState(recipe.seed, RENEWAL, recipe.number, *environments):
                if collector is None:
                    collector = self._collector = self._make_collector(seed)
                else:
                    collector.env_agent.renew()
                    collector.env_agent.seed(seed)
                    collector.restart(0)
            self._environments = environments
        return collector

    def _make_collector(self, seed: int) -> Collector:
        recipe = self._recipe
        recipe.make_known()
        env = make_env_agent(recipe.env_config, recipe.n_envs, auto_reset=True, seed=seed, device="cpu")
        # Collectors in one process share nothing, so that they do the same as in several.
        random_policy = None if recipe.random_policy is None else recipe.random_policy.clone()
        return Collector(env, recipe.policy, random_policy, keep_modes=recipe.keep_modes, seed=recipe.seed)

    def _rebuild(self, collector: Collector, order: Order, history: History) -> None:
        """Bring the environments to where they were."""
        for index, (actions, checksum) in enumerate(zip(history.actions, history.checksums, strict=True)):
            with self._random_state(order, index):
                fragment = collector.repeat(torch.from_numpy(actions))
            if checksum != _checksum(fragment, collector.env_agent.output_prefix):
                self._environments = None
                raise EnvironmentsDifferError(f"fragment {index + 1} of {len(history.actions)}")
        collector.carry_on({name: torch.from_numpy(value) for name, value in history.carried.items()})

    def _delivery(self, collector: Collector, order: Order, fragment: Fragment) -> Delivery:
        env = collector.env_agent
        returns, lengths = fragment.episodes
        return Delivery(
            collector=order.collector,
            number=order.number,
            version=order.version,
            frames=_arrays(fragment, self._recipe.variables),
            n_transitions=fragment.n_transitions,
            begins_anew=fragment.begins_anew,
            returns=returns.numpy(),
            lengths=lengths.numpy(),
            state={name: value.numpy() for name, value in fragment.state.items()},
            actions=fragment.get_full(env.input_name).numpy(),
            carried={name: value.numpy() for name, value in collector.carried().items()},
            checksum=_checksum(fragment, env.output_prefix),
            effort=fragment.effort,
        )


def _arrays(frames: Workspace, names: Iterable[str]) -> Arrays:
    return {name: frames.get_full(name).numpy(force=True) for name in names}


def _checksum(frames: Workspace, prefix: str) -> int:
    """Return the checksum of what environments have written."""
    checksum = 0
    for name in sorted(name for name in frames if name.startswith(prefix)):
        checksum = zlib.crc32(np.ascontiguousarray(frames.get_full(name).numpy(force=True)).view(np.uint8), checksum)
    return checksum
