r"""Deep Q-networks.

Mnih et al. 2015, "Human-level control through deep reinforcement learning" (Nature 518); double Q-learning as in van
Hasselt et al. 2016 (arXiv:1509.06461); dueling networks as in Wang et al. 2016 (arXiv:1511.06581). With discount g,
values Q of all actions and their older copy Q', one update on transitions (s, a, r, s') takes a gradient step on

    mean loss(Q(s, a) - y),   y = r + g Q'(s', a'),   a' = argmax Q'(s', .)   (DQN)
                                                      a' = argmax Q(s', .)    (double DQN, equation 4)

where only actions count that are allowed in s', and the loss is Huber's (d^2 / 2 for |d| < 1, |d| - 1/2 beyond) or d^2.
Now and then Q' becomes a copy of Q, or it follows by Q' <- Q' + tau (Q - Q') at every update. Actions are chosen at
random with probability epsilon, which falls along a line, and by argmax Q otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from workspace_rl.agents import DiscreteQAgent, EpsilonGreedyAgent, Fronts, GreedyAgent, Normalizers, RandomAgent
from workspace_rl.composition import Agents
from workspace_rl.config import (
    EncoderConfig,
    MaskedActions,
    MemoryConfig,
    OffPolicyConfig,
    RunConfig,
    optimizer_option,
    option,
)
from workspace_rl.errors import ConfigError, PolicyFileError
from workspace_rl.learning import batch_mean, copy_parameters, minimise, plain_mean, setup_optimizer, soft_update
from workspace_rl.policies import load_policy
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
    features_from: str | None = option(None, "start with the body of this run's best policy (a folder)", path=True)
    freeze_features: bool = option(False, "keep the body as it starts, and learn the head only")
    encoder: EncoderConfig | None = option(None, "what makes features of the observation, where the body does not")
    memory: MemoryConfig = field(default_factory=MemoryConfig)


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
        """Raise where the target network is to be moved in both ways, as well."""
        super().check(path)
        if self.target_update_interval is not None and self.tau_target is not None:
            raise ConfigError(
                f"{path}target_update_interval and {path}tau_target: only one expected, {self.target_update_interval} "
                f"and {self.tau_target} found. The target network is copied now and then, or follows slowly; set the "
                "other one to null."
            )


@dataclass
class DQNConfig(RunConfig):
    """A run of DQN."""

    algo: str = option("dqn", "the algorithm's name, or module:Class of one of your own")
    algorithm: DQNParameters = field(default_factory=DQNParameters)
    optimizer: dict[str, Any] = optimizer_option("the optimiser")


# ---- losses -------------------------------------------------------------------------------------------------------

LOSSES: dict[str, Callable[..., Tensor]] = {"huber": functional.huber_loss, "squared": functional.mse_loss}


def critic_target(workspace: Workspace) -> Tensor:
    """Return the targets y (`[B]`).

    Reads `target-q/q_values` (`[B, n_actions]`), `action` (`[B]`, the one to bootstrap from), `env/reward` and
    `discount` (`[B]`), all at 1.
    """
    next_value = value_of_action(workspace.get("target-q/q_values", 1), workspace.get("action", 1))
    return (workspace.get("env/reward", 1) + workspace.get("discount", 1) * next_value).detach()


def critic_loss(workspace: Workspace, loss: str = "huber") -> Tensor:
    """Return the network's "huber" or "squared" error, averaged over the batch.

    Reads `q/q_values` (`[B, n_actions]`) and `action` (`[B]`) at 0, and what `critic_target` reads at 1.
    """
    q_value = value_of_action(workspace.get("q/q_values", 0), workspace.get("action", 0))
    return batch_mean(LOSSES[loss](q_value, critic_target(workspace), reduction="none"), workspace)


def td_errors(workspace: Workspace) -> Tensor:
    """Return the temporal-difference errors Q(s, a) - y (`[B]`); reads what `critic_loss` reads."""
    return value_of_action(workspace.get("q/q_values", 0), workspace.get("action", 0)) - critic_target(workspace)


def value_of_action(q_values: Tensor, action: Tensor) -> Tensor:
    """Return the values (`[B]`) that `q_values` (`[B, n_actions]`) give to `action` (`[B]`, int64)."""
    return q_values.gather(-1, action.unsqueeze(-1)).squeeze(-1)


# ---- transfer -----------------------------------------------------------------------------------------------------


def require_features(sizes: DQNArchitecture, behind: Sequence[str] = ()) -> None:
    """Look whether the features of another run are to be had, and are of any use `behind` agents of these names.

    Raises:
        ConfigError: they are not.
    """
    if sizes.freeze_features and sizes.features_from is None:
        raise ConfigError(
            "algorithm.architecture.freeze_features: nothing to freeze. Give the run whose features are to stay: "
            "algorithm.architecture.features_from=FOLDER."
        )
    if sizes.features_from is not None and behind:
        raise ConfigError(
            "algorithm.architecture.features_from: null expected, since the network reads what "
            f"{' and '.join(behind)} write, which this run begins anew; {sizes.features_from!r} found. A body can be "
            "taken over where it reads observations itself: without architecture.encoder and architecture.memory."
        )


def load_features(q_agent: DiscreteQAgent, folder: str | Path) -> None:
    """Give `q_agent` the body of the policy saved in `folder`, or of the run's best one.

    Raises:
        PolicyFileError: the folder holds no policy, or one without a body of the same shapes.
    """
    source = next((one for one in load_policy(folder).modules() if isinstance(one, DiscreteQAgent)), None)
    if source is None:
        raise PolicyFileError(f"the policy in {folder} has no DiscreteQAgent whose features could be taken.")
    given = {name: tuple(value.shape) for name, value in source.body.state_dict().items()}
    expected = {name: tuple(value.shape) for name, value in q_agent.body.state_dict().items()}
    if given != expected:
        raise PolicyFileError(
            f"the features in {folder} do not fit: {expected} expected, {given} found. "
            "Use the network and hidden_size that they were trained with."
        )
    q_agent.body.load_state_dict(source.body.state_dict())


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
        self.q_agent = DiscreteQAgent(
            front.shape,
            sizes.hidden_size,
            self.train_env.action_size,
            network=sizes.network,
            dueling=sizes.dueling,
            head_hidden_sizes=sizes.head_hidden_size,
            name="q",
            **front.reads,
        ).to(self.device)
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
        greedy_policy = Agents(self.q_agent, GreedyAgent(mask_variable=mask))
        self.eval_policy = self.normalizers.before(self.fronts.evaluated(greedy_policy))

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
        parameters = self.config.algorithm
        workspace = self.transitions(batch, reward_clip=parameters.reward_clip)
        with torch.no_grad():
            self.target_policy(workspace, t=1)
        self.q_agent(workspace, t=0)
        loss = critic_loss(workspace, parameters.loss)
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
        errors = self.row_errors(td_errors(workspace), workspace)
        return {name: value.detach() for name, value in metrics.items()} | errors
