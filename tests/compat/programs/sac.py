# %% [markdown]
# # Soft Actor-Critic
#
# SAC learns a stochastic policy off-policy: it maximises the sum of the rewards and of the entropy of the policy.
# This notebook builds its actor, its two critics and their targets out of BBRL agents, writes its three losses, and
# trains a policy that balances a pole by pushing its cart with a force between -1 and 1.
#
# As a script: `python sac.py OUTPUT_FOLDER [key=value ...]`. As a notebook, the folder is the environment variable
# `BBRL_PROGRAM_OUTPUT` and the overrides are the words of `BBRL_PROGRAM_ARGS`. The full budget takes minutes; a quick
# run (116 updates, a buffer that wraps around) is given by
#
# `algorithm.max_epochs=120 algorithm.n_steps=16 algorithm.learning_starts=512 algorithm.buffer_size=5000`
# `algorithm.eval_interval=4000 algorithm.nb_evals=4`

# %% [markdown]
# ## Set-up
#
# `easyinstall` installs what is missing, and leaves alone what is there.

# %%
# ruff: noqa: E402 (the cells of a notebook import what they need)
from easypip import easyimport, easyinstall, is_notebook

easyinstall("bbrl>=1.0.1")
easyinstall("bbrl_gymnasium>=1.0.0")
bbrl_utils = easyimport("bbrl_utils>=1.0")

bbrl_utils.setup(box2d=False)

# %%
import copy
import json
import os
import sys
from collections import defaultdict
from functools import partial
from pathlib import Path

import bbrl_gymnasium  # noqa: F401 (registers CartPoleContinuous-v1)
import numpy as np
import torch
from bbrl.agents import Agent, Agents, KWAgentWrapper, TemporalAgent
from bbrl.workspace import Workspace
from bbrl_utils.algorithms import EpochBasedAlgo
from bbrl_utils.nn import build_mlp, setup_optimizer, soft_update_params
from bbrl_utils.notebook import setup_tensorboard
from gymnasium.wrappers import RescaleAction
from omegaconf import OmegaConf
from torch import nn
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

# One thread: the same sums in the same order at every run.
torch.set_num_threads(1)

# The arguments of a notebook's process are those of its kernel, not ours.
arguments = [] if is_notebook() else sys.argv[1:]
output = Path(arguments[0] if arguments else os.environ.get("BBRL_PROGRAM_OUTPUT", ".")).resolve()
overrides = arguments[1:] or os.environ.get("BBRL_PROGRAM_ARGS", "").split()

# BBRL writes to `outputs/` in the working directory.
output.mkdir(parents=True, exist_ok=True)
os.chdir(output)

# %% [markdown]
# ## Actor
#
# A backbone is shared by two heads, one for the mean and one for the standard deviation of a Gaussian. `softplus` keeps
# the deviation positive, and `min_std` keeps it away from zero. A sample of the Gaussian may be of any size while the
# forces lie in $[-1, 1]$: $\tanh$ squashes it, and `TransformedDistribution` corrects the density accordingly.
#
# The actor has three ways to be called:
#
# - `stochastic=True` samples, with the reparametrisation trick, so that the gradient reaches the actor;
# - `stochastic=False` takes the middle of the Gaussian;
# - `predict_proba=True` leaves the action that is in the workspace, and says how likely the actor finds it.


# %%
class SquashedGaussianActor(Agent):
    def __init__(self, state_dim, hidden_layers, action_dim, min_std=1e-4):
        super().__init__()
        self.backbone = build_mlp([state_dim, *hidden_layers], activation=nn.ReLU(), output_activation=nn.ReLU())
        self.mean_head = nn.Linear(hidden_layers[-1], action_dim)
        self.std_head = nn.Linear(hidden_layers[-1], action_dim)
        self.softplus = nn.Softplus()
        self.min_std = min_std
        # The cache remembers which sample gave which action: atanh of an action close to 1 would be inexact.
        self.squash = TanhTransform(cache_size=1)

    def gaussian(self, observation):
        features = self.backbone(observation)
        std = self.softplus(self.std_head(features)) + self.min_std
        # The coordinates of an action are one event: its log-probability is one number.
        return Independent(Normal(self.mean_head(features), std), 1)

    def forward(self, t, stochastic=True, predict_proba=False, **kwargs):
        gaussian = self.gaussian(self.get(("env/env_obs", t)))
        policy = TransformedDistribution(gaussian, [self.squash])

        if predict_proba:
            self.set(("logprob_predict", t), policy.log_prob(self.get(("action", t))))
        else:
            action = policy.rsample() if stochastic else self.squash(gaussian.mean)
            self.set(("action", t), action)
            self.set(("action_logprobs", t), policy.log_prob(action))

        # What is cached belongs to a graph, and an agent which holds a graph can not be copied.
        self.squash._cached_x_y = (None, None)


