"""What a run can be told about learning, whatever the algorithm: the section `algorithm`."""

from __future__ import annotations

from dataclasses import dataclass, field

from workspace_rl.config.networks_config import ROW_BLOCKS, EncoderConfig, MemoryConfig, memory_of
from workspace_rl.config.schema import option
from workspace_rl.errors import ConfigError

#: What sequences are like unless configured: as long as gated memories learn well from, and a few frames before.
SEQUENCE_LENGTH, BURN_IN = 32, 8


@dataclass
class TrainingConfig:
    """What every training loop needs. A step is one transition of one environment."""

    seed: int = option(1, "of weights, exploration, sampling and episodes", least=0)
    n_envs: int = option(8, "environments stepped together", least=1)
    n_steps: int = option(32, "steps of each environment in one collection", least=1)
    total_steps: int | None = option(None, "length of the run in steps, summed over environments", least=1)
    max_epochs: int | None = option(None, "length of the run in collections, if total_steps is not given", least=1)
    discount_factor: float = option(0.99, "gamma", least=0, most=1)
    max_grad_norm: float | None = option(
        None, "gradients are clipped to this Euclidean norm", above=0, instead=" null means no limit."
    )
    anneal_learning_rate: bool = option(False, "learning rates fall along a line, to 0 at the end of the run")
    normalize_observations: bool = option(
        False, "networks read observations with mean 0 and deviation 1, by running statistics saved with the policy"
    )
    normalize_rewards: bool = option(
        False, "rewards that are learned from are divided by the deviation of the discounted return so far"
    )
    normalization_clip: float = option(10.0, "what is normalised is clipped to [-c, c]", above=0)
    nb_evals: int = option(
        16,
        "episodes in one evaluation, each in an environment of its own; 0: none, the last policy is the best",
        least=0,
    )
    eval_interval: int = option(2000, "steps between two evaluations", least=1)
    checkpoint_interval: int | None = option(
        50_000, "steps between two checkpoints, from which a stopped run goes on; null: none are written", least=1
    )
    save_policy_every: int | None = option(
        None, "steps between two policies that are kept in the run's folder 'policies'; null: none are", least=1
    )
    final_episodes: int = option(100, "fresh episodes that the best policy is scored on at the end", least=0)

    @property
    def run_length(self) -> int:
        """The length of the run in steps."""
        return self.total_steps or (self.max_epochs or 0) * self.n_envs * self.n_steps

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        if (self.total_steps is None) == (self.max_epochs is None):
            raise ConfigError(
                f"{path}total_steps, {path}max_epochs: exactly one of total_steps (steps summed over environments) and "
                "max_epochs (collections of n_envs x n_steps steps) says how long the run is; set the other to null."
            )


@dataclass
class MaskedActions:
    """What algorithms know whose actions are choices, of which an environment may allow some and not others."""

    action_mask: str | None = option(
        None,
        "the variable that says which actions are allowed: env/info/KEY (see gym_env.info_keys), or a part of the "
        "observation, env/env_obs/KEY",
    )


@dataclass
class SequenceConfig:
    """What learning from sequences needs, as memories do: how long they are."""

    sequence_length: int | None = option(
        None, f"with a memory: transitions of a sequence; {SEQUENCE_LENGTH} unless given", least=1
    )
    burn_in: int | None = option(
        None,
        f"with a memory: frames before them that it runs over, without learning; {BURN_IN}, or as far as a transformer "
        "looks back, unless given",
        least=0,
    )

    @property
    def memory(self) -> MemoryConfig:
        """What the policy remembers: nothing, where `architecture` has no section `memory`."""
        return memory_of(self)

    @property
    def remembers(self) -> bool:
        """Whether there is a memory, so that sequences are learned from."""
        return self.memory.remembers

    @property
    def learned_steps(self) -> int:
        """The transitions of a window that are learned from."""
        if not self.remembers:
            return 1
        return SEQUENCE_LENGTH if self.sequence_length is None else self.sequence_length

    @property
    def frames_before(self) -> int:
        """The frames of a window before those that are learned from."""
        if not self.remembers:
            return 0
        if self.burn_in is not None:
            return self.burn_in
        memory = self.memory
        return memory.n_layers * (memory.window - 1) if memory.kind == "transformer" else BURN_IN

    def check_sequences(self, path: str) -> None:
        """Raise a `ConfigError` if sequences are asked for, and there is no memory."""
        for name in ("sequence_length", "burn_in"):
            if getattr(self, name) is not None and not self.remembers:
                raise ConfigError(
                    f"{path}{name}: null expected without a memory, {getattr(self, name)} found: single transitions "
                    f"are learned from. {path}architecture.memory.kind=gru gives the policy one."
                )


