r"""Deep Q-networks.

Mnih et al. 2015, "Human-level control through deep reinforcement learning" (Nature 518); double Q-learning as in van
Hasselt et al. 2016 (arXiv:1509.06461); dueling networks as in Wang et al. 2016 (arXiv:1511.06581). With discount g,
values Q of all actions and their older copy Q', one update on transitions (s, a, r, s') takes a gradient step on

    mean loss(Q(s, a) - y),   y = r + g Q'(s', a'),   a' = argmax Q'(s', .)   (DQN)
                                                      a' = argmax Q(s', .)    (double DQN, equation 4)

where only actions count that are allowed in s', and the loss is Huber's (d^2 / 2 for |d| < 1, |d| - 1/2 beyond) or d^2.
Instead, the distribution of returns Z(s, a) may be learned, whose means are Q(s, a) (Bellemare et al. 2017,
arXiv:1707.06887; Dabney et al. 2018, arXiv:1710.10044): by the probabilities p of fixed values z, or by equally likely
values Z_1 .. Z_M (quantiles),

    mean -sum_i m_i log p_i(s, a),   m the projection of r + g z, with p'(s', a'), onto z
    mean sum_m mean_j rho_m (r + g Z'_j(s', a') - Z_m(s, a))

where rho_m is the quantile Huber loss of the m-th value (see `quantile_huber_loss`), and linear layers may be noisy
(Fortunato et al. 2018, arXiv:1706.10295). All of it together is Rainbow (Hessel et al. 2018, arXiv:1710.02298).

Now and then Q' becomes a copy of Q, or it follows by Q' <- Q' + tau (Q - Q') at every update. Actions are chosen at
random with probability epsilon, which falls along a line, and by argmax Q otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workspace_rl.agents import (
    DiscreteQAgent,
    EpsilonGreedyAgent,
    Front,
    Fronts,
    GreedyAgent,
    Normalizers,
    RandomAgent,
)
from workspace_rl.agents.transfer import load_features, require_features
from workspace_rl.composition import Agents, KWAgentWrapper
from workspace_rl.config import (
    EncoderConfig,
    MaskedActions,
    MemoryConfig,
    OffPolicyConfig,
    RunConfig,
    optimizer_option,
    option,
)
from workspace_rl.errors import ConfigError
from workspace_rl.learning import (
    batch_mean,
    categorical_loss,
    copy_parameters,
    minimise,
    plain_mean,
    quantile_huber_loss,
    setup_optimizer,
    soft_update,
)
from workspace_rl.training import OffPolicyAlgorithm
from workspace_rl.workspace import Workspace

# ---- parameters ---------------------------------------------------------------------------------------------------

#: Updates between two hard copies where the configuration names neither these nor a soft copy.
TARGET_UPDATE_INTERVAL = 250


@dataclass
class DQNArchitecture:
    """The network."""

    network: str = option("mlp", "the body: for vectors, or for images", choices=("mlp", "nature_cnn", "impala_cnn"))
    hidden_size: list[int] | None = option(
        None,
        "units of the body's linear layers; [256, 256] (mlp), [512] (nature_cnn), [256] (impala_cnn) unless given",
        least=1,
    )
    dueling: bool = option(False, "separate streams for value and advantage")
    head_hidden_size: list[int] = option(lambda: [], "units of the head's hidden layers, in each stream", least=1)
    distribution: str = option(
        "none",
        "what is learned of returns besides their mean: the probabilities of fixed values, or equally likely values",
        choices=("none", "categorical", "quantile"),
    )
    n_atoms: int = option(51, "of a categorical distribution: how many values", least=2)
    v_min: float = option(-10.0, "of a categorical distribution: the least value")
    v_max: float = option(10.0, "of a categorical distribution: the greatest value")
    n_quantiles: int = option(200, "of a distribution by quantiles: how many values", least=1)
    noisy: bool = option(False, "linear layers with noise that is learned, which explore")
    features_from: str | None = option(None, "start with the body of this run's best policy (a folder)", path=True)
    freeze_features: bool = option(False, "keep the body as it starts, and learn the head only")
    encoder: EncoderConfig | None = option(None, "what makes features of the observation, where the body does not")
    memory: MemoryConfig = field(default_factory=MemoryConfig)

    def check(self, path: str) -> None:
        """Raise where the values of a distribution make no interval."""
        if self.v_max <= self.v_min:
            raise ConfigError(
                f"{path}v_max: more than {path}v_min = {self.v_min} expected, {self.v_max} found. Returns beyond them "
                "count as the nearer one: the two are to hold all discounted sums of rewards."
            )


@dataclass
class DQNParameters(MaskedActions, OffPolicyConfig):
    """The algorithm's parameters."""

    double: bool = option(False, "the learning network chooses the next action, the target network judges it")
    loss: str = option("huber", "of the temporal-difference error", choices=("huber", "squared"))
    reward_clip: float | None = option(None, "rewards that are learned from are clipped to [-c, c]", above=0)
    target_update_interval: int | None = option(
        None, f"updates between two copies to the target network; {TARGET_UPDATE_INTERVAL} unless tau_target", least=1
    )
    tau_target: float | None = option(
        None, "how far the target network moves at each update, instead of copies", above=0, most=1
    )
    epsilon_start: float = option(1.0, "the probability of a random action at the first step", least=0, most=1)
    epsilon_end: float = option(0.05, "the probability of a random action from epsilon_steps on", least=0, most=1)
    epsilon_steps: int = option(10_000, "steps from epsilon_start to epsilon_end", least=0)
    architecture: DQNArchitecture = field(default_factory=DQNArchitecture)

    def check(self, path: str) -> None:
        """Raise where the target network is to be moved in both ways, or a loss is not the distribution's, as well."""
        super().check(path)
        kind = self.architecture.distribution
        if kind != "none" and self.loss != "huber":
            raise ConfigError(
                f"{path}loss: 'huber' expected with {path}architecture.distribution = {kind!r}, which has a loss of "
                f"its own, {self.loss!r} found. Leave it out, or set the distribution to 'none'."
            )
        if self.target_update_interval is not None and self.tau_target is not None:
            raise ConfigError(
                f"{path}target_update_interval and {path}tau_target: only one expected, {self.target_update_interval} "
                f"and {self.tau_target} found. The target network is copied now and then, or follows slowly; set the "
                "other one to null."
            )

    @property
    def row_loss(self) -> str:
        """The loss of each transition: that of values, or of what else is learned of returns (see `row_losses`)."""
        kind = self.architecture.distribution
        return self.loss if kind == "none" else kind


