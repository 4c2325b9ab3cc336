"""Reinforcement learning by composition: agents that read and write a shared workspace.

    from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace

The algorithms are in `workspace_rl.algos`, ready-made agents in `workspace_rl.agents`. What the files at the top do not
hold stands in a room for each concern, whose first lines say what is in it (all of them: docs/architecture.md):

- what an algorithm of one's own is made of: `training`, `algorithm`, `experience`, `learning`, `config`, `envs`;
- what comes of training: `runs`, `policies`, `evaluation`, `films`, `report`, `comparison`, `plots`;
- what looks at a composition before it runs: `inspection`;
- what all are built on: `variables`, `basics`, `drawing`, `machine`, `messages`;
- how people come in: `cli`, and `compat` for programs written for BBRL.
"""

from importlib.metadata import PackageNotFoundError, version

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import RandomState, episode_seeds
from workspace_rl.composition import (
    Agents,
    CopyTAgent,
    EpisodesDone,
    KWAgentWrapper,
    PrintAgent,
    StackAgent,
    TemporalAgent,
)
from workspace_rl.envs import GymAgent, make_env
from workspace_rl.evaluation import Evaluation, evaluate
from workspace_rl.experience import Collector, ReplayBuffer, gae, n_step_transitions
from workspace_rl.films import record_video
from workspace_rl.inspection import check, describe, diagram
from workspace_rl.learning import compile_update, minimise, setup_optimizer, soft_update
from workspace_rl.messages.installation import find_folders_of_a_clone
from workspace_rl.policies import load_policy, save_policy
from workspace_rl.runs import Logger, Run, policy_function
from workspace_rl.workspace import Workspace

find_folders_of_a_clone()

try:
    __version__ = version("workspace-rl")
except PackageNotFoundError:  # used from a folder that was not installed
    __version__ = "unknown"

__all__ = [
    "Agent",
    "Agents",
    "Collector",
    "CopyTAgent",
    "EpisodesDone",
    "Evaluation",
    "GymAgent",
    "KWAgentWrapper",
    "Logger",
    "PrintAgent",
    "RandomState",
    "ReplayBuffer",
    "Run",
    "StackAgent",
    "TemporalAgent",
    "Workspace",
    "check",
    "compile_update",
    "describe",
    "diagram",
    "episode_seeds",
    "evaluate",
    "gae",
    "load_policy",
    "make_env",
    "minimise",
    "n_step_transitions",
    "policy_function",
    "record_video",
    "save_policy",
    "setup_optimizer",
    "soft_update",
]
