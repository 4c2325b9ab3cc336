"""The memory that a configuration asks for."""

from __future__ import annotations

from typing import Unpack

from workspace_rl.agents.memory.gru import GRUAgent
from workspace_rl.agents.memory.lstm import LSTMAgent
from workspace_rl.agents.memory.memory_agent import MemoryAgent, MemoryOptions
from workspace_rl.config.networks_config import MemoryConfig
from workspace_rl.errors import ConfigError

RECURRENT = {"gru": GRUAgent, "lstm": LSTMAgent}


def make_memory(config: MemoryConfig, input_size: int, **options: Unpack[MemoryOptions]) -> MemoryAgent:
    """Return the memory of a configuration over `input_size` numbers; for the options see `MemoryAgent`.

    Raises:
        ConfigError: none is asked for, or parameters contradict each other.
    """
    config.check("memory.")
    if config.kind in RECURRENT:
        return RECURRENT[config.kind](input_size, config.size, config.n_layers, **options)
    known = " or ".join(map(repr, RECURRENT))
    raise ConfigError(f"memory.kind: {known} expected, {config.kind!r} found.")
