"""Memory: agents that carry a state from step to step, and begin it anew in each episode.

- `memory_agent`: what they have in common, and how to write one.
- `gru`: gated recurrent units.
- `gru_loop`: a layer of them over all of time.
- `lstm`: long short-term memory.
- `lstm_loop`: a layer of it over all of time.
- `recurrent`: what these two have in common.
- `products`: their products, and states at the steps before.
- `transformer`: attention over a window of steps.
- `attention`: a layer of it.
- `making`: the one that a configuration asks for.
"""

from workspace_rl.agents.memory.gru import GRUAgent
from workspace_rl.agents.memory.lstm import LSTMAgent
from workspace_rl.agents.memory.making import make_memory
from workspace_rl.agents.memory.memory_agent import MemoryAgent
from workspace_rl.agents.memory.transformer import TransformerAgent

__all__ = ["GRUAgent", "LSTMAgent", "MemoryAgent", "TransformerAgent", "make_memory"]
