"""DQN on CartPole: a table of action values replaced by a network, learned from a replay buffer.

    python dqn.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`: the loss of every update, and the mean reward of every evaluation. The defaults are a quick run
(280 updates); `algorithm.max_epochs=1000 algorithm.eval_interval=2000` learns to balance the pole.
`algorithm.double_q=false` gives the target of the original DQN.
"""

import copy
import json
import os
import sys
from pathlib import Path

import bbrl_utils
import torch
from bbrl.agents import Agent, Agents, TemporalAgent
from bbrl_utils.algorithms import EpochBasedAlgo
from bbrl_utils.nn import build_mlp, copy_parameters, setup_optimizer
from omegaconf import OmegaConf
from torch import nn

params = {
    "base_dir": "${gym_env.env_name}/dqn-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "gym_env": {"env_name": "CartPole-v1"},
    "algorithm": {
        "seed": 3,
        "n_envs": 8,
        "n_steps": 16,
        "max_epochs": 150,
        "learning_starts": 1_000,
        "buffer_size": 1e4,
        "batch_size": 64,
        "updates_per_epoch": 2,
        "max_grad_norm": 10.0,
        "discount_factor": 0.99,
        "epsilon_start": 1.0,
        "epsilon_end": 0.02,
        "epsilon_decay_steps": 15_000,
        "target_update_interval": 20,
        "double_q": True,
        "nb_evals": 4,
        "eval_interval": 4_000,
        "architecture": {"hidden_size": [64, 64]},
    },
    "optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3},
}


class DiscreteQAgent(Agent):
    """Writes the values of all the actions, one column for each."""

    is_q_function = True

    def __init__(self, state_dim, hidden_layers, n_actions):
        super().__init__()
        self.model = build_mlp([state_dim, *hidden_layers, n_actions], activation=nn.ReLU())

    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}q_values", t), self.model(self.get(("env/env_obs", t))))


class GreedySelector(Agent):
    """Chooses the action of the greatest value."""

    def forward(self, t, **kwargs):
        self.set(("action", t), self.get(("q_values", t)).argmax(dim=-1))


class EpsilonGreedySelector(Agent):
    """Chooses at random with probability epsilon, and the action of the greatest value otherwise."""

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, t, **kwargs):
        q_values = self.get(("q_values", t))
        n_envs, n_actions = q_values.shape
        greedy = q_values.argmax(dim=-1)
        random = torch.randint(low=0, high=n_actions, size=(n_envs,))
        explores = torch.rand(n_envs) < self.epsilon
        self.set(("action", t), torch.where(explores, random, greedy))


class DQN(EpochBasedAlgo):
    def __init__(self, cfg):
        super().__init__(cfg)
        state_dim, n_actions = self.train_env.get_obs_and_actions_sizes()
        self.critic = DiscreteQAgent(state_dim, cfg.algorithm.architecture.hidden_size, n_actions)
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target/")
        self.explorer = EpsilonGreedySelector(cfg.algorithm.epsilon_start)

        # The selectors read what the critic writes at the same time step.
        self.train_policy = Agents(self.critic, self.explorer)
        self.eval_policy = Agents(self.critic, GreedySelector())


def compute_loss(cfg, rb_workspace, t_critic, t_target_critic):
    # The critic on both steps of the transitions: step 0 is learned, step 1 may choose the next action.
    t_critic(rb_workspace, t=0, n_steps=2)
    with torch.no_grad():
        t_target_critic(rb_workspace, t=1, n_steps=1)

    q_values, target_q_values = rb_workspace["q_values", "target/q_values"]
    action, reward, terminated = rb_workspace["action", "env/reward", "env/terminated"]

    # In the original DQN, one network both chooses the next action and says what it is worth, so a lucky error is
    # chosen and believed. In double DQN, the learned network chooses and the target network judges.
    chooser = q_values[1].detach() if cfg.algorithm.double_q else target_q_values[1]
    next_action = chooser.argmax(dim=-1, keepdim=True)
    next_value = target_q_values[1].gather(1, next_action).squeeze(1)
    target = reward[1] + cfg.algorithm.discount_factor * ~terminated[1] * next_value

    value = q_values[0].gather(1, action[0].unsqueeze(1)).squeeze(1)
    return nn.functional.mse_loss(value, target)


def run_dqn(dqn):
    cfg = dqn.cfg
    t_critic, t_target_critic = TemporalAgent(dqn.critic), TemporalAgent(dqn.target_critic)
    optimizer = setup_optimizer(cfg.optimizer, dqn.critic)
    losses = []

    for rb in dqn.iter_replay_buffers():
        for _ in range(cfg.algorithm.updates_per_epoch):
            loss = compute_loss(cfg, rb.get_shuffled(cfg.algorithm.batch_size), t_critic, t_target_critic)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(dqn.critic.parameters(), cfg.algorithm.max_grad_norm)
            optimizer.step()

            dqn.logger.add_log("critic_loss", loss, dqn.nb_steps)
            losses.append(loss.item())

            # The target stands still between two copies, so that there is something fixed to regress to.
            if len(losses) % cfg.algorithm.target_update_interval == 0:
                copy_parameters(dqn.critic, dqn.target_critic)

        # The explorer is an object like any other: epsilon is changed where it is.
        progress = min(1.0, dqn.nb_steps / cfg.algorithm.epsilon_decay_steps)
        span = cfg.algorithm.epsilon_end - cfg.algorithm.epsilon_start
        dqn.explorer.epsilon = cfg.algorithm.epsilon_start + progress * span

        if dqn.evaluate():
            print(f"best reward {dqn.best_reward:.1f} after {dqn.nb_steps} steps")

    return {"critic_loss": losses, "eval_reward": [rewards.mean().item() for rewards in dqn.eval_rewards]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    losses = run_dqn(DQN(cfg))
    Path("losses.json").write_text(json.dumps(losses))
