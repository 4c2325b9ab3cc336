"""`bbrl.agents`."""

from workspace_rl.compat.aliases import not_covered
from workspace_rl.compat.bbrl.agents.agent import Agent, KWAgentWrapper, SerializableAgent, TimeAgent
from workspace_rl.compat.bbrl.agents.seeding import SeedableAgent
from workspace_rl.compat.bbrl.agents.utils import Agents, CopyTAgent, EpisodesDone, PrintAgent, TemporalAgent

__all__ = [
    "Agent",
    "Agents",
    "CopyTAgent",
    "EpisodesDone",
    "KWAgentWrapper",
    "PrintAgent",
    "SeedableAgent",
    "SerializableAgent",
    "TemporalAgent",
    "TimeAgent",
]

_PROCESSES = "workspace_rl.GymAgent(..., vectorization='async')"
_DATA = "an agent of your own whose forward() writes the next batch at t=0"
__getattr__ = not_covered(
    __name__,
    globals(),
    RemoteAgent=_PROCESSES,
    NRemoteAgent=_PROCESSES,
    AsynchronousAgent=_PROCESSES,
    ShuffledDatasetAgent=_DATA,
    DataLoaderAgent=_DATA,
)
