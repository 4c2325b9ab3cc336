"""TD3 on Pendulum: DDPG with two critics, a patient actor, and targets that are blurred.

    python td3.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`: the losses of every update (the actor has fewer of them), and the mean reward of every
evaluation. The defaults are a quick run (about 110 updates of the critics);
`algorithm.max_epochs=1500 algorithm.updates_per_epoch=8 algorithm.batch_size=128` learns to swing the pendulum up.
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

params = {
    "base_dir": "${gym_env.env_name}/td3-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    # Any class of this interface may log; it is named by a string.
    "logger": {
        "classname": "bbrl.utils.logger.TFLogger",
        "log_dir": "./tblogs/${base_dir}",
        "cache_size": 10000,
        "every_n_seconds": 10,
        "verbose": False,
    },
    "gym_env": {"env_name": "Pendulum-v1"},
    "algorithm": {
        "seed": 2,
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
        "target_noise": 0.4,
        "target_noise_clip": 0.8,
        "policy_delay": 2,
        "tau_target": 0.01,
        "nb_evals": 4,
        "eval_interval": 2_000,
        "architecture": {"actor_hidden_size": [64, 64], "critic_hidden_size": [64, 64]},
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3},
}


class ContinuousDeterministicActor(Agent):
    def __init__(self, state_dim, hidden_layers, action_space):
        super().__init__()
        self.model = build_mlp(
            [state_dim, *hidden_layers, action_space.shape[0]], activation=nn.ReLU(), output_activation=nn.Tanh()
        )
        self.register_buffer("scale", torch.tensor(action_space.high))

    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}action", t), self.scale * self.model(self.get(("env/env_obs", t))))


class AddGaussianNoise(Agent):
    """Adds noise to an action; with a clip, the noise is never greater than that."""

    def __init__(self, std, action_space, clip=None):
        super().__init__()
        self.std = std
        self.clip = clip
        self.register_buffer("limit", torch.tensor(action_space.high))

    def forward(self, t, **kwargs):
        action = self.get((f"{self.prefix}action", t))
        noise = self.std * torch.randn_like(action)
        if self.clip is not None:
            noise = noise.clamp(-self.clip, self.clip)
        self.set((f"{self.prefix}action", t), (action + noise).clamp(-self.limit, self.limit))


class ContinuousQAgent(Agent):
    """The value of an action; `action_prefix` says of whose action."""

    is_q_function = True

    def __init__(self, state_dim, hidden_layers, action_dim):
        super().__init__()
        self.model = build_mlp([state_dim + action_dim, *hidden_layers, 1], activation=nn.ReLU())
        self.action_prefix = ""

    def forward(self, t, **kwargs):
        action = self.get((f"{self.action_prefix}action", t))
        inputs = torch.cat((self.get(("env/env_obs", t)), action), dim=1)
        self.set((f"{self.prefix}q_value", t), self.model(inputs).squeeze(-1))


class TD3(EpochBasedAlgo):
    def __init__(self, cfg):
        super().__init__(cfg)
        state_dim, action_dim = self.train_env.get_obs_and_actions_sizes()
        action_space = self.train_env.get_action_space()
        algorithm = cfg.algorithm

        def critic(prefix):
            sizes = algorithm.architecture.critic_hidden_size
            return ContinuousQAgent(state_dim, sizes, action_dim).with_prefix(prefix)

        def target_of(agent, prefix):
            # The targets leave the actions of the buffer alone: they have variables of their own.
            target = copy.deepcopy(agent).with_prefix(prefix)
            target.action_prefix = "target-actor/"
            return target

        self.actor = ContinuousDeterministicActor(state_dim, algorithm.architecture.actor_hidden_size, action_space)
        self.critic_1, self.critic_2 = critic("critic-1/"), critic("critic-2/")
        self.target_actor = copy.deepcopy(self.actor).with_prefix("target-actor/")
        self.target_critic_1 = target_of(self.critic_1, "target-critic-1/")
        self.target_critic_2 = target_of(self.critic_2, "target-critic-2/")
        self.target_noise = AddGaussianNoise(
            algorithm.target_noise, action_space, clip=algorithm.target_noise_clip
        ).with_prefix("target-actor/")

        self.train_policy = Agents(self.actor, AddGaussianNoise(algorithm.action_noise, action_space))
        self.eval_policy = self.actor


def compute_critic_losses(cfg, rb_workspace, t_critics, t_targets):
    t_critics(rb_workspace, t=0, n_steps=1)
    # The next action is disturbed a little: a critic with a narrow peak would be exploited otherwise.
    with torch.no_grad():
        t_targets(rb_workspace, t=1, n_steps=1)

    reward, terminated = rb_workspace["env/reward", "env/terminated"]
    next_q_1, next_q_2 = rb_workspace["target-critic-1/q_value", "target-critic-2/q_value"]
    next_value = torch.min(next_q_1[1], next_q_2[1])
    target = reward[1] + cfg.algorithm.discount_factor * ~terminated[1] * next_value

    return [nn.functional.mse_loss(q[0], target) for q in rb_workspace["critic-1/q_value", "critic-2/q_value"]]


def compute_actor_loss(rb_workspace, t_actor_critic):
    # One critic is enough to say which way is up.
    t_actor_critic(rb_workspace, t=0, n_steps=1)
    return -rb_workspace["critic-1/q_value"][0].mean()


def run_td3(td3):
    cfg = td3.cfg
    t_critics = TemporalAgent(Agents(td3.critic_1, td3.critic_2))
    t_targets = TemporalAgent(Agents(td3.target_actor, td3.target_noise, td3.target_critic_1, td3.target_critic_2))
    t_actor_critic = TemporalAgent(Agents(td3.actor, td3.critic_1))
    actor_optimizer = setup_optimizer(cfg.actor_optimizer, td3.actor)
    critic_optimizer = setup_optimizer(cfg.critic_optimizer, td3.critic_1, td3.critic_2)
    record = defaultdict(list)

    def log(name, value):
        td3.logger.add_log(name, value, td3.nb_steps)
        record[name].append(value.item())

    for rb in td3.iter_replay_buffers():
        for _ in range(cfg.algorithm.updates_per_epoch):
            rb_workspace = rb.get_shuffled(cfg.algorithm.batch_size)

            loss_1, loss_2 = compute_critic_losses(cfg, rb_workspace, t_critics, t_targets)
            critic_optimizer.zero_grad()
            (loss_1 + loss_2).backward()
            for critic in (td3.critic_1, td3.critic_2):
                nn.utils.clip_grad_norm_(critic.parameters(), cfg.algorithm.max_grad_norm)
            critic_optimizer.step()
            log("critic_loss_1", loss_1)
            log("critic_loss_2", loss_2)

            # The actor waits until the critics have had time to settle.
            if len(record["critic_loss_1"]) % cfg.algorithm.policy_delay == 0:
                actor_loss = compute_actor_loss(rb_workspace, t_actor_critic)
                actor_optimizer.zero_grad()
                actor_loss.backward()
                nn.utils.clip_grad_norm_(td3.actor.parameters(), cfg.algorithm.max_grad_norm)
                actor_optimizer.step()
                log("actor_loss", actor_loss)

                soft_update_params(td3.actor, td3.target_actor, cfg.algorithm.tau_target)
                soft_update_params(td3.critic_1, td3.target_critic_1, cfg.algorithm.tau_target)
                soft_update_params(td3.critic_2, td3.target_critic_2, cfg.algorithm.tau_target)

        if td3.evaluate():
            print(f"best reward {td3.best_reward:.1f} after {td3.nb_steps} steps")

    # The last policy is judged too, whenever it comes.
    td3.evaluate(force=True)
    record["eval_reward"] = [rewards.mean().item() for rewards in td3.eval_rewards]
    return record


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    td3 = TD3(cfg)
    losses = run_td3(td3)
    td3.save_stats()
    Path("losses.json").write_text(json.dumps(losses))
