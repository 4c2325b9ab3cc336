"""Who sends what to whom while a run trains whose learner does not do everything itself, how often, and how much.

- `topology`: parties, and what flows between them, also as text.
- `of_run`: those of a run, from its configuration.
- `picture`: how they are drawn.
"""

from workspace_rl.inspection.topology.of_run import topology_of
from workspace_rl.inspection.topology.topology import Flow, Party, Topology

__all__ = ["Flow", "Party", "Topology", "topology_of"]
