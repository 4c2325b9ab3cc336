"""Collectors of a small environment that draws from every source of random numbers, and rounds that they collect."""

from __future__ import annotations

import copy
import os
import random
import signal
import time
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from torch import nn

from workspace_rl import Agent
from workspace_rl.agent import before
from workspace_rl.agents import OrnsteinUhlenbeckNoiseAgent, RandomAgent
from workspace_rl.collectors.faults import Faults
from workspace_rl.collectors.lockstep import Lockstep
from workspace_rl.collectors.order import Delivery, History, Order
from workspace_rl.collectors.recipe import CollectorRecipe
from workspace_rl.composition import Agents
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.envs.known_elsewhere import KnownEnvironment
from workspace_rl.learning.state.packed_weights import PackedWeights

N_STEPS = 4


class RestlessEnv(gym.Env):
    """Draws from its own, from NumPy's and from Python's random numbers; episodes end after some steps.

    What happens `at` a step (counted over all its life) happens once: `folder` remembers that it has. "forever" in
    `what` lets it happen again and again.
    """

    action_space = gym.spaces.Box(-2, 2, (2,), np.float32)
    observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, what="", at=0, folder="", action_space=None, observation_space=None):
        self.what, self.at, self.folder, self.n_steps = what, at, folder, 0
        self.action_space = action_space or self.action_space
        self.observation_space = observation_space or self.observation_space
        self.offset = np.random.rand()
        if "make" in what:
            self.happen()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length = int(self.np_random.integers(2, 9))
        self.x = self.np_random.normal(size=3)
        return self.observe(), {}

    def step(self, action):
        self.n_steps += 1
        if self.what and self.n_steps == self.at:
            self.happen()
        self.length -= 1
        self.x = 0.9 * self.x + self.offset * np.sum(action) + self.np_random.normal() + np.random.rand()
        if self.what != "forked":  # where Python's random numbers begin at random
            self.x[0] += random.random()
        if self.what == "differ":
            self.x[1] = time.monotonic()
        return self.observe(), float(self.x[2]), self.length == 0, False, {}

    def observe(self):
        space = self.observation_space
        if space.dtype == np.uint8:
            return np.full(space.shape, int(abs(self.x[0]) * 1000) % 256, np.uint8)
        return self.x.astype(np.float32)

    def happen(self):
        done = Path(self.folder) / "done"
        if done.exists() and "forever" not in self.what:
            return
        done.touch()
        if "raise" in self.what:
            raise RuntimeError("the simulator is out of order")
        if "exit" in self.what:
            os._exit(3)
        if "deaf" in self.what:  # so that nothing interrupts it
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        if "hang" in self.what:
            time.sleep(1000)


gym.register("Restless-v0", entry_point=RestlessEnv)


class Remembering(Agent):
    """A memory: makes something of an observation and of what it wrote at the step before; counts in a buffer."""

    state_variables = ("memory",)

    def __init__(self):
        super().__init__()
        self.register_buffer("n_frames", torch.zeros(()))

    def forward(self, t, **kwargs):
        self.n_frames += 1
        observation = self.get(("env/env_obs", t)).flatten(1).float()
        begins = self.get(("env/timestep", t)) == 0
        earlier = self.get(("memory", t - 1)) if t else self.at_first(len(begins))
        self.set(("memory", t), 0.9 * earlier.masked_fill(begins, 0) + observation.mean(1) + 0.01 * self.n_frames)

    def at_first(self, n_envs):
        known = before("memory") in self.workspace
        return self.get((before("memory"), 0)) if known else torch.zeros(n_envs)


class Acting(Agent):
    """Acts by an observation, by memory and by noise; counts in a buffer and in a plain attribute."""

    def __init__(self, n_actions=2):
        super().__init__()
        self.layer = nn.Linear(3, n_actions)
        self.register_buffer("n_calls", torch.zeros((), dtype=torch.int64))
        self.n_acted = 0

    def forward(self, t, **kwargs):
        self.n_calls += 1
        self.n_acted += 1
        observation = self.get(("env/env_obs", t)).flatten(1)[:, :3].float()
        mean = self.layer(observation) + self.get(("memory", t)).unsqueeze(1)
        mean = mean + 0.01 * self.n_calls + 0.001 * self.n_acted
        self.set(("action", t), self.chosen(torch.tanh(mean + 0.1 * torch.randn_like(mean))))

    def chosen(self, action):
        return action