# %% [markdown]
# For evaluations, we want the deterministic policy. BBRL has an agent that calls another one with fixed keywords,
# `KWAgentWrapper`; to see that there is no magic in it, here is one written by hand.


# %%
class DeterministicWrapper(Agent):
    def __init__(self, actor):
        super().__init__()
        self.actor = actor

    def forward(self, t, **kwargs):
        self.actor(self.workspace, t=t, stochastic=False)


# Both write the same action: the middle of the Gaussian.
actor = SquashedGaussianActor(4, [8, 8], 1)
by_hand, by_keyword = Workspace(), Workspace()
for workspace, policy in (
    (by_hand, DeterministicWrapper(actor)),
    (by_keyword, KWAgentWrapper(actor, stochastic=False)),
):
    workspace.set("env/env_obs", 0, torch.ones(2, 4))
    policy(workspace, t=0)
assert torch.equal(by_hand["action"], by_keyword["action"])

# %% [markdown]
# ## Critics
#
# A critic reads an observation and an action. Several of them write into the same workspace: the prefix keeps their
# values apart.


# %%
class ContinuousQAgent(Agent):
    # Some plots of BBRL ask whether a critic needs actions.
    is_q_function = True

    def __init__(self, state_dim, hidden_layers, action_dim):
        super().__init__()
        self.model = build_mlp([state_dim + action_dim, *hidden_layers, 1], activation=nn.ReLU())

    def forward(self, t, **kwargs):
        inputs = torch.cat((self.get(("env/env_obs", t)), self.get(("action", t))), dim=1)
        self.set((f"{self.prefix}q_value", t), self.model(inputs).squeeze(-1))


# %% [markdown]
# ## The algorithm's agents
#
# `EpochBasedAlgo` brings the environments, the replay buffer, the logger and the evaluations. It expects a
# `train_policy` and an `eval_policy`.


# %%
class SACAlgo(EpochBasedAlgo):
    def __init__(self, cfg, env_wrappers=()):
        super().__init__(cfg, env_wrappers=env_wrappers)

        state_dim, action_dim = self.train_env.get_obs_and_actions_sizes()
        sizes = cfg.algorithm.architecture

        self.actor = SquashedGaussianActor(state_dim, sizes.actor_hidden_size, action_dim)

        def critic(prefix):
            return ContinuousQAgent(state_dim, sizes.critic_hidden_size, action_dim).with_prefix(prefix)

        # The smaller of two estimates makes up for the optimism of a maximum.
        self.critic_1 = critic("critic-1/")
        self.critic_2 = critic("critic-2/")
        self.target_critic_1 = copy.deepcopy(self.critic_1).with_prefix("target-critic-1/")
        self.target_critic_2 = copy.deepcopy(self.critic_2).with_prefix("target-critic-2/")

        self.train_policy = self.actor
        self.eval_policy = DeterministicWrapper(self.actor)


# %% [markdown]
# ## The weight of the entropy
#
# The coefficient $\alpha$ is learned too: it grows when the entropy of the policy is below a target, and shrinks when
# it is above. Its logarithm is what is optimised, so that $\alpha$ stays positive.


# %%
def setup_entropy_optimizers(cfg):
    if cfg.algorithm.entropy_mode != "auto":
        return None, None
    log_entropy_coef = nn.Parameter(torch.log(torch.tensor([cfg.algorithm.init_entropy_coef])))
    return setup_optimizer(cfg.entropy_coef_optimizer, log_entropy_coef), log_entropy_coef


def get_target_entropy(cfg, action_space):
    # The usual guess: minus the number of dimensions of an action.
    target = cfg.algorithm.target_entropy
    return -float(np.prod(action_space.shape)) if target == "auto" else float(target)


