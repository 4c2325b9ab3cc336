"""Environments, transitions and a replay buffer, put together by hand: what `bbrl_utils` does for an algorithm.

    python transitions.py OUTPUT_FOLDER [key=value ...]

writes `workspaces.pt`: every collected workspace, its transitions, the samples drawn from the buffer, and the
evaluations. There is nothing to learn: the policy keeps the weights it was made with. It takes a few seconds.
"""

import os
import sys
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import torch
from bbrl.agents import Agent, Agents, TemporalAgent
from bbrl.agents.gymnasium import ParallelGymAgent, make_env
from bbrl.utils.replay_buffer import ReplayBuffer
from bbrl.workspace import Workspace
from gymnasium.wrappers import RescaleAction, TimeLimit
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Categorical, Normal

params = {
    "seed": 4,
    "n_envs": 3,
    "n_steps": 16,
    "n_epochs": 8,
    "buffer_size": 100,
    "batch_size": 12,
    "nb_evals": 4,
}


class DiscretePolicy(Agent):
    def __init__(self, state_dim, n_actions):
        super().__init__()
        self.model = nn.Linear(state_dim, n_actions)

    def forward(self, t, stochastic=True, **kwargs):
        policy = Categorical(logits=self.model(self.get(("env/env_obs", t))))
        self.set(("action", t), policy.sample() if stochastic else policy.probs.argmax(dim=-1))
        self.set(("entropy", t), policy.entropy())


class ContinuousPolicy(Agent):
    """Reads and writes variables with the names it is given."""

    def __init__(self, state_dim, action_dim, observation="env/env_obs", action="action"):
        super().__init__()
        self.model = nn.Linear(state_dim, action_dim)
        self.observation, self.action = observation, action

    def forward(self, t, **kwargs):
        mean = self.model(self.get((self.observation, t))).tanh()
        self.set((self.action, t), Normal(mean, 0.3).sample().clamp(-1, 1))


class RandomPolicy(Agent):
    """Does not look at anything."""

    def __init__(self, n_envs, n_actions):
        super().__init__()
        self.n_envs, self.n_actions = n_envs, n_actions

    def forward(self, t, **kwargs):
        self.set(("action", t), torch.randint(self.n_actions, (self.n_envs,)))


class ScaledReward(gym.RewardWrapper):
    def reward(self, reward):
        return reward / 10.0


class Treasure(gym.Env):
    """A walk on a line to a treasure. What is observed has several parts, and one of them has parts again."""

    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Dict(
        {
            "position": gym.spaces.Box(-10.0, 10.0, (1,), np.float32),
            "compass": gym.spaces.Dict(
                {"left": gym.spaces.Box(0, 1, (2,), np.int64), "distance": gym.spaces.Box(0.0, 20.0, (1,), np.float64)}
            ),
        }
    )

    def observation(self):
        left = self.position > self.treasure
        return {
            "position": np.array([self.position], np.float32),
            "compass": {"left": np.array([left, not left], np.int64), "distance": np.array([abs(self.gap())])},
        }

    def gap(self):
        return float(self.treasure - self.position)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.treasure = 0, int(self.np_random.choice([-2, 3]))
        return self.observation(), {}

    def step(self, action):
        self.position += 1 if action == 1 else -1
        found = self.position == self.treasure
        return self.observation(), 1.0 if found else -0.1, found, abs(self.position) >= 4, {}


def snapshot(workspace):
    return {key: workspace.get_full(key).detach().clone() for key in workspace.keys()}


def collect(cfg, record, env, policy, epoch_handler):
    """The loop under every algorithm that learns from transitions."""
    agent = TemporalAgent(Agents(env, policy))
    workspace = Workspace()
    for epoch in range(cfg.n_epochs):
        if epoch == 0:
            # n steps are between n + 1 states.
            agent(workspace, t=0, n_steps=cfg.n_steps + 1, stochastic=True)
        else:
            # The last state of an epoch is the first of the next one, or the step between them would be lost.
            workspace.zero_grad()
            workspace.copy_n_last_steps(1)
            agent(workspace, t=1, n_steps=cfg.n_steps, stochastic=True)
        record.append(snapshot(workspace))
        epoch_handler(workspace)