@dataclass
class StateDependentExplorationConfig:
    """Noise that is a function of the state (gSDE; see `agents.StateDependentExplorationActor`)."""

    resample_interval: int = option(8, "steps for which the function stays the same", least=1)
    log_std_init: float = option(-3.0, "of the function's weights at the beginning, the deviation's natural logarithm")


@dataclass
class PrioritizedConfig:
    """How windows are drawn from a replay buffer by priorities."""

    exponent: float = option(
        0.6, "alpha: windows are drawn in proportion to (|error| + epsilon)^alpha", least=0, most=1
    )
    importance_exponent: float = option(
        0.4,
        "beta at the beginning, how far weights of losses make up for that; it rises to 1 at the run's end",
        least=0,
        most=1,
    )
    epsilon: float = option(1e-6, "what is added to errors, so that no window is never drawn again", above=0)
    greatest_share: float = option(
        0.9, "with a memory: the share of a sequence's greatest error in its priority, beside the mean", least=0, most=1
    )


@dataclass
class HindsightConfig:
    """Hindsight experience replay: windows told as if what was achieved later had been the goal."""

    strategy: str = option(
        "future",
        "the goal is what a later frame of the episode achieved, its last one, or any of it",
        choices=("future", "final", "episode"),
    )
    n_goals: int = option(4, "windows with another goal for each with its own", least=1)


