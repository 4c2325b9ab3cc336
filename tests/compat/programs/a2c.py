"""A2C on CartPole: a few steps in each environment, one update, and on from where they stopped.

    python a2c.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`, the losses of every update and the mean reward of every evaluation, and `workspaces.pt`, what
every update learned from. The defaults are a quick run (100 updates); `algorithm.max_epochs=1500` learns to balance
the pole.
"""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import bbrl_utils
import torch
from bbrl.agents import Agent, KWAgentWrapper, TemporalAgent
from bbrl.utils.functional import gae
from bbrl_utils.algorithms import EpisodicAlgo
from bbrl_utils.nn import build_mlp, setup_optimizer
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Categorical

params = {
    "base_dir": "${gym_env.env_name}/a2c-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "gym_env": {"env_name": "CartPole-v1"},
    "algorithm": {
        "seed": 1,
        "n_envs": 8,
        "n_steps": 20,
        "max_epochs": 100,
        "discount_factor": 0.98,
        "gae": 0.9,
        "critic_coef": 0.5,
        "entropy_coef": 0.005,
        "max_grad_norm": 0.5,
        "nb_evals": 4,
        "eval_interval": 4_000,
        "architecture": {"actor_hidden_size": [64], "critic_hidden_size": [64]},
    },
    "optimizer": {"classname": "torch.optim.Adam", "lr": 2e-3},
}


class DiscreteActor(Agent):
    def __init__(self, state_dim, hidden_layers, n_actions):
        super().__init__()
        self.model = build_mlp([state_dim, *hidden_layers, n_actions], activation=nn.Tanh())

    def forward(self, t, stochastic=True, **kwargs):
        policy = Categorical(logits=self.model(self.get(("env/env_obs", t))))
        action = policy.sample() if stochastic else policy.probs.argmax(dim=-1)
        self.set(("action", t), action)
        # With their graphs: the loss is computed from what was written while acting.
        self.set(("action_logprobs", t), policy.log_prob(action))
        self.set(("entropy", t), policy.entropy())


class VAgent(Agent):
    is_q_function = False

    def __init__(self, state_dim, hidden_layers):
        super().__init__()
        self.model = build_mlp([state_dim, *hidden_layers, 1], activation=nn.Tanh())

    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}v_value", t), self.model(self.get(("env/env_obs", t))).squeeze(-1))


class A2C(EpisodicAlgo):
    def __init__(self, cfg):
        super().__init__(cfg, autoreset=True)
        state_dim, n_actions = self.train_env.get_obs_and_actions_sizes()
        sizes = cfg.algorithm.architecture
        self.critic = VAgent(state_dim, sizes.critic_hidden_size).with_prefix("critic/")
        self.train_policy = DiscreteActor(state_dim, sizes.actor_hidden_size, n_actions)
        self.eval_policy = KWAgentWrapper(self.train_policy, stochastic=False)


def compute_losses(cfg, workspace):
    reward, done, truncated = workspace["env/reward", "env/done", "env/truncated"]
    value, action_logprobs, entropy = workspace["critic/v_value", "action_logprobs", "entropy"]
    discount = cfg.algorithm.discount_factor

    # Row t is the step from t to t + 1. One that starts at the end of an episode leads to the start of the next: it
    # is no step at all, and no sum may run through it.
    real = ~done[:-1]

    # An episode that was cut short would have earned the value of its last state. `gae` has one mask for both
    # questions, whether to add the next value and whether to go on summing, so this value goes with the reward.
    cut = truncated[1:] * discount * value[1:].detach()
    advantage = gae(reward[1:] + cut, value[1:], ~done[1:], value[:-1], discount, cfg.algorithm.gae)[real]

    # The advantage is what the critic did not foresee: its square is the loss of the critic.
    critic_loss = (advantage**2).mean()

    # Step 0 of a workspace is the last one of the workspace before. Its action was drawn by an actor that has changed
    # since, its graph is gone, and it adds nothing to the gradient.
    actor_loss = -(action_logprobs[:-1][real] * advantage.detach()).mean()
    return critic_loss, actor_loss, entropy[:-1][real].mean()


def run_a2c(a2c):
    cfg = a2c.cfg
    t_critic = TemporalAgent(a2c.critic)
    optimizer = setup_optimizer(cfg.optimizer, a2c.train_policy, a2c.critic)
    record, workspaces = defaultdict(list), []

    def log(name, value):
        a2c.logger.add_log(name, value, a2c.nb_steps)
        record[name].append(value.item())

    for workspace in a2c.iter_partial_episodes():
        t_critic(workspace, t=0, n_steps=workspace.time_size())
        workspaces.append({key: workspace.get_full(key).detach().clone() for key in workspace.keys()})

        critic_loss, actor_loss, entropy = compute_losses(cfg, workspace)
        loss = cfg.algorithm.critic_coef * critic_loss + actor_loss - cfg.algorithm.entropy_coef * entropy
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(a2c.train_policy.parameters(), cfg.algorithm.max_grad_norm)
        nn.utils.clip_grad_norm_(a2c.critic.parameters(), cfg.algorithm.max_grad_norm)
        optimizer.step()
        log("critic_loss", critic_loss)
        log("actor_loss", actor_loss)
        log("entropy", entropy)

        if a2c.evaluate():
            print(f"best reward {a2c.best_reward:.1f} after {a2c.nb_steps} steps")

    record["eval_reward"] = [rewards.mean().item() for rewards in a2c.eval_rewards]
    return record, workspaces


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    losses, workspaces = run_a2c(A2C(cfg))
    Path("losses.json").write_text(json.dumps(losses))
    torch.save(workspaces, "workspaces.pt")
