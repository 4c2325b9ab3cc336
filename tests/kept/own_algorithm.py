"""An algorithm of a user's own, whose policies hold an agent of the user's own."""

from workspace_rl import Agent, Agents
from workspace_rl.algos import TD3


class Calmer(Agent):
    """Makes actions smaller: reads and writes `action` (`[B, A]`)."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, t):
        self.set(("action", t), self.factor * self.get(("action", t)))


class CalmTD3(TD3):
    """TD3 that is scored on half of its actions."""

    def build(self):
        super().build()
        self.eval_policy = Agents(self.actor, Calmer(0.5))
