"""Evolution strategies on CartPole: the cross-entropy method, then augmented random search from its best policy.

    python evolution.py OUTPUT_FOLDER

writes `losses.json`, the returns of all policies that were tried, and `workspaces.pt`, the best one's episodes.
"""

import copy
import json
import os
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from bbrl import get_class
from bbrl.agents import Agents, SeedableAgent, SerializableAgent, TemporalAgent, TimeAgent
from bbrl.agents.gymnasium import ParallelGymAgent, make_env
from bbrl.utils.utils import is_vec_of_ones, vector_to_parameters
from bbrl.workspace import Workspace
from bbrl_utils.nn import build_mlp
from gymnasium.wrappers import TimeLimit
from torch import nn


class Policy(TimeAgent, SeedableAgent, SerializableAgent):
    def __init__(self, sizes, activation, make_env=None, **kwargs):
        super().__init__(**kwargs)
        self.model = build_mlp(sizes, activation)

    def forward(self, t, stochastic=False, **kwargs):
        probabilities = torch.softmax(self.model(self.get(("env/env_obs", t))), dim=-1)
        choices = torch.multinomial(probabilities, 1).squeeze(-1) if stochastic else probabilities.argmax(-1)
        self.set(("action", t), choices)


def play(agent, weights, record, **kwargs):
    vector_to_parameters(weights, agent.agent[1].parameters())
    workspace = Workspace()
    with torch.no_grad():
        agent(workspace, t=0, stop_variable="env/done", **kwargs)
    assert is_vec_of_ones(workspace["env/done"][-1:].int())
    mean = workspace["env/cumulated_reward"][-1].mean()
    record["returns"].append(mean.item())
    return mean


def cross_entropy(agent, center, record):
    covariance, best, best_agent = 5 * torch.eye(len(center)), -torch.inf, None
    rng = np.random.default_rng(3)
    for _ in range(4):
        drawn = torch.tensor(rng.multivariate_normal(center.numpy(), covariance.numpy(), 8), dtype=torch.float32)
        scores = torch.stack([play(agent, one, record, stochastic=k % 2 == 0) for k, one in enumerate(drawn)])
        if scores.max() > best:
            best, best_agent = scores.max(), copy.deepcopy(agent)
            vector_to_parameters(drawn[scores.argmax()], best_agent.agent[1].parameters())
            best_agent.agent[1].save_model(f"best-{best.item():.1f}.agt")
        elite = drawn[scores.argsort()[-3:]]
        center, covariance = elite.mean(0), torch.cov(elite.T) + 0.1 * torch.eye(len(center))
    return best_agent


def random_search(agent, center, record):
    for _ in range(4):
        directions = torch.randn(4, len(center))
        scores = torch.stack(
            [play(agent, center + sign * 0.3 * one, record) for one in directions for sign in (1, -1)]
        ).view(4, 2)
        center = center + 0.1 / (scores.std() + 1) * ((scores[:, :1] - scores[:, 1:]) * directions).mean(0)
    return center


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)
    torch.manual_seed(5)
    make = partial(make_env, "CartPole-v1", wrappers=[partial(TimeLimit, max_episode_steps=60)])
    env_agent = ParallelGymAgent(make, 3).seed(5)
    n_observations, n_actions = env_agent.get_obs_and_actions_sizes()
    policy = get_class(SimpleNamespace(classname="__main__.Policy"))(
        [n_observations, 4, n_actions], nn.Tanh(), make_env=make, seed=1
    )
    agent, record = TemporalAgent(Agents(env_agent, policy)), defaultdict(list)
    best_agent = cross_entropy(agent, nn.utils.parameters_to_vector(policy.parameters()).detach(), record)
    start = nn.utils.parameters_to_vector(best_agent.agent[1].parameters()).detach()
    end = random_search(agent, start.clone(), record)
    workspace = Workspace()
    best_agent(workspace, t=0, stop_variable="env/done")
    workspaces = [{name: workspace.get_full(name) for name in workspace.keys()}, {"weights": torch.stack([start, end])}]
    for file in sorted(output.glob("*.agt")):
        loaded = torch.load(file, weights_only=False)
        workspaces.append({name: value for name, value in loaded.state_dict().items()})
    Path("losses.json").write_text(json.dumps(record))
    torch.save(workspaces, "workspaces.pt")
    print(workspace, sorted(file.name for file in output.glob("*.agt")))
