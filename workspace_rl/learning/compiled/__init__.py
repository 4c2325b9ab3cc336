"""Updates as one graph: losses, gradients, optimiser steps and target networks together.

- `update`: `CompiledUpdate`, an update that is traced once and runs as one graph.
- `graph_step`: the step of an optimiser within a graph.
- `graph_passes`: what is made cheaper in a graph before it is compiled.
- `cuda_graph`: launching it by one call on a GPU.
- `python_state`: Python values that an update changes, which a graph would change once.
- `failures`: why an update cannot be compiled, and what can be done.
"""
