"""What a run can be told, whatever its algorithm.

A configuration is an OmegaConf dictionary whose schema is a dataclass (see `config.schema`). The classes here and in
`environment_config`, `training_config` and `collectors_config` hold what algorithms share; each algorithm's file adds
its own parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from workspace_rl.config.collectors_config import CollectorsConfig
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.schema import option
from workspace_rl.config.training_config import OnPolicyConfig, TrainingConfig
from workspace_rl.errors import ConfigError


@dataclass
class LoggerConfig:
    """Where and how often measurements are written."""

    classname: str = option(
        "workspace_rl.Logger",
        "the logger's class, or BBRL's name for it",
        choices=("workspace_rl.Logger", "workspace_rl.logger.Logger", "bbrl.utils.logger.TFLogger"),
    )
    log_dir: str | None = option(None, "TensorBoard folder; the run's own 'tensorboard' unless given", path=True)
    log_interval: int = option(1000, "environment steps between two rows of a training metric, which average", least=1)
    save_tensorboard: bool = option(True, "also write TensorBoard events (metrics.csv is always written)")
    verbose: bool = option(False, "also print what is logged")
    cache_size: int = option(10000, "accepted from BBRL's configurations, without effect")
    every_n_seconds: float | None = option(None, "accepted from BBRL's configurations, without effect")
    modulo: int = option(1, "accepted from BBRL's configurations, without effect")
    use_zip: bool = option(True, "accepted from BBRL's configurations, without effect")


@dataclass
class RunConfig:
    """What every run has, whatever its algorithm."""

    algo: str = option("", "the algorithm's name")
    gym_env: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    collectors: CollectorsConfig | None = option(
        None, "collectors beside each other, each with n_envs environments; without this section one, as ever"
    )
    base_dir: str = option(
        "outputs/${gym_env.env_name}/${algo}-S${algorithm.seed}_${current_time:}",
        "the run's folder, created anew",
        path=True,
    )
    save_best: bool = option(True, "keep the policy with the best evaluation in the run's folder 'best'")
    record_best: bool = option(True, "film the best policy at the end, if the environment can draw itself")
    evaluation_worker: bool = option(
        False, "score and film policies in a process of their own, on the learner's machine, while training goes on"
    )
    collect_stats: bool = option(False, "keep the returns of every evaluation's episodes in eval_returns.csv")
    device: str = option("cpu", "where networks and replay buffer live, e.g. 'cuda'")
    compile: bool | str = option(
        "auto",
        "compile each update into one graph; 'auto' does from 20,000 planned updates on",
        choices=(True, False, "auto"),
    )
    matmul_precision: str = option(
        "auto",
        "of float32 products; 'auto' takes a faster one where it is as accurate, and keeps its choice in the run",
        choices=("auto", "highest", "high", "medium"),
    )
    precision: str = option(
        "float32",
        "of the products in updates; losses, log-probabilities, targets and optimisers stay float32 with 'bf16', too",
        choices=("float32", "bf16"),
    )
    torch_threads: int = option(1, "threads of torch; one is fastest for small networks", least=1)

    def check(self, path: str) -> None:
        """Raise a `ConfigError` if sections contradict each other."""
        parameters = getattr(self, "algorithm", None)
        if isinstance(parameters, OnPolicyConfig) and not parameters.architecture.squash:
            # Normal distributions have no bounds; learning sees what was drawn, the environment what is possible.
            self.gym_env.clip_actions = True
        normalizes = isinstance(parameters, TrainingConfig) and parameters.normalize_observations
        if normalizes and self.gym_env.allow_nonfinite_observations:
            raise ConfigError(
                "algorithm.normalize_observations: false expected with gym_env.allow_nonfinite_observations, true "
                "found: a single NaN makes the running mean NaN for good."
            )
        if self.collectors is not None and isinstance(parameters, TrainingConfig):
            self.collectors.check_run(parameters, self.gym_env)
