"""REINFORCE on CartPole: whole episodes, and each action credited with what came after it.

    python reinforce.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`, the losses of every update and the mean reward of every evaluation, and `workspaces.pt`, the
episodes every update learned from. The defaults are a quick run (80 updates), by the end of which the pole is balanced.
"""

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import bbrl_utils
import torch
from bbrl.agents import Agent, KWAgentWrapper
from bbrl_utils.algorithms import EpisodicAlgo
from bbrl_utils.nn import build_mlp, setup_optimizer
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Categorical

params = {
    "base_dir": "${gym_env.env_name}/reinforce-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "gym_env": {"env_name": "CartPole-v1"},
    "algorithm": {
        "seed": 5,
        "n_envs": 4,
        "max_epochs": 80,
        "discount_factor": 0.98,
        "max_grad_norm": 1.0,
        "nb_evals": 2,
        "eval_interval": 3_000,
        "architecture": {"actor_hidden_size": [32], "critic_hidden_size": [32]},
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 5e-3},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-2},
}


class DiscreteActor(Agent):
    """Draws an action, or takes the most likely one; the log-probability is written with its graph."""

    def __init__(self, state_dim, hidden_layers, n_actions):
        super().__init__()
        self.model = build_mlp([state_dim, *hidden_layers, n_actions], activation=nn.Tanh())

    def forward(self, t, stochastic=True, **kwargs):
        policy = Categorical(logits=self.model(self.get(("env/env_obs", t))))
        action = policy.sample() if stochastic else policy.probs.argmax(dim=-1)
        self.set(("action", t), action)
        self.set(("action_logprobs", t), policy.log_prob(action))


class VAgent(Agent):
    """The value of all the states of a workspace at once: a network does not mind a dimension for the time."""

    is_q_function = False

    def __init__(self, state_dim, hidden_layers):
        super().__init__()
        self.model = build_mlp([state_dim, *hidden_layers, 1], activation=nn.Tanh())

    def forward(self, **kwargs):
        self.set("v_value", self.model(self.get("env/env_obs")).squeeze(-1))


class Reinforce(EpisodicAlgo):
    def __init__(self, cfg):
        # Environments that stop at their end: the workspace holds exactly one episode of each.
        super().__init__(cfg, autoreset=False)
        state_dim, n_actions = self.train_env.get_obs_and_actions_sizes()
        sizes = cfg.algorithm.architecture
        self.critic = VAgent(state_dim, sizes.critic_hidden_size)
        self.train_policy = DiscreteActor(state_dim, sizes.actor_hidden_size, n_actions)
        self.eval_policy = KWAgentWrapper(self.train_policy, stochastic=False)


def discounted_returns(reward, discount_factor):
    """The discounted sum of the rewards that follow each step: the reward of the action of step t is at t + 1."""
    returns = torch.zeros_like(reward)
    for t in range(len(reward) - 2, -1, -1):
        returns[t] = reward[t + 1] + discount_factor * returns[t + 1]
    return returns


def run_reinforce(reinforce):
    cfg = reinforce.cfg
    actor_optimizer = setup_optimizer(cfg.actor_optimizer, reinforce.train_policy)
    critic_optimizer = setup_optimizer(cfg.critic_optimizer, reinforce.critic)
    record, workspaces = defaultdict(list), []

    def log(name, value):
        reinforce.logger.add_log(name, value, reinforce.nb_steps)
        record[name].append(value.item())

    for workspace in reinforce.iter_episodes():
        reinforce.critic(workspace)
        workspaces.append({key: workspace.get_full(key).detach().clone() for key in workspace.keys()})

        reward, done = workspace["env/reward", "env/done"]
        action_logprobs, value = workspace["action_logprobs", "v_value"]
        returns = discounted_returns(reward, cfg.algorithm.discount_factor)

        # An environment that ended before the others repeats its last frame: nothing was decided there.
        playing = ~done
        # What counts is whether an action did better than expected.
        advantage = (returns - value.detach())[playing]

        actor_loss = -(action_logprobs[playing] * advantage).sum() / cfg.algorithm.n_envs
        actor_optimizer.zero_grad()
        actor_loss.backward()
        nn.utils.clip_grad_norm_(reinforce.train_policy.parameters(), cfg.algorithm.max_grad_norm)
        actor_optimizer.step()
        log("actor_loss", actor_loss)

        critic_loss = nn.functional.mse_loss(value[playing], returns[playing])
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()
        log("critic_loss", critic_loss)

        if reinforce.evaluate():
            print(f"best reward {reinforce.best_reward:.1f} after {reinforce.nb_steps} steps")

    record["eval_reward"] = [rewards.mean().item() for rewards in reinforce.eval_rewards]
    return record, workspaces


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    losses, workspaces = run_reinforce(Reinforce(cfg))
    Path("losses.json").write_text(json.dumps(losses))
    torch.save(workspaces, "workspaces.pt")