# %% [markdown]
# ## Losses
#
# A sampled workspace has two time steps: the state $s_t$ and the action $a_t$ at 0, the state $s_{t+1}$ at 1, with
# the reward that led there.
#
# The target of the critics is $r + \gamma\,(1 - \textrm{terminated})\,(\min_i Q'_i(s_{t+1}, a') -
# \alpha \log\pi(a'|s_{t+1}))$ where $a'$ is drawn by the actor as it is now: the one of the buffer was drawn by an
# older one. Only a termination stops the bootstrap; a truncated episode would have gone on.


# %%
def compute_critic_loss(cfg, rb_workspace, t_actor, t_critics, t_target_critics, ent_coef):
    # Q(s_t, a_t) with the actions of the buffer: before the actor writes over any of them.
    t_critics(rb_workspace, t=0, n_steps=1)

    with torch.no_grad():
        t_actor(rb_workspace, t=1, n_steps=1, stochastic=True)
        t_target_critics(rb_workspace, t=1, n_steps=1)

    reward, terminated, action_logprobs = rb_workspace["env/reward", "env/terminated", "action_logprobs"]
    q_1, q_2 = rb_workspace["critic-1/q_value", "critic-2/q_value"]
    next_q_1, next_q_2 = rb_workspace["target-critic-1/q_value", "target-critic-2/q_value"]

    next_value = torch.min(next_q_1[1], next_q_2[1]) - ent_coef * action_logprobs[1]
    must_bootstrap = ~terminated[1]
    target = (reward[1] + cfg.algorithm.discount_factor * must_bootstrap * next_value).detach()

    return nn.functional.mse_loss(q_1[0], target), nn.functional.mse_loss(q_2[0], target)


# %% [markdown]
# The actor maximises $\min_i Q_i(s_t, a) - \alpha \log\pi(a|s_t)$ where $a$ is a new sample, through which the gradient
# flows.


# %%
def compute_actor_loss(rb_workspace, t_actor, t_critics, ent_coef):
    t_actor(rb_workspace, t=0, n_steps=1, stochastic=True)
    t_critics(rb_workspace, t=0, n_steps=1)

    action_logprobs = rb_workspace["action_logprobs"][0]
    q_1, q_2 = rb_workspace["critic-1/q_value", "critic-2/q_value"]
    return (ent_coef * action_logprobs - torch.min(q_1[0], q_2[0])).mean()


# %% [markdown]
# ## Training
#
# `iter_replay_buffers` plays `n_steps` steps in each environment, and gives the buffer once it is full enough to learn.
# `record` keeps the losses of every update.


# %%
def run_sac(sac, record):
    cfg = sac.cfg
    logger = sac.logger

    t_actor = TemporalAgent(sac.actor)
    t_critics = TemporalAgent(Agents(sac.critic_1, sac.critic_2))
    t_target_critics = TemporalAgent(Agents(sac.target_critic_1, sac.target_critic_2))

    actor_optimizer = setup_optimizer(cfg.actor_optimizer, sac.actor)
    critic_optimizer = setup_optimizer(cfg.critic_optimizer, sac.critic_1, sac.critic_2)
    entropy_coef_optimizer, log_entropy_coef = setup_entropy_optimizers(cfg)
    target_entropy = get_target_entropy(cfg, sac.train_env.get_action_space())
    ent_coef = torch.tensor([cfg.algorithm.init_entropy_coef])

    def log(name, value):
        logger.add_log(name, value, sac.nb_steps)
        record[f"{cfg.gym_env.env_name}/{name}"].append(value.item())

    for rb in sac.iter_replay_buffers():
        rb_workspace = rb.get_shuffled(cfg.algorithm.batch_size)

        if log_entropy_coef is not None:
            ent_coef = log_entropy_coef.detach().exp()

        # How much the policy has moved away from those that filled the buffer.
        with torch.no_grad():
            t_actor(rb_workspace, t=0, n_steps=1, predict_proba=True)
        log("logprob_predict", rb_workspace["logprob_predict"][0].mean())

        # Critics
        critic_loss_1, critic_loss_2 = compute_critic_loss(
            cfg, rb_workspace, t_actor, t_critics, t_target_critics, ent_coef
        )
        critic_optimizer.zero_grad()
        (critic_loss_1 + critic_loss_2).backward()
        for critic in (sac.critic_1, sac.critic_2):
            nn.utils.clip_grad_norm_(critic.parameters(), cfg.algorithm.max_grad_norm)
        critic_optimizer.step()
        log("critic_loss_1", critic_loss_1)
        log("critic_loss_2", critic_loss_2)

        # Actor: its loss also leaves gradients in the critics, which the next `zero_grad` of theirs clears.
        actor_loss = compute_actor_loss(rb_workspace, t_actor, t_critics, ent_coef)
        actor_optimizer.zero_grad()
        actor_loss.backward()
        nn.utils.clip_grad_norm_(sac.actor.parameters(), cfg.algorithm.max_grad_norm)
        actor_optimizer.step()
        log("actor_loss", actor_loss)

        # Entropy coefficient
        if entropy_coef_optimizer is not None:
            gap = rb_workspace["action_logprobs"][0].detach() + target_entropy
            entropy_coef_loss = -(log_entropy_coef * gap).mean()
            entropy_coef_optimizer.zero_grad()
            entropy_coef_loss.backward()
            entropy_coef_optimizer.step()
            log("entropy_coef_loss", entropy_coef_loss)
        log("entropy_coef", ent_coef)

        # The targets follow slowly.
        tau = cfg.algorithm.tau_target
        soft_update_params(sac.critic_1, sac.target_critic_1, tau)
        soft_update_params(sac.critic_2, sac.target_critic_2, tau)

        if sac.evaluate():
            print(f"{cfg.gym_env.env_name}: {sac.best_reward:.1f} after {sac.nb_steps} steps")

    # With `collect_stats`, the rewards of every evaluation are kept.
    record[f"{cfg.gym_env.env_name}/eval_reward"] = [rewards.mean().item() for rewards in sac.eval_rewards]


