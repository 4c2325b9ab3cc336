"""An actor with several heads drives karts, whose observations and actions are dictionaries of many kinds.

    python karts.py OUTPUT_FOLDER

writes `losses.json`, the losses of every update, and `workspaces.pt`, what every update learned from. The environment
is as simulators are: it observes more than its space declares, and in other types. The actor is built with what cannot
be written down as plain data, saved whenever it is the best, and read again; all this while the working directory is
another one, as hydra does it. One configuration serves for two seeds.
"""

import copy
import json
import os
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from bbrl import get_arguments, get_class, instantiate_class
from bbrl.agents import Agent, Agents, NRemoteAgent, PrintAgent, TemporalAgent
from bbrl.agents.gymnasium import ParallelGymAgent, make_env
from bbrl.utils.functional import gae
from bbrl.workspace import SlicedTemporalTensor, Workspace
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Bernoulli, Categorical, Normal

cfg = OmegaConf.create(
    {
        "seed": 0,
        "logger": {"classname": "bbrl.utils.logger.TFLogger", "log_dir": "./tblogs", "every_n_seconds": 10},
        "optimizer": {"classname": "torch.optim.RMSprop", "lr": 1e-3},
    }
)


class Karts(gym.Env):
    """A kart is pushed along; the race ends at the finish or after 15 steps."""

    observation_space = gym.spaces.Dict({"continuous": gym.spaces.Box(-9, 9, (5,)), "items": gym.spaces.Text(3)})
    action_space = gym.spaces.Dict({"steer": gym.spaces.Box(-1, 1, (1,)), "drift": gym.spaces.Discrete(2)})

    def observe(self):
        picture = self.np_random.integers(0, 255, (2, 2), dtype=np.uint8)
        path = {"distance": self.x[0], "step": self.k, "picture": picture}
        return {"continuous": self.x.copy(), "gear": np.array([self.k % 3, self.k % 4]), "path": path}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.k = self.np_random.normal(size=5), 0
        return self.observe(), {"reward": None}

    def step(self, action):
        self.k += 1
        push = float(action["steer"][0]) * (1 + action["drift"]) + 0.1 * action["nitro"]["used"].sum()
        self.x = self.x + 0.1 * push
        return self.observe(), np.float32(self.x.sum()), bool(self.x[0] > 1.5), self.k > 15, {}


gym.register("Karts-v0", entry_point=Karts, disable_env_checker=True)


class Mean(gym.ObservationWrapper):
    def observation(self, observation):
        return {**observation, "mean": observation["continuous"].mean()}


class Driver(Agent):
    def __init__(self, activation, make):
        super().__init__(name="driver")
        self.body = nn.Sequential(nn.Linear(7, 16), activation)
        self.steer, self.drift, self.nitro, self.value = (nn.Linear(16, n) for n in (1, 2, 2, 1))

    def forward(self, t, stochastic=True, **kwargs):
        continuous, gear = (self.get((f"env/env_obs/{name}", t)) for name in ("continuous", "gear"))
        features = self.body(torch.cat([continuous, gear.float()], dim=-1))
        steer, drift = Normal(self.steer(features), 0.3), Categorical(logits=self.drift(features))
        nitro = Bernoulli(logits=self.nitro(features))
        if stochastic:
            actions = steer.sample(), drift.sample(), nitro.sample()
        else:
            actions = steer.mean, drift.probs.argmax(-1), nitro.probs.round()
        self.set(("action/steer", t), actions[0])
        self.set(("action/drift", t), actions[1])
        self.set(("action/nitro/used", t), actions[2].long())
        log_probs = [one.log_prob(action) for one, action in zip((steer, drift, nitro), actions, strict=True)]
        self.set(("log_prob", t), log_probs[0].sum(-1) + log_probs[1] + log_probs[2].sum(-1))
        self.set((f"{self.prefix}value", t), self.value(features).squeeze(-1))


def train(cfg, record, workspaces):
    torch.manual_seed(cfg.seed)
    logger = instantiate_class({**cfg.logger, "log_dir": f"{cfg.logger.log_dir}/{cfg.seed}"})
    make = partial(make_env, "Karts-v0", wrappers=[Mean])
    driver = Driver(nn.Tanh(), make)
    agent = TemporalAgent(Agents(ParallelGymAgent(partial(make, autoreset=True), 3).seed(cfg.seed), driver))
    eval_agent = TemporalAgent(Agents(ParallelGymAgent(make, 2).seed(cfg.seed), driver))
    assert not isinstance(driver, NRemoteAgent)
    optimizer = get_class(cfg.optimizer)(driver.parameters(), **get_arguments(cfg.optimizer))
    workspace, best = Workspace(), -torch.inf
    for epoch in range(15):
        if epoch:
            workspace.zero_grad()
            workspace.copy_n_last_steps(1)
        agent(workspace, t=int(epoch > 0), n_steps=16 - int(epoch > 0))
        reward, value, log_prob = workspace["env/reward", "value", "log_prob"]
        terminated, done = workspace["env/terminated", "env/done"]
        advantage = gae(reward[1:], value[1:], ~terminated[1:], value[:-1], 0.95, 0.9)
        loss = advantage.pow(2).mean() - (log_prob[:-1] * advantage.detach())[~done[:-1]].mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        record["loss"].append(loss.item())
        logger.add_scalar("loss", loss.item(), epoch)
        logger.add_scalar("note", "no number", epoch)
        workspaces.append({name: workspace.get_full(name).detach().clone() for name in workspace.keys()})
        with torch.no_grad():
            evaluation = Workspace()
            eval_agent(evaluation, t=0, stop_variable="env/done", stochastic=False)
        mean = evaluation["env/cumulated_reward"][-1].mean()
        record["eval_reward"].append(mean.item())
        if mean > best:
            best = mean
            eval_agent.agent.get_by_name("driver")[0].save_model("best.agt")
    logger.close()
    best_driver = torch.load("best.agt", weights_only=False).with_prefix("best/")
    again, twin = Workspace(evaluation), copy.deepcopy(best_driver)
    TemporalAgent(Agents(best_driver, PrintAgent("best/value")))(again, t=0, n_steps=2, stochastic=False)
    twin(again, t=1, stochastic=False)
    assert isinstance(again.variables["best/value"], SlicedTemporalTensor)
    workspaces.append({name: again.get_full(name) for name in again.keys()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    (output / "run").mkdir(parents=True, exist_ok=True)
    os.chdir(output / "run")
    losses, workspaces = defaultdict(list), []
    for cfg.seed in (1, 2):
        train(cfg, losses, workspaces)
    os.chdir(output)
    Path("losses.json").write_text(json.dumps(losses))
    torch.save(workspaces, "workspaces.pt")
    print(sorted(path.name for path in Path("run/tblogs/2").glob("events*"))[0][:6], sorted(os.listdir("run")))
