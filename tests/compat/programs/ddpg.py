"""DDPG on Pendulum: a deterministic actor that climbs the values of a critic.

    python ddpg.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`: the losses of every update, and the mean reward of every evaluation. The defaults are a quick run
(about 110 updates); `algorithm.max_epochs=1500 algorithm.updates_per_epoch=8 algorithm.batch_size=128` learns to swing
the pendulum up.
"""

import copy
import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import bbrl_utils
import torch
from bbrl.agents import Agent, Agents, TemporalAgent
from bbrl_utils.algorithms import EpochBasedAlgo
from bbrl_utils.nn import build_mlp, setup_optimizer, soft_update_params
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Normal

params = {
    "base_dir": "${gym_env.env_name}/ddpg-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "gym_env": {"env_name": "Pendulum-v1"},
    "algorithm": {
        "seed": 1,
        "n_envs": 8,
        "n_steps": 8,
        "max_epochs": 120,
        "learning_starts": 600,
        "buffer_size": 5e4,
        "batch_size": 64,
        "updates_per_epoch": 1,
        "max_grad_norm": 1.0,
        "discount_factor": 0.98,
        "action_noise": 0.2,
        "tau_target": 0.01,
        "nb_evals": 4,
        "eval_interval": 2_000,
        "architecture": {"actor_hidden_size": [64, 64], "critic_hidden_size": [64, 64]},
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3},
}


class ContinuousDeterministicActor(Agent):
    """One action for a state, between minus the greatest one and the greatest one."""

    def __init__(self, state_dim, hidden_layers, action_space):
        super().__init__()
        self.model = build_mlp(
            [state_dim, *hidden_layers, action_space.shape[0]], activation=nn.ReLU(), output_activation=nn.Tanh()
        )
        self.register_buffer("scale", torch.tensor(action_space.high))

    def forward(self, t, **kwargs):
        self.set(("action", t), self.scale * self.model(self.get(("env/env_obs", t))))


class AddGaussianNoise(Agent):
    """Disturbs the action that another agent has written: the policy itself never tries anything new."""

    def __init__(self, std, action_space):
        super().__init__()
        self.std = std
        self.register_buffer("limit", torch.tensor(action_space.high))

    def forward(self, t, **kwargs):
        noisy = Normal(self.get(("action", t)), self.std).sample()
        self.set(("action", t), noisy.clamp(-self.limit, self.limit))


class ContinuousQAgent(Agent):
    is_q_function = True

    def __init__(self, state_dim, hidden_layers, action_dim):
        super().__init__()
        self.model = build_mlp([state_dim + action_dim, *hidden_layers, 1], activation=nn.ReLU())

    def forward(self, t, **kwargs):
        inputs = torch.cat((self.get(("env/env_obs", t)), self.get(("action", t))), dim=1)
        self.set((f"{self.prefix}q_value", t), self.model(inputs).squeeze(-1))


class DDPG(EpochBasedAlgo):
    def __init__(self, cfg):
        super().__init__(cfg)
        state_dim, action_dim = self.train_env.get_obs_and_actions_sizes()
        action_space = self.train_env.get_action_space()
        sizes = cfg.algorithm.architecture

        self.actor = ContinuousDeterministicActor(state_dim, sizes.actor_hidden_size, action_space)
        self.target_actor = copy.deepcopy(self.actor)
        self.critic = ContinuousQAgent(state_dim, sizes.critic_hidden_size, action_dim).with_prefix("critic/")
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/")

        self.train_policy = Agents(self.actor, AddGaussianNoise(cfg.algorithm.action_noise, action_space))
        self.eval_policy = self.actor


def compute_critic_loss(cfg, rb_workspace, t_critic, t_target):
    t_critic(rb_workspace, t=0, n_steps=1)
    with torch.no_grad():
        t_target(rb_workspace, t=1, n_steps=1)

    q_value, next_q_value = rb_workspace["critic/q_value", "target-critic/q_value"]
    reward, terminated = rb_workspace["env/reward", "env/terminated"]
    target = reward[1] + cfg.algorithm.discount_factor * ~terminated[1] * next_q_value[1]
    return nn.functional.mse_loss(q_value[0], target)


def compute_actor_loss(rb_workspace, t_actor_critic):
    # The actor writes over the actions of the buffer, and the critic reads what it wrote: the gradient goes through
    # the workspace.
    t_actor_critic(rb_workspace, t=0, n_steps=1)
    return -rb_workspace["critic/q_value"][0].mean()


def run_ddpg(ddpg):
    cfg = ddpg.cfg
    t_critic = TemporalAgent(ddpg.critic)
    t_actor_critic = TemporalAgent(Agents(ddpg.actor, ddpg.critic))
    t_target = TemporalAgent(Agents(ddpg.target_actor, ddpg.target_critic))
    actor_optimizer = setup_optimizer(cfg.actor_optimizer, ddpg.actor)
    critic_optimizer = setup_optimizer(cfg.critic_optimizer, ddpg.critic)
    record = defaultdict(list)

    def log(name, value):
        ddpg.logger.add_log(name, value, ddpg.nb_steps)
        record[name].append(value.item())

    for rb in ddpg.iter_replay_buffers():
        for _ in range(cfg.algorithm.updates_per_epoch):
            rb_workspace = rb.get_shuffled(cfg.algorithm.batch_size)

            critic_loss = compute_critic_loss(cfg, rb_workspace, t_critic, t_target)
            critic_optimizer.zero_grad()
            critic_loss.backward()
            nn.utils.clip_grad_norm_(ddpg.critic.parameters(), cfg.algorithm.max_grad_norm)
            critic_optimizer.step()
            log("critic_loss", critic_loss)

            actor_loss = compute_actor_loss(rb_workspace, t_actor_critic)
            actor_optimizer.zero_grad()
            actor_loss.backward()
            nn.utils.clip_grad_norm_(ddpg.actor.parameters(), cfg.algorithm.max_grad_norm)
            actor_optimizer.step()
            log("actor_loss", actor_loss)

            soft_update_params(ddpg.critic, ddpg.target_critic, cfg.algorithm.tau_target)
            soft_update_params(ddpg.actor, ddpg.target_actor, cfg.algorithm.tau_target)

        if ddpg.evaluate():
            print(f"best reward {ddpg.best_reward:.1f} after {ddpg.nb_steps} steps")

    record["eval_reward"] = [rewards.mean().item() for rewards in ddpg.eval_rewards]
    return record


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    losses = run_ddpg(DDPG(cfg))
    Path("losses.json").write_text(json.dumps(losses))
