"""Environments that are run, and what they wrote."""

from tests.toys import ConstantAgent
from workspace_rl import Agents, TemporalAgent, Workspace

VARIABLES = ("env_obs", "reward", "terminated", "truncated", "done", "cumulated_reward", "timestep")


def run(env_agent, n_steps=None, stop_variable=None, action=None):
    workspace = Workspace()
    agent = TemporalAgent(Agents(env_agent, action or ConstantAgent()))
    agent(workspace, t=0, n_steps=n_steps, stop_variable=stop_variable)
    return workspace


def column(workspace, name):
    return ["".join(str(int(one)) for one in row.flatten().tolist()) for row in workspace[f"env/{name}"]]
