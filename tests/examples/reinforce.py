"""REINFORCE (Williams 1992): the loss is the mean of -(G_t - b) log pi(a_t | s_t), where G_t = r_t+1 + g G_t+1.

Nothing follows a termination. What a limit of time or the rollout's end cuts off counts as much as the mean return b.
"""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, distributions, nn, tensor

from workspace_rl import Agent, KWAgentWrapper, Workspace, gae, minimise, setup_optimizer
from workspace_rl.agents import build_mlp
from workspace_rl.config import RunConfig, TrainingConfig, optimizer_option, option
from workspace_rl.experience import Rollout
from workspace_rl.training import Algorithm


@dataclass
class Config(RunConfig):
    algorithm: TrainingConfig = field(default_factory=TrainingConfig)
    hidden_size: list[int] = option(lambda: [64, 64], "units of the policy's hidden layers", least=1)
    optimizer: dict[str, Any] = optimizer_option("the optimiser")


class CategoricalPolicy(Agent):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.logits = build_mlp(sizes, nn.Tanh)

    def forward(self, t: int | None = None, stochastic: bool = True, given: bool = False, **kwargs: Any) -> None:
        pi = distributions.Categorical(logits=self.logits(self.get("env/env_obs", t)), validate_args=False)
        action = self.get("action", t) if given else pi.sample() if stochastic else pi.mode
        self.set("action", t, action)
        self.set("action_logprobs", t, pi.log_prob(action))


class REINFORCE(Algorithm[Config]):
    config_class, action_kind = Config, "discrete"

    def build(self) -> None:
        sizes = [self.train_env.observation_size, *self.config.hidden_size, self.train_env.action_size]
        self.policy = CategoricalPolicy(sizes).to(self.device)
        self.eval_policy = KWAgentWrapper(self.policy, stochastic=False)
        self.optimizer = setup_optimizer(self.config.optimizer, self.policy)
        self.mean_return = tensor(0.0, device=self.device)

    def make_experience(self) -> Rollout:
        return Rollout(self.parameters.n_steps, ["env/env_obs", "action", "env/reward", "env/terminated"])

    def update(self, batch: Workspace) -> dict[str, Tensor]:
        self.policy(batch, given=True)
        reward, terminated, done = batch["env/reward", "env/terminated", "env/done"]
        b, g = self.mean_return.expand_as(reward[1:]), self.parameters.discount_factor
        advantage = gae(reward[1:], b, b, bootstrap=~terminated[1:], trace=~done[1:], discount_factor=g, gae_lambda=1)
        # Without row 0, whose action is one of older weights, and rows where an episode was over, which are resets.
        weight = ~done[1:-1] / (~done[1:-1]).sum()
        loss = -(weight * advantage[1:] * batch["action_logprobs"][1:-1]).sum()
        minimise(loss, self.optimizer, self.parameters.max_grad_norm)
        self.mean_return.add_(0.1 * (weight * advantage[1:]).sum())
        return {"loss/policy": loss.detach(), "mean_return": self.mean_return.clone()}
