"""A learner that is told what it fits to what."""

import copy

import torch

from tests.inspection.pieces import ADAM
from workspace_rl import check, minimise, setup_optimizer
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor
from workspace_rl.experience.returns import n_step_transitions


class Learner:
    """Critic, target critic and actor; `target` and `prediction` say what is fitted to what."""

    def __init__(self, target, prediction=None, compare=None, use="critic"):
        self.actor = SquashedGaussianActor(3, [8], 1, name="actor")
        self.critic = ContinuousQAgent(3, [8], 1, n_critics=1, name="critic")
        self.target_critic = copy.deepcopy(self.critic).with_prefix("target-critic/").set_name("target-critic")
        self.optimizer = setup_optimizer(ADAM, self.critic)
        self.target, self.use = target, use
        self.prediction = prediction or (lambda one, workspace: one.judge(workspace, one.critic, 0))
        self.compare = compare or (lambda q, target: (q - target).square().mean())

    def judge(self, workspace, critic, t, no_grad=False):
        with torch.set_grad_enabled(not no_grad):
            critic(workspace, t=t)
        return workspace.get(f"{critic.prefix or 'critic/'}q_values", t).squeeze(-1)

    def next_value(self, workspace, critic=None, no_grad=True):
        with torch.no_grad():
            self.actor(workspace, t=1)
        return self.judge(workspace, critic or self.target_critic, 1, no_grad)

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        q_value = self.prediction(self, workspace)
        loss = self.compare(q_value, self.target(self, workspace))
        return {"loss": minimise(loss, self.optimizer)}


def batch(n_steps=1, discrete=False):
    shape = (n_steps + 1, 5)
    action = torch.zeros(shape, dtype=torch.int64) if discrete else torch.zeros(*shape, 1)
    flags = {f"env/{name}": torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "truncated", "done")}
    return {"env/env_obs": torch.zeros(*shape, 3), "action": action, "env/reward": torch.zeros(shape), **flags}


def look(target, *args, n_steps=1, **kwargs):
    return check(Learner(target, *args, **kwargs).update, inputs=batch(n_steps))