@dataclass
class DQNConfig(RunConfig):
    """A run of DQN."""

    algo: str = option("dqn", "the algorithm's name, or module:Class of one of your own")
    algorithm: DQNParameters = field(default_factory=DQNParameters)
    optimizer: dict[str, Any] = optimizer_option("the optimiser")


# ---- losses -------------------------------------------------------------------------------------------------------

LOSSES: dict[str, Callable[..., Tensor]] = {"huber": functional.huber_loss, "squared": functional.mse_loss}


def critic_target(workspace: Workspace, variable: str = "q_values") -> Tensor:
    """Return the targets y: `[B]` of "q_values", `[B, M]` of "quantiles".

    Reads `target-q/<variable>` (`[B, n_actions]` or `[B, n_actions, M]`), `action` (`[B]`, the one to bootstrap from),
    `env/reward` and `discount` (`[B]`), all at 1.
    """
    next_value = value_of_action(workspace.get(f"target-q/{variable}", 1), workspace.get("action", 1))
    reward, discount = workspace.get("env/reward", 1), workspace.get("discount", 1)
    if next_value.ndim > 1:
        reward, discount = reward.unsqueeze(-1), discount.unsqueeze(-1)
    return (reward + discount * next_value).detach()


def row_losses(workspace: Workspace, loss: str = "huber", v_min: float = -10.0, v_max: float = 10.0) -> Tensor:
    """Return the loss of each transition (`[B]`).

    "huber" and "squared" read `q/q_values` (`[B, n_actions]`), "quantile" `q/quantiles` and "categorical", with atoms
    from `v_min` to `v_max`, `q/logits` (`[B, n_actions, M]`) at 0, and `target-q/...` of the same name at 1; besides,
    `action` (`[B]`) at 0, and what `critic_target` reads at 1. Those of quantiles are summed over them.
    """
    taken, next_action = workspace.get("action", 0), workspace.get("action", 1)
    if loss == "categorical":
        logits = value_of_action(workspace.get("q/logits", 0), taken)
        next_logits = value_of_action(workspace.get("target-q/logits", 1), next_action)
        reward, discount = workspace.get("env/reward", 1), workspace.get("discount", 1)
        return categorical_loss(logits, next_logits, reward, discount, v_min, v_max)
    if loss == "quantile":
        quantiles = value_of_action(workspace.get("q/quantiles", 0), taken)
        return quantile_huber_loss(quantiles, critic_target(workspace, "quantiles")).sum(-1)
    return LOSSES[loss](
        value_of_action(workspace.get("q/q_values", 0), taken), critic_target(workspace), reduction="none"
    )


def critic_loss(workspace: Workspace, loss: str = "huber", rows: Tensor | None = None) -> Tensor:
    """Return the network's loss, averaged over the batch: of `rows`, or of what `row_losses` returns by default."""
    return batch_mean(row_losses(workspace, loss) if rows is None else rows, workspace)


def td_errors(workspace: Workspace) -> Tensor:
    """Return the temporal-difference errors Q(s, a) - y (`[B]`); reads what "huber" reads."""
    return value_of_action(workspace.get("q/q_values", 0), workspace.get("action", 0)) - critic_target(workspace)


def value_of_action(values: Tensor, action: Tensor) -> Tensor:
    """Return what `values` (`[B, n_actions]` or `[B, n_actions, M]`) give to `action` (`[B]`, int64)."""
    index = action.view(-1, 1, *[1] * (values.ndim - 2)).expand(-1, 1, *values.shape[2:])
    return values.gather(1, index).squeeze(1)


