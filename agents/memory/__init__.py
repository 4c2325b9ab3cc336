"""Memory: agents that carry a state from step to step, and begin it anew in each episode.

- `memory_agent`: what they have in common, and how to write one.
- `gru`: the gated recurrent unit.
- `lstm`: long short-term memory.
- `making`: the one that a configuration asks for.
"""

from workspace_rl.agents.memory.gru import GRUAgent
from workspace_rl.agents.memory.lstm import LSTMAgent
from workspace_rl.agents.memory.making import make_memory
from workspace_rl.agents.memory.memory_agent import MemoryAgent

__all__ = ["GRUAgent", "LSTMAgent", "MemoryAgent", "make_memory"]
