"""The memory that a configuration asks for."""

from __future__ import annotations

from typing import Unpack

from workspace_rl.agents.memory.gru import GRUAgent
from workspace_rl.agents.memory.lstm import LSTMAgent
from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions
from workspace_rl.agents.memory.transformer import TransformerAgent
from workspace_rl.config.networks_config import MemoryConfig
from workspace_rl.errors import ConfigError

#: What can be asked for, with its parameters besides those that all have.
KINDS: dict[str, tuple[type[MemoryAgent], tuple[str, ...]]] = {
    "gru": (GRUAgent, ()),
    "lstm": (LSTMAgent, ()),
    "transformer": (TransformerAgent, ("n_heads", "window")),
}


def make_memory(config: MemoryConfig, input_size: int, **options: Unpack[MemoryOptions]) -> MemoryAgent:
    """Return the memory of a configuration over `input_size` numbers; for the options see `MemoryAgent`.

    Raises:
        ConfigError: none is asked for, or parameters contradict each other.
    """
    config.check("memory.")
    if config.kind not in KINDS:
        raise ConfigError(f"memory.kind: {' or '.join(map(repr, KINDS))} expected, {config.kind!r} found.")
    kind, names = KINDS[config.kind]
    own = {name: getattr(config, name) for name in ("size", "n_layers", *names)}
    return kind(input_size, **own, **options)