class Choosing(Acting):
    """Acts by one of three choices."""

    def __init__(self):
        super().__init__(n_actions=3)

    def chosen(self, action):
        return action.argmax(1)


#: Observations and actions of other kinds, with policies for them: what `recipe` is given.
KINDS = {
    "noise of Ornstein and Uhlenbeck": lambda: {},
    "choices": lambda: {"policy": Agents(Remembering(), Choosing()), "action_space": gym.spaces.Discrete(3)},
    "choices that are made anew": lambda: {
        "policy": Agents(Remembering(), Choosing()),
        "action_space": gym.spaces.Discrete(3),
        "choose_anew": True,
    },
    "pictures": lambda: {"observation_space": gym.spaces.Box(0, 255, (4, 8, 8), np.uint8), "n_envs": 3},
    "environments in processes": lambda: {"vectorization": "async", "what": "forked"},
}


def recipe(number=0, *, policy=None, n_envs=2, timeout=300.0, vectorization=None, choose_anew=False, **env_args):
    """Return the recipe of a collector in restless environments."""
    torch.manual_seed(0)
    policy = Agents(Remembering(), Acting(), OrnsteinUhlenbeckNoiseAgent()) if policy is None else policy
    config = EnvironmentConfig(env_name="Restless-v0", env_args=env_args, timeout=timeout, vectorization=vectorization)
    actions = RandomAgent(env_args.get("action_space", RestlessEnv.action_space))
    variables = ("env/env_obs", "env/reward", "env/done", "env/terminated", "env/timestep", "action", "memory")
    return CollectorRecipe(
        number=number, seed=7, env_config=config, known=KnownEnvironment.of("Restless-v0"), n_envs=n_envs,
        policy=policy, random_policy=Agents(Remembering(), actions), keep_modes=False, choose_anew=choose_anew,
        variables=variables, threads=1,
    )  # fmt: skip


def collected(place, recipes, numbers, histories=None, lost=None):
    """Return what the collectors of a place deliver for orders of these numbers, and how their histories are then."""
    histories = histories or {one.number: History() for one in recipes}
    found = {one.number: [] for one in recipes}
    for number in numbers:
        for one in recipes:
            weights = PackedWeights.of(one.policy)
            weights.data.view(np.float32)[:3] += np.float32(number) / 100
            history = None
            if lost is not None and lost(one.number, number):
                history = copy.deepcopy(histories[one.number])
            place.submit(
                Order(one.number, number, (0,), number, N_STEPS, 9 * number, number < 2, number, weights, history)
            )
        waiting = len(recipes)
        while waiting:
            for one in place.wait(1.0):
                assert isinstance(one, Delivery), one
                histories[one.collector].add(one)
                found[one.collector].append(contents(one.fragment()))
                waiting -= 1
    return found


def contents(fragment):
    """Return all of a fragment, to be compared."""
    values = {name: fragment.get_full(name).numpy().tobytes() for name in fragment}
    return (
        fragment.collector, fragment.version, fragment.n_transitions, fragment.begins_anew, fragment.n_repeated, values,
        [one.tolist() for one in fragment.episodes], {name: value.tolist() for name, value in fragment.state.items()},
    )  # fmt: skip


def rounds(place, n, *, lag=0, begin=0, n_rounds=6, renew_after=(4,), max_restarts=100, before_round=None):
    """Return what `n` collectors in a place, whose recipes are as `recipe` makes them, collect in lockstep.

    Args:
        place: where they are started.
        n: how many.
        lag: of the weights.
        begin: the first environments are made for this number; others than in calls before, for the same place.
        n_rounds: how many rounds.
        renew_after: rounds after which environments are made anew.
        max_restarts: how often collectors may fail.
        before_round: called before each round with the driver and the round's number.
    """
    policy = recipe().policy
    options = {"policy": policy, "n_steps": N_STEPS, "random_steps": 20, "lag": lag}
    driver = Lockstep(place, [recipe(number) for number in range(n)], Faults(max_restarts, 7), **options)
    driver.renew(begin, resumed=False)
    found, step = [], 0
    for index in range(n_rounds):
        if before_round is not None:
            before_round(driver, index)
        fragments = driver.collect(step)
        step += sum(one.n_transitions for one in fragments)
        found.append([contents(one) for one in fragments])
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter += 0.01 * (index + 1)
        driver.load_policy(policy, index + 1)
        if index + 1 in renew_after:
            driver.renew(begin + 1, resumed=False)
            driver.load_policy(policy, index + 1)
    return found