# ---- the algorithm ------------------------------------------------------------------------------------------------


class DQN(OffPolicyAlgorithm[DQNConfig]):
    """Deep Q-networks: `DQN(config).train()`."""

    config_class = DQNConfig
    gives_priorities = True
    action_kind = "discrete"

    def build(self) -> None:
        """Create the network, its target copy, and the agents that choose actions by them."""
        parameters = self.config.algorithm
        sizes = parameters.architecture

        self.normalizers = Normalizers.of(parameters, self.train_env, self.device)
        mask = parameters.action_mask
        if mask is not None:
            self.stored_variables = [*self.stored_variables, mask]
        self.fronts = Fronts.of_q(self.train_env, sizes, self.normalizers, mask_variable=mask, device=self.device)
        front = self.fronts.online["q"]
        self.q_agent = self.build_q_agent(front).to(self.device)
        require_features(sizes, behind=[agent.name for agent in front.agents])
        if sizes.features_from is not None and not self.has_checkpoint:
            load_features(self.q_agent, sizes.features_from)
        self.q_agent.body.requires_grad_(not sizes.freeze_features)
        self.target_q_agent = copy.deepcopy(self.q_agent).with_prefix("target-q/").set_name("target-q")
        self.target_q_agent.observation_variable = self.fronts.targets["q"].variable
        self.target_q_agent.requires_grad_(False)
        self.optimizer = setup_optimizer(self.config.optimizer, self.q_agent, *self.fronts.learned_with("q"))

        # What chooses the action that a target bootstraps from, and judges it.
        if parameters.double:
            greedy = GreedyAgent("q/q_values", mask_variable=mask, needs_allowed=False)
            self.target_policy = Agents(self.target_q_agent, self.q_agent, greedy)
        else:
            greedy = GreedyAgent("target-q/q_values", mask_variable=mask, needs_allowed=False)
            self.target_policy = Agents(self.target_q_agent, greedy)
        self.explorer = EpsilonGreedyAgent(
            parameters.epsilon_start, parameters.epsilon_end, parameters.epsilon_steps, mask_variable=mask
        )
        self.policy = self.normalizers.before(self.fronts.acting(Agents(self.q_agent, self.explorer)))
        self.random_policy = RandomAgent(self.train_env.action_space, mask_variable=mask)
        values = KWAgentWrapper(self.q_agent, stochastic=False) if sizes.noisy else self.q_agent
        greedy_policy = Agents(values, GreedyAgent(mask_variable=mask))
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(greedy_policy))

    def build_q_agent(self, front: Front) -> DiscreteQAgent:
        """Return the network."""
        sizes = self.config.algorithm.architecture
        return DiscreteQAgent(
            front.shape,
            sizes.hidden_size,
            self.train_env.action_size,
            network=sizes.network,
            dueling=sizes.dueling,
            head_hidden_sizes=sizes.head_hidden_size,
            name="q",
            n_atoms=sizes.n_atoms if sizes.distribution == "categorical" else None,
            v_min=sizes.v_min,
            v_max=sizes.v_max,
            n_quantiles=sizes.n_quantiles if sizes.distribution == "quantile" else None,
            noisy=sizes.noisy,
            **front.reads,
        )

    def schedules(self, step: int) -> dict[str, float]:
        """Return epsilon."""
        return {"exploration/epsilon": self.explorer.epsilon(step)}

    def update_flags(self, n: int) -> dict[str, Any]:
        """Return whether the target network becomes a copy after the n-th update."""
        parameters = self.config.algorithm
        interval = parameters.target_update_interval or TARGET_UPDATE_INTERVAL
        return {"copy_target": parameters.tau_target is None and n % interval == 0}

    def update(self, batch: Workspace, *, copy_target: bool) -> dict[str, Tensor]:
        """Take one step on the loss; the target network follows slowly, or, if `copy_target`, becomes a copy."""
        parameters, sizes = self.config.algorithm, self.config.algorithm.architecture
        workspace = self.transitions(batch, reward_clip=parameters.reward_clip)
        with torch.no_grad():
            self.target_policy(workspace, t=1)
        self.q_agent(workspace, t=0)
        losses = row_losses(workspace, parameters.row_loss, sizes.v_min, sizes.v_max)
        loss = critic_loss(workspace, rows=losses)
        norm = minimise(loss, self.optimizer, parameters.max_grad_norm)
        if copy_target:
            copy_parameters(self.target_q_agent, self.q_agent)
            self.fronts.copy_to_targets()
        elif parameters.tau_target is not None:
            soft_update(self.target_q_agent, self.q_agent, parameters.tau_target)
            self.fronts.soft_update(parameters.tau_target)
        metrics = {
            "loss/critic": loss,
            "q_value/mean": plain_mean(workspace.get("q/q_values", 0), workspace, dim=None),
            "gradient_norm/critic": norm,
        }
        if parameters.prioritized is not None:
            errors = td_errors(workspace) if sizes.distribution == "none" else losses
            metrics |= self.row_errors(errors, workspace)
        return {name: value.detach() for name, value in metrics.items()}