@dataclass
class OffPolicyConfig(SequenceConfig, TrainingConfig):
    """What the loop of all off-policy algorithms needs: when and what they learn from a replay buffer."""

    buffer_size: int = option(1_000_000, "transitions the replay buffer holds", least=1)
    batch_size: int = option(256, "transitions in one update, or sequences (with a memory)", least=1)
    n_step_return: int = option(1, "rewards summed before a target bootstraps", least=1)
    learning_starts: int = option(10_000, "steps before the first update", least=0)
    random_steps: int = option(0, "steps with uniformly random actions at the beginning", least=0)
    updates_per_collect: float = option(1, "updates after each collection (0.5: one after every other)", above=0)
    prioritized: PrioritizedConfig | None = option(None, "draws what is learned from by priorities; null: uniformly")
    hindsight: HindsightConfig | None = option(
        None, "replay with other goals, of environments with a desired_goal; {} for the usual ones"
    )

    @property
    def window(self) -> int:
        """The frames of a window that is sampled: 2 for a transition over one step."""
        return self.frames_before + self.learned_steps + self.n_step_return

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        super().check(path)
        self.check_sequences(path)
        if self.hindsight is not None and self.remembers:
            raise ConfigError(
                f"{path}hindsight: null expected with a memory, a section found: what it remembers was made with the "
                f"goal that there was. Take {path}architecture.memory.kind=none, or no hindsight."
            )
        steps = self.window - 1
        if -(-self.buffer_size // self.n_envs) < steps:
            parts = "burn_in + sequence_length + n_step_return - 1" if self.remembers else "n_step_return"
            raise ConfigError(
                f"{path}buffer_size: {self.buffer_size} transitions of {self.n_envs} environments are too few for "
                f"{path}{parts} = {steps}; at least {self.n_envs * steps} expected."
            )
        if self.learning_starts >= self.run_length:
            raise ConfigError(
                f"{path}learning_starts: less than the run's {self.run_length} steps expected, {self.learning_starts} "
                "found; nothing would be learned."
            )


@dataclass
class OnPolicyArchitecture:
    """The networks of a policy that draws its actions, and of the value beside it."""

    network: str = option("mlp", "the body: for vectors, or for images", choices=("mlp", "nature_cnn", "impala_cnn"))
    hidden_size: list[int] | None = option(
        None,
        "units of each body's linear layers; [64, 64] (mlp), [512] (nature_cnn), [256] (impala_cnn) unless given",
        least=1,
    )
    activation: str = option("tanh", "between layers (of mlp)", choices=("tanh", "relu"))
    shared: bool = option(False, "one body for policy and value, and one encoder and memory")
    log_std_init: float = option(0.0, "of continuous actions at the beginning, the deviation's natural logarithm")
    state_dependent_std: bool = option(False, "the deviation is a function of the observation")
    squash: bool = option(False, "continuous actions are squashed by tanh, instead of clipped by the environment")
    encoder: EncoderConfig | None = option(None, "what makes features of the observation, where networks do not")
    memory: MemoryConfig = field(default_factory=MemoryConfig)


@dataclass
class OnPolicyConfig(MaskedActions, TrainingConfig):
    """What all on-policy algorithms need. A rollout is one collection, n_steps steps of n_envs environments."""

    n_epochs: int = option(1, "how often each rollout is learned from", least=1)
    batch_size: int | None = option(
        None, "rows in a minibatch; null: the whole rollout; with memory a multiple of n_steps", least=1
    )
    gae_lambda: float = option(1.0, "how far advantages reach beyond one step", least=0, most=1)
    entropy_coef: float = option(0.0, "the weight of the policy's entropy, which is made greater", least=0)
    recompute_advantages: bool = option(False, "values are asked again, and advantages computed, before each epoch")
    normalize_advantages: bool = option(False, "advantages of a batch are brought to mean 0 and deviation 1")
    architecture: OnPolicyArchitecture = field(default_factory=OnPolicyArchitecture)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if parameters contradict each other; `path` is put before their names."""
        super().check(path)
        # With memory, minibatches are whole environments.
        memory = memory_of(self).remembers
        rows, unit = self.n_envs * self.n_steps, self.n_steps if memory else 1
        if self.batch_size is None or (rows % self.batch_size == 0 and self.batch_size % unit == 0):
            return
        possible = [size for size in range(unit, rows + 1, unit) if rows % size == 0]
        nearest = min(possible, key=lambda size: abs(size - self.batch_size))  # type: ignore[operator]
        whole = f"multiple of n_steps = {self.n_steps} (with memory, minibatches are whole environments) that is a "
        raise ConfigError(
            f"{path}batch_size: a {whole * memory}divisor of the {self.n_envs} x {self.n_steps} = {rows} rows of a "
            f"rollout (n_envs x n_steps) expected, {self.batch_size} found; {nearest} is the nearest."
        )


@dataclass
class PlainActorCriticArchitecture:
    """The networks' hidden layers, and what stands before them."""

    actor_hidden_size: list[int] = option(lambda: [256, 256], "units of the actor's hidden layers", least=1)
    critic_hidden_size: list[int] = option(
        lambda: [256, 256], "units of each critic's hidden layers", least=1, filled=True
    )
    encoder: EncoderConfig | None = option(None, "what makes features of the observation, where networks do not")
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    front_shared_by: str = option(
        "all",
        "who reads the features of one encoder and memory: actor and critics (the critics learn it), the critics "
        "alone, or none, so that each network has its own",
        choices=("all", "critics", "none"),
    )


@dataclass
class ActorCriticArchitecture(PlainActorCriticArchitecture):
    """The same, and what hidden layers are made of."""

    actor_block: str = option("plain", "what the actor's hidden layers are made of", choices=ROW_BLOCKS)
    critic_block: str = option("plain", "what the critics' hidden layers are made of", choices=ROW_BLOCKS)
    critic_dropout: float = option(
        0.0, "how many numbers of the critics' hidden layers are left out", least=0, most=0.9
    )

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if residual blocks are to have several widths; `path` is put before the names."""
        for network in ("actor", "critic"):
            sizes = getattr(self, f"{network}_hidden_size")
            if getattr(self, f"{network}_block") == "residual" and len(set(sizes)) > 1:
                raise ConfigError(
                    f"{path}{network}_hidden_size: sizes that are all the same expected with {path}{network}_block="
                    f"residual, {sizes} found: each block adds to what it gets."
                )