# %% [markdown]
# ## Balancing a pole with continuous forces

# %%
params = {
    "collect_stats": True,
    "base_dir": "${gym_env.env_name}/sac-S${algorithm.seed}_${current_time:}",
    "logger": {
        "classname": "bbrl.utils.logger.TFLogger",
        "cache_size": 10000,
        "every_n_seconds": 10,
        "verbose": False,
    },
    "gym_env": {"env_name": "CartPoleContinuous-v1"},
    "algorithm": {
        "seed": 1,
        "n_envs": 8,
        "n_steps": 32,
        "buffer_size": 1e6,
        "batch_size": 256,
        "max_grad_norm": 0.5,
        "nb_evals": 16,
        "eval_interval": 2_000,
        "learning_starts": 10_000,
        "max_epochs": 2_000,
        "discount_factor": 0.98,
        "entropy_mode": "auto",
        "target_entropy": "auto",
        "init_entropy_coef": 2e-7,
        "tau_target": 0.05,
        "architecture": {
            "actor_hidden_size": [64, 64],
            "critic_hidden_size": [256, 256],
        },
    },
    "actor_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
    "critic_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
    "entropy_coef_optimizer": {"classname": "torch.optim.Adam", "lr": 3e-4},
}

cfg = OmegaConf.merge(OmegaConf.create(params), OmegaConf.from_dotlist(overrides))
record = defaultdict(list)

# In a notebook it would ask whether to start TensorBoard, and wait for an answer.
if not is_notebook():
    setup_tensorboard("./outputs/tblogs")

# %%
agent = SACAlgo(cfg)
run_sac(agent, record)
agent.save_stats()

# %%
agent.visualize_best()

# %% [markdown]
# ## Swinging a pendulum up
#
# The same agents, another environment: only what changes is written. The torques lie in $[-2, 2]$, so a wrapper
# stretches the actions. The budget is far too small to learn to swing up.

# %%
pendulum_params = {
    "gym_env": {"env_name": "Pendulum-v1"},
    "algorithm": {
        "n_envs": 4,
        "n_steps": 16,
        "batch_size": 64,
        "nb_evals": 2,
        "eval_interval": 1_000,
        "learning_starts": 256,
        "max_epochs": 40,
        "init_entropy_coef": 0.1,
    },
    "critic_optimizer": {"lr": 1e-3},
}

# Not merged into `cfg`: the algorithm has written its `log_dir` there, and the curves would be mixed up.
pendulum_cfg = OmegaConf.merge(params, OmegaConf.from_dotlist(overrides), pendulum_params)
pendulum = SACAlgo(pendulum_cfg, env_wrappers=[partial(RescaleAction, min_action=-1.0, max_action=1.0)])
run_sac(pendulum, record)

# %%
(output / "losses.json").write_text(json.dumps(record))
