"""What stands between environments and a network that acts or judges: an encoder, a memory, both or none."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from workspace_rl.agent import Agent
from workspace_rl.agents.encoders import Encoder, make_encoder, needs_encoder
from workspace_rl.agents.memory import MemoryAgent, make_memory
from workspace_rl.agents.normalization import Normalizers
from workspace_rl.composition import Agents
from workspace_rl.config import EncoderConfig, MemoryConfig
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import ConfigError

#: What is put before the names of what copies before target networks write.
TARGET = "target/"


class FrontArchitecture(Protocol):
    """What a section `architecture` says of fronts; it may name the `network` behind them, too."""

    encoder: EncoderConfig | None
    memory: MemoryConfig


class Front(NamedTuple):
    """Agents that turn observations into the features that a network reads; none where it reads observations."""

    #: An encoder, then a memory. What normalises observations stands before them, once for all fronts.
    agents: list[Encoder | MemoryAgent]
    #: What the network's input looks like in one environment: `[n]`, or `[C, H, W]` for a network that reads pictures.
    shape: list[int]
    #: What the network is told of its input besides the size: `observation_variable`, `observation_choices`.
    reads: Mapping[str, Any]

    @property
    def size(self) -> int:
        """How many inputs a network for vectors has."""
        (size,) = self.shape
        return size

    @property
    def variable(self) -> str | list[str]:
        """The variable that the network reads; of several networks side by side those of each."""
        return self.reads.get("observation_variable", "env/env_obs")  # type: ignore[no-any-return]

    @property
    def variables(self) -> list[str]:
        """The variables that the network reads."""
        return [self.variable] if isinstance(self.variable, str) else self.variable

    def before(self, agent: Agent) -> Agent:
        """Return `agent`, which reads the features, behind what writes them."""
        return Agents(*self.agents, agent) if self.agents else agent

    def target(self) -> Front:
        """Return a copy before a target network, which writes the same names behind "target/" and does not learn."""
        written = {agent.features_variable for agent in self.agents}
        copies = [copy.deepcopy(agent).with_prefix(TARGET).requires_grad_(False) for agent in self.agents]
        for agent in copies:
            agent.set_name(f"target-{agent.name}")
            if isinstance(agent, MemoryAgent) and agent.observation_variable in written:  # by an encoder before it
                agent.observation_variable = TARGET + agent.observation_variable
        variables = [TARGET + name if name in written else name for name in self.variables]
        reads = {"observation_variable": variables if isinstance(self.variable, list) else variables[0]}
        return Front(copies, self.shape, {**self.reads, **reads})

    @staticmethod
    def side_by_side(fronts: Sequence[Front]) -> Front:
        """Return fronts of networks that are asked together, each of which reads its own features.

        Where there is nothing in them, they all read the same observations.
        """
        first = fronts[0]
        if not first.agents:
            return first
        variables = [name for front in fronts for name in front.variables]
        return Front(
            [agent for front in fronts for agent in front.agents], first.shape, {"observation_variable": variables}
        )


def build_front(
    env_agent: GymAgent,
    architecture: FrontArchitecture,
    normalizers: Normalizers,
    *,
    mask_variable: str | None = None,
    features_variable: str = "features",
    name: str = "",
) -> Front:
    """Return the front of a network, or of several that read the same features.

    Args:
        env_agent: whose observations are read.
        architecture: says which encoder and which memory there are. Where no encoder is configured, there is one all
            the same for observations that `architecture.network` (a perceptron, where it names none) does not read.
        normalizers: what observations go through before.
        mask_variable: which actions are allowed: a part of the observation that networks do not read.
        features_variable: what is written, if anything is.
        name: what its agents are called besides "encoder" and "memory": "critic" for "critic-memory".

    Raises:
        UnsupportedSpaceError: no network reads observations of this kind.
        ConfigError: encoder, memory and network do not go together.
    """
    memory, network = architecture.memory, getattr(architecture, "network", "mlp")
    if memory.remembers and network != "mlp":
        raise ConfigError(
            f"algorithm.architecture.network: 'mlp' expected behind a memory ({memory.kind}), {network!r} found. What "
            "turns pictures into what it remembers is chosen by algorithm.architecture.encoder.images."
        )
    agents: list[Encoder | MemoryAgent] = []
    reads, named = normalizers.reads, (lambda what: f"{name}-{what}" if name else what)
    if needs_encoder(env_agent, architecture.encoder, mask_variable=mask_variable, network=network):
        parts = normalizers.parts(env_agent.observation_parts(mask_variable))
        written = f"{features_variable}/encoded" if memory.remembers else features_variable
        encoder = make_encoder(parts, architecture.encoder, features_variable=written, name=named("encoder"))
        agents.append(encoder)
        shape, reads = [encoder.n_features], {"observation_variable": written}
    else:
        observed = env_agent.observed(mask_variable)
        shape = [observed.size] if network == "mlp" else list(observed.space.shape or ())
    if memory.remembers:
        (size,) = shape
        remembers = make_memory(memory, size, features_variable=features_variable, name=named("memory"), **reads)
        agents.append(remembers)
        shape, reads = [remembers.n_features], {"observation_variable": features_variable}
    return Front(agents, shape, reads)