def replay(cfg, record):
    """Fill a buffer that is too small for everything, and sample from it."""
    env = ParallelGymAgent(partial(make_env, "CartPole-v1", autoreset=True), cfg.n_envs).seed(cfg.seed)
    policy = DiscretePolicy(*env.get_obs_and_actions_sizes())
    buffer = ReplayBuffer(max_size=cfg.buffer_size)

    def handle(workspace):
        # Pairs of states that follow each other in an episode: the end of one and the start of the next do not.
        transitions = workspace.get_transitions()
        record.append(snapshot(transitions))
        # When it is full, the newest replace the oldest.
        buffer.put(transitions)
        print("transitions:", transitions.batch_size(), "in the buffer:", buffer.size(), "next at:", buffer.position)
        record.append(snapshot(buffer.get_shuffled(cfg.batch_size)))

    collect(cfg, record, env, policy, handle)
    record.append({key: tensor.clone() for key, tensor in buffer.variables.items()})


def evaluate(cfg, record):
    """Without autoreset, an environment stays at its end, and the work is done when all of them do."""
    env = ParallelGymAgent(partial(make_env, "CartPole-v1"), cfg.nb_evals).seed(cfg.seed)
    policy = DiscretePolicy(*env.get_obs_and_actions_sizes())
    agent = TemporalAgent(Agents(env, policy))
    # Every evaluation starts anew, from other states than the one before.
    for _ in range(3):
        workspace = Workspace()
        agent(workspace, t=0, stop_variable="env/done", stochastic=False)
        print("returns:", workspace["env/cumulated_reward"][-1].tolist())
        record.append(snapshot(workspace))
        record.append(snapshot(workspace.get_transitions()))


def final_states(cfg, record):
    """Without the final states, an episode's last step shows the start of the next, and every pair is a transition."""
    make = partial(make_env, "CartPole-v1", autoreset=True)
    env = ParallelGymAgent(make, cfg.n_envs, include_last_state=False).seed(cfg.seed)
    policy = DiscretePolicy(*env.get_obs_and_actions_sizes())

    def handle(workspace):
        record.append(snapshot(workspace.get_transitions(no_final_state=True)))

    collect(cfg, record, env, policy, handle)


def rewards_at_t(cfg, record):
    """The reward of an action may be written at the step of the action, rather than at the next one."""
    make = partial(make_env, "CartPole-v1", autoreset=True)
    env = ParallelGymAgent(make, cfg.n_envs, reward_at_t=True).seed(cfg.seed)
    policy = DiscretePolicy(*env.get_obs_and_actions_sizes())
    collect(cfg, record, env, policy, lambda workspace: record.append(snapshot(workspace.get_transitions())))


def wrappers(cfg, record):
    """Wrappers are put on in their order, and the variables may have other names."""
    chain = [
        partial(RescaleAction, min_action=-1.0, max_action=1.0),
        ScaledReward,
        partial(TimeLimit, max_episode_steps=9),
    ]
    make = partial(make_env, wrappers=chain)
    env = ParallelGymAgent(
        make,
        cfg.n_envs,
        {"env_name": "Pendulum-v1", "autoreset": True, "g": 9.0},
        input_string="torque",
        output_string="world/",
    ).seed(cfg.seed)
    print("continuous:", env.is_continuous_action(), env.is_continuous_state())
    policy = ContinuousPolicy(*env.get_obs_and_actions_sizes(), observation="world/env_obs", action="torque")

    def handle(workspace):
        # 9 steps are not the end of a pendulum: truncated, and not terminated.
        record.append(snapshot(workspace.get_transitions(filter_key="world/done")))

    collect(cfg, record, env, policy, handle)


def other_observations(cfg, record):
    """Numbered states, and states in several parts: each part is a variable."""
    for make in (partial(make_env, "FrozenLake-v1", autoreset=True), lambda: gym.wrappers.Autoreset(Treasure())):
        env = ParallelGymAgent(make, cfg.n_envs).seed(cfg.seed)
        policy = RandomPolicy(cfg.n_envs, env.get_action_space().n)
        collect(cfg, record, env, policy, lambda workspace: record.append(snapshot(workspace.get_transitions())))
        print("variables:", sorted(record[-1]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    torch.manual_seed(cfg.seed)
    record = []
    for part in (replay, evaluate, final_states, rewards_at_t, wrappers, other_observations):
        print(f"-- {part.__name__}: {part.__doc__}")
        part(cfg, record)
    torch.save(record, "workspaces.pt")
