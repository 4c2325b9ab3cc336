"""Scoring the policy that is being trained, in environments of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from workspace_rl.agent import Agent
from workspace_rl.basics.seeding import EVALUATION_EPISODES, RandomState, episode_seeds
from workspace_rl.config import TrainingConfig
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.envs.gym_agent import GymAgent
from workspace_rl.errors import ConfigError
from workspace_rl.evaluation import Evaluation, evaluate
from workspace_rl.machine.threads import torch_threads


class Scoring:
    """Plays one whole episode in each of `nb_evals` environments, with the same seeds every time."""

    def __init__(
        self,
        env_config: EnvironmentConfig,
        parameters: TrainingConfig,
        device: torch.device,
        *,
        threads: int,
        close_training: Callable[[], None],
    ) -> None:
        """Score in the environments that a configuration describes, which are made when they are first needed.

        Args:
            env_config: describes them.
            parameters: how many episodes, and the seed that theirs are derived from.
            device: where policies are.
            threads: of torch.
            close_training: closes the environment of training, where only one may be open.
        """
        self._env_config, self._parameters, self._device = env_config, parameters, device
        self._threads, self._close_training = threads, close_training
        self._env: GymAgent | None = None
        #: Whether only one environment may be open.
        self.single = env_config.single_instance
        #: Whether the environment of training was closed, since only one may be open: new ones are needed.
        self.took_over = False

    def __call__(self, policy: Agent) -> Evaluation:
        """Return the scores of `policy`.

        Raises:
            ConfigError: `nb_evals` is 0.
        """
        n_evals, single = self._parameters.nb_evals, self.single
        if not n_evals:
            raise ConfigError("algorithm.nb_evals: at least 1 expected to score a policy, 0 found.")
        if single:
            self.took_over = True
            self._close_training()
        if self._env is None:
            with RandomState(self._parameters.seed, EVALUATION_EPISODES):
                n_envs = 1 if single else n_evals
                self._env = make_env_agent(self._env_config, n_envs, auto_reset=False, device=self._device)
        try:
            with torch_threads(self._threads):
                return evaluate(self._env, policy, episode_seeds(self._parameters.seed, EVALUATION_EPISODES, n=n_evals))
        finally:
            if single:
                self.close()

    def elsewhere(self) -> Callable[[], Scoring]:
        """Return what makes one that does the same in another process, where training has no environment to close."""
        parameters, threads = self._parameters, self._threads
        return functools.partial(
            Scoring, self._env_config, parameters, self._device, threads=threads, close_training=_nothing
        )

    def close(self) -> None:
        """Close the environments; new ones are made when they are needed again."""
        if self._env is not None:
            self._env.close()
            self._env = None


def _nothing() -> None:
    pass
