"""Agents for Pendulum, batches of what they would have done, and what tables and pictures say of them."""

import xml.etree.ElementTree as ElementTree

import torch

from workspace_rl import Agent, minimise, setup_optimizer
from workspace_rl.agents import ContinuousQAgent, SquashedGaussianActor

ADAM = {"classname": "torch.optim.Adam", "lr": 1e-3}
#: Settings of an algorithm that is built and not run.
FAST = {"compile": False, "matmul_precision": "highest"}


def actor(observation_size=3, action_size=1):
    return SquashedGaussianActor(observation_size, [8], action_size, name="actor")


def critic(observation_size=3, action_size=1, name="critic"):
    return ContinuousQAgent(observation_size, [8], action_size, name=name)


class Reads(Agent):
    """Reads one variable and writes the action."""

    def __init__(self, variable, name="policy"):
        super().__init__(name)
        self.variable = variable

    def forward(self, t, **kwargs):
        self.set(("action", t), self.get((self.variable, t))[:, :1])


def batch(n_steps=1):
    shape = (n_steps + 1, 5)
    actions = {"action": torch.zeros(*shape, 1), "action_logprobs": torch.zeros(shape)}
    flags = {f"env/{name}": torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "done")}
    return {"env/env_obs": torch.zeros(*shape, 3), "env/reward": torch.zeros(shape), **actions, **flags}


def using(loss):
    """Return an update that minimises a function of the batch and of the critic's whole variable."""
    judge = critic()
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, judge)

    def update(batch):
        judge(batch, t=0)
        return {"loss": minimise(loss(batch, batch["critic/q_values"]).mean(), optimizer)}

    return update


def rows(description, agent):
    return {(row.does, row.variable, row.at, row.shape, row.dtype) for row in description.rows if row.agent == agent}


def texts(svg):
    return [one.text for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text") if one.text]


def overlaps(svg):
    """Return pairs of texts of a picture that lie on each other."""
    boxes = []
    for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if one.text:
            x, y, size = (float(one.get(key)) for key in ("x", "y", "font-size"))
            width = 0.6 * size * len(one.text)
            x -= {"middle": width / 2, "end": width}.get(one.get("text-anchor"), 0)
            boxes.append((x, y - 0.8 * size, x + width, y, one.text))
    return [
        (a[4], b[4])
        for index, a in enumerate(boxes)
        for b in boxes[:index]
        if not (a[2] <= b[0] + 2 or b[2] <= a[0] + 2 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1)
    ]
