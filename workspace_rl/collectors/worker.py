"""A collector where its environments live: it does what it is ordered to."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable

import torch

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import COLLECTING, RENEWAL, TRAINING_EPISODES, RandomState, episode_seeds
from workspace_rl.collectors.order import Arrays, Delivery, EnvironmentsDifferError, History, Order
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.errors import CollectorError
from workspace_rl.experience.collector import Collector
from workspace_rl.experience.fragment import Effort, Fragment
from workspace_rl.learning.state.packed_weights import PackedWeights
from workspace_rl.learning.state.plain_attributes import PlainAttributes
from workspace_rl.workspace import Workspace


class CollectorWorker:
    """Builds what its recipe says when it is first needed, and then collects fragment after fragment.

    A fragment's random numbers come from the numbers in its order, so that it does not matter which process collects
    it, nor what that one did before, as long as the environments are where they were.
    """

    def __init__(self, recipe: CollectorRecipe) -> None:
        """Nothing is built yet."""
        self._recipe = recipe
        #: With what acting changes in policies besides their buffers.
        self._built: tuple[Collector, PlainAttributes] | None = None
        #: The random policy, with its buffers as they were at first.
        self._random: tuple[Agent, PackedWeights] | None = None
        #: Which environments are open.
        self._environments: tuple[int, ...] | None = None
        self._weights: tuple[int, PackedWeights] | None = None  # after the number of the update that made them

    def collect(self, order: Order) -> Delivery:
        """Collect what is ordered.

        Raises:
            EnvironmentsDifferError: environments that had been lost do not repeat what they did.
            CollectorError: the order has no weights, and those of the order before are others.
            WorkspaceRLError: what an environment or an agent has raised.
        """
        weights = self._weights_of(order)
        collector, attributes = self._built_for(order.environments, anew=order.history is not None)
        if order.history is not None:
            self._rebuild(collector, order, order.history)
            attributes.restore(order.history.kept)
        with self._random_state(order, order.index):
            weights.load_into(collector.policy)
            if order.random and self._random is not None:  # what acting has changed in it is not sent either
                random_policy, at_first = self._random
                at_first.load_into(random_policy)
            began, used = time.perf_counter(), time.process_time()
            fragment = collector.collect(order.n_steps, step=order.step, random=order.random)
            fragment.effort = Effort(time.perf_counter() - began, time.process_time() - used)
        return self._delivery(collector, order, fragment, attributes.capture())

    def progress(self) -> object:
        """Return what changes with each step, each reset, and when environments are made; from any thread."""
        return None if self._built is None else (self._environments, self._built[0].env_agent.progress)

    def close(self) -> None:
        """Close the environments."""
        if self._built is not None:
            self._built[0].close()
            self._built = None

    def _weights_of(self, order: Order) -> PackedWeights:
        if order.weights is not None:
            self._weights = order.version, order.weights
        if self._weights is None or self._weights[0] != order.version:
            raise CollectorError(
                f"collector {order.collector} is to act with the weights of update {order.version}, which were not "
                f"sent to it with fragment {order.number}, nor before."
            )
        return self._weights[1]

    def _random_state(self, order: Order, index: int) -> RandomState:
        return RandomState(self._recipe.seed, COLLECTING, order.collector, *order.environments, index)

    def _built_for(self, environments: tuple[int, ...], *, anew: bool) -> tuple[Collector, PlainAttributes]:
        """Return the collector in these environments, which are made if they are others than before, or `anew`."""
        if self._built is not None and self._environments == environments and not anew:
            return self._built
        self._environments = None
        seed, *_ = episode_seeds(self._recipe.seed, TRAINING_EPISODES, self._recipe.number, *environments, n=1)
        with RandomState(self._recipe.seed, RENEWAL, self._recipe.number, *environments):
            if self._built is None:
                self._built = self._build(seed)
            else:
                collector, attributes = self._built
                collector.env_agent.renew()
                collector.env_agent.seed(seed)
                collector.restart(0)
                attributes.restore()
        self._environments = environments
        return self._built

    def _build(self, seed: int) -> tuple[Collector, PlainAttributes]:
        recipe = self._recipe
        recipe.known.make_known()
        env = make_env_agent(recipe.env_config, recipe.n_envs, auto_reset=True, seed=seed, device="cpu")
        # Collectors in one process share nothing, so that they do the same as in several.
        random_policy = None if recipe.random_policy is None else recipe.random_policy.clone()
        self._random = None if random_policy is None else (random_policy, PackedWeights.of(random_policy))
        collector = Collector(
            env,
            recipe.policy,
            random_policy,
            keep_modes=recipe.keep_modes,
            choose_anew=recipe.choose_anew,
            seed=recipe.seed,
        )
        return collector, PlainAttributes(one for one in (collector.policy, random_policy) if one is not None)

    def _rebuild(self, collector: Collector, order: Order, history: History) -> None:
        """Bring the environments to where they were."""
        for index, (actions, checksum) in enumerate(zip(history.actions, history.checksums, strict=True)):
            with self._random_state(order, index):
                fragment = collector.repeat(torch.from_numpy(actions))
            if checksum != _checksum(fragment, collector.env_agent.output_prefix):
                self._environments = None
                raise EnvironmentsDifferError(f"fragment {index + 1} of {len(history.actions)}")
        collector.carry_on({name: torch.from_numpy(value) for name, value in history.carried.items()})

    def _delivery(self, collector: Collector, order: Order, fragment: Fragment, kept: bytes) -> Delivery:
        env = collector.env_agent
        returns, lengths = fragment.episodes
        return Delivery(
            collector=order.collector,
            number=order.number,
            version=order.version,
            frames=_arrays(fragment, self._recipe.variables),
            n_transitions=fragment.n_transitions,
            begins_anew=fragment.begins_anew,
            n_repeated=fragment.n_repeated,
            returns=returns.numpy(),
            lengths=lengths.numpy(),
            state={name: value.numpy() for name, value in fragment.state.items()},
            actions=fragment.get_full(env.input_name).numpy(),
            carried={name: value.numpy() for name, value in collector.carried().items()},
            kept=kept,
            checksum=_checksum(fragment, env.output_prefix),
            effort=fragment.effort,
        )


def _arrays(frames: Workspace, names: Iterable[str]) -> Arrays:
    return {name: frames.get_full(name).numpy(force=True) for name in names}


def _checksum(frames: Workspace, prefix: str) -> int:
    """Return the checksum of what environments have written."""
    checksum = 0
    for name in sorted(name for name in frames if name.startswith(prefix)):
        checksum = zlib.crc32(frames.get_full(name).numpy(force=True).tobytes(), checksum)
    return checksum
