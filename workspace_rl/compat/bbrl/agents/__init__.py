"""`bbrl.agents`."""

from workspace_rl.compat.bbrl.agents.agent import Agent as Agent
from workspace_rl.compat.bbrl.agents.agent import KWAgentWrapper as KWAgentWrapper
from workspace_rl.compat.bbrl.agents.agent import SerializableAgent as SerializableAgent
from workspace_rl.compat.bbrl.agents.agent import TimeAgent as TimeAgent
from workspace_rl.compat.bbrl.agents.seeding import SeedableAgent as SeedableAgent
from workspace_rl.compat.bbrl.agents.utils import Agents as Agents
from workspace_rl.compat.bbrl.agents.utils import CopyTAgent as CopyTAgent
from workspace_rl.compat.bbrl.agents.utils import EpisodesDone as EpisodesDone
from workspace_rl.compat.bbrl.agents.utils import PrintAgent as PrintAgent
from workspace_rl.compat.bbrl.agents.utils import TemporalAgent as TemporalAgent
