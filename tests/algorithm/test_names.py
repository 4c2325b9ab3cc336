"""Algorithms by their names."""

from workspace_rl.algorithm.names import LIBRARY, all_algorithms
from workspace_rl.algos import ALGORITHMS


def test_the_table_of_names_holds_the_algorithms_of_the_library():
    assert all_algorithms() == ALGORITHMS and list(LIBRARY) == list(ALGORITHMS)
