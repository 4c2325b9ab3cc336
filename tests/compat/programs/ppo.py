"""PPO on CartPole: many small updates from the same steps, clipped so that the policy stays close to what it was.

    python ppo.py OUTPUT_FOLDER [key=value ...]

writes `losses.json`, the losses of every update and the mean reward of every evaluation, and `workspaces.pt`, every
collected workspace. The defaults are a quick run (about 320 updates); `algorithm.max_epochs=150` learns to balance the
pole. `algorithm.minibatches` says how the mini-batches are drawn: `select_batch` (every transition once an epoch),
`select_batch_n` or `replay_buffer` (with replacement).
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
from bbrl.utils.replay_buffer import ReplayBuffer
from bbrl_utils.algorithms import EpisodicAlgo
from bbrl_utils.nn import build_ortho_mlp, setup_optimizer
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Categorical

params = {
    "base_dir": "${gym_env.env_name}/ppo-S${algorithm.seed}_${current_time:}",
    "collect_stats": True,
    "gym_env": {"env_name": "CartPole-v1"},
    "algorithm": {
        "seed": 1,
        "n_envs": 4,
        "n_steps": 64,
        "max_epochs": 20,
        "opt_epochs": 4,
        "batch_size": 64,
        "minibatches": "select_batch",
        "discount_factor": 0.98,
        "gae": 0.9,
        "clip_range": 0.2,
        "entropy_coef": 0.005,
        "max_grad_norm": 0.5,
        "nb_evals": 4,
        "eval_interval": 1_500,
        "architecture": {"actor_hidden_size": [64, 64], "critic_hidden_size": [64, 64]},
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3, "eps": 1e-5},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 1e-3, "eps": 1e-5},
}


class DiscreteActor(Agent):
    """Acts, or says with `predict_proba` how likely it finds the action that is in the workspace."""

    def __init__(self, state_dim, hidden_layers, n_actions):
        super().__init__()
        self.model = build_ortho_mlp([state_dim, *hidden_layers, n_actions], activation=nn.Tanh())

    def forward(self, t, stochastic=True, predict_proba=False, **kwargs):
        policy = Categorical(logits=self.model(self.get(("env/env_obs", t))))
        if predict_proba:
            self.set(("logprob_predict", t), policy.log_prob(self.get(("action", t))))
            self.set(("entropy", t), policy.entropy())
        else:
            action = policy.sample() if stochastic else policy.probs.argmax(dim=-1)
            self.set(("action", t), action)
            self.set(("action_logprobs", t), policy.log_prob(action))


class VAgent(Agent):
    is_q_function = False

    def __init__(self, state_dim, hidden_layers):
        super().__init__()
        self.model = build_ortho_mlp([state_dim, *hidden_layers, 1], activation=nn.Tanh())

    def forward(self, t, **kwargs):
        self.set((f"{self.prefix}v_value", t), self.model(self.get(("env/env_obs", t))).squeeze(-1))


class PPO(EpisodicAlgo):
    def __init__(self, cfg):
        super().__init__(cfg, autoreset=True)
        state_dim, n_actions = self.train_env.get_obs_and_actions_sizes()
        sizes = cfg.algorithm.architecture
        self.critic = VAgent(state_dim, sizes.critic_hidden_size)
        self.train_policy = DiscreteActor(state_dim, sizes.actor_hidden_size, n_actions)
        self.eval_policy = KWAgentWrapper(self.train_policy, stochastic=False)


def write_advantages(cfg, workspace):
    """Writes the advantages while the steps are still in order, for the transitions to take them along."""
    reward, done, truncated, value = workspace["env/reward", "env/done", "env/truncated", "v_value"]
    discount = cfg.algorithm.discount_factor

    # One mask says where the sums end; the value after an episode that was cut short goes with its last reward.
    cut = truncated[1:] * discount * value[1:]
    advantage = gae(reward[1:] + cut, value[1:], ~done[1:], value[:-1], discount, cfg.algorithm.gae)

    # A variable has as many steps as the others: the last one starts no transition, and is never read.
    workspace.set_full("advantage", torch.cat((advantage, torch.zeros_like(advantage[:1]))))


def iter_minibatches(cfg, transitions):
    n_transitions, batch_size = transitions.batch_size(), cfg.algorithm.batch_size
    if cfg.algorithm.minibatches == "select_batch":
        for indices in torch.randperm(n_transitions).split(batch_size):
            yield transitions.select_batch(indices)
        return

    if cfg.algorithm.minibatches == "replay_buffer":
        buffer = ReplayBuffer(max_size=n_transitions)
        buffer.put(transitions)
        draw = buffer.get_shuffled
    else:
        draw = transitions.select_batch_n
    for _ in range(-(-n_transitions // batch_size)):
        yield draw(batch_size)


def run_ppo(ppo):
    cfg = ppo.cfg
    t_actor, t_critic = TemporalAgent(ppo.train_policy), TemporalAgent(ppo.critic)
    actor_optimizer = setup_optimizer(cfg.actor_optimizer, ppo.train_policy)
    critic_optimizer = setup_optimizer(cfg.critic_optimizer, ppo.critic)
    record, workspaces = defaultdict(list), []

    def log(name, value):
        ppo.logger.add_log(name, value, ppo.nb_steps)
        record[name].append(value.item())

    for workspace in ppo.iter_partial_episodes():
        # The values are those of the critic as it was when the steps were made.
        with torch.no_grad():
            t_critic(workspace, t=0, n_steps=workspace.time_size())
            write_advantages(cfg, workspace)
        workspaces.append({key: workspace.get_full(key).detach().clone() for key in workspace.keys()})

        transitions = workspace.get_transitions()

        for _ in range(cfg.algorithm.opt_epochs):
            for batch in iter_minibatches(cfg, transitions):
                # The actor and the critic as they are now write beside what they wrote then.
                old_logprobs, old_value = batch["action_logprobs"][0].detach(), batch["v_value"][0].detach()
                advantage = batch["advantage"][0]
                t_actor(batch, t=0, n_steps=1, predict_proba=True)
                t_critic(batch, t=0, n_steps=1)

                critic_loss = nn.functional.mse_loss(batch["v_value"][0], advantage + old_value)
                critic_optimizer.zero_grad()
                critic_loss.backward()
                nn.utils.clip_grad_norm_(ppo.critic.parameters(), cfg.algorithm.max_grad_norm)
                critic_optimizer.step()
                log("critic_loss", critic_loss)

                # Beyond the clip range there is nothing to gain: the gradient of the minimum is zero there.
                scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
                ratio = (batch["logprob_predict"][0] - old_logprobs).exp()
                clipped = ratio.clamp(1 - cfg.algorithm.clip_range, 1 + cfg.algorithm.clip_range)
                actor_loss = -torch.min(ratio * scaled, clipped * scaled).mean()
                entropy = batch["entropy"][0].mean()
                actor_optimizer.zero_grad()
                (actor_loss - cfg.algorithm.entropy_coef * entropy).backward()
                nn.utils.clip_grad_norm_(ppo.train_policy.parameters(), cfg.algorithm.max_grad_norm)
                actor_optimizer.step()
                log("actor_loss", actor_loss)
                log("entropy", entropy)

        if ppo.evaluate():
            print(f"best reward {ppo.best_reward:.1f} after {ppo.nb_steps} steps")

    record["eval_reward"] = [rewards.mean().item() for rewards in ppo.eval_rewards]
    return record, workspaces


if __name__ == "__main__":
    torch.set_num_threads(1)
    output = Path(sys.argv[1]).resolve()
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    bbrl_utils.setup(box2d=False)
    cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(sys.argv[2:]))
    losses, workspaces = run_ppo(PPO(cfg))
    Path("losses.json").write_text(json.dumps(losses))
    torch.save(workspaces, "workspaces.pt")
