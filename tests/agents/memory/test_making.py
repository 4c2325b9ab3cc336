"""Memories that configurations ask for."""

import pytest

from workspace_rl.agents import GRUAgent, LSTMAgent, TransformerAgent, make_memory
from workspace_rl.config import MemoryConfig
from workspace_rl.errors import ConfigError


def test_each_kind_is_made_with_its_parameters():
    gru = make_memory(MemoryConfig(kind="gru"), 3)
    assert type(gru) is GRUAgent and gru.n_features == 64 and len(gru.layers) == 1
    lstm = make_memory(MemoryConfig(kind="lstm", size=5, n_layers=2), 3, features_variable="seen", name="mine")
    assert type(lstm) is LSTMAgent and lstm.n_features == 5 and len(lstm.layers) == 2
    assert lstm.features_variable == "seen" and lstm.name == "mine" and lstm.stores_state
    transformer = make_memory(MemoryConfig(kind="transformer", size=6, n_heads=3, n_layers=2, window=5), 3)
    assert type(transformer) is TransformerAgent and transformer.n_features == 6 and not transformer.stores_state
    assert transformer.reach == 8 and transformer.layers[0].n_heads == 3


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ConfigError, match="memory.kind: 'gru' or 'lstm' or 'transformer' expected, 'none' found"):
        make_memory(MemoryConfig(), 3)
    with pytest.raises(ConfigError, match="memory.n_heads: a divisor of memory.size = 6 expected, 4 found"):
        make_memory(MemoryConfig(kind="transformer", size=6), 3)
    with pytest.raises(ConfigError, match="n_heads: a divisor of size = 6 expected, 4 found"):
        TransformerAgent(3, 6)
    with pytest.raises(ConfigError, match="n_layers: at least 1 expected"):
        GRUAgent(3, n_layers=0)
