"""What can be done with a run: go on with it, load its policies, score and film them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl.agent import Agent
from workspace_rl.algorithm.names import AlgorithmClass, check_made_by, find_algorithm, resolve_run_config
from workspace_rl.algorithm.own_algorithms import vouched_for
from workspace_rl.basics.arguments import checked
from workspace_rl.basics.classes import allowed_list, require_leave
from workspace_rl.basics.plain_data import whole_number
from workspace_rl.config.run_config import RunConfig
from workspace_rl.config.schema import flatten
from workspace_rl.config.sources import apply_overrides, load_config
from workspace_rl.envs.wrappers import require_trusted
from workspace_rl.errors import ConfigError, PolicyFileError, RunFolderError
from workspace_rl.evaluation.evaluation import Evaluation
from workspace_rl.films.playing import Player, Playing
from workspace_rl.machine.devices import nearest_device
from workspace_rl.machine.files import absolute, inside
from workspace_rl.machine.interrupts import StopRequest
from workspace_rl.policies.loading import load_policy
from workspace_rl.runs.folder import CONFIG, POLICIES, RunFolder
from workspace_rl.runs.other_machines import FREE, MAY_CHANGE, OF_COLLECTING, OF_THE_MACHINE

_POLICY = re.compile(rf"best|latest|{POLICIES}/\d+")


class Run(RunFolder):
    """A run: its folder, whose files `RunFolder` lists, and what can be done with it."""

    #: The class that made the run, as far as it was opened rather than created.
    algorithm: AlgorithmClass | None = None
    #: What its policies may be built from, besides the library's own.
    _allow: Sequence[str | type] = ()
    #: What plays for scores and films, if that is not to be done in this process.
    player: Player | None = None

    @checked(error=RunFolderError, unless=("allow",))
    def __init__(
        self, path: str | Path, allow: Sequence[str | type] = (), *, made_by: AlgorithmClass | None = None
    ) -> None:
        """Open the run in the folder `path`.

        Args:
            path: the folder.
            allow: classes of your own that it was made by, if this program has not defined or imported them: an
                algorithm ("my_module:MyAlgorithm"), and agents that its policies are built from, as in `load_policy`.
                The agents that the algorithm's module knows, environments excepted, are allowed with it.
            made_by: the class that must have made it.

        Raises:
            RunFolderError: the folder holds no run.
            ConfigError: its configuration is not valid, its algorithm is neither the library's nor allowed, or it was
                made by another class.
        """
        allow = allowed_list(allow)
        self.path = absolute(path)
        if not (self.path / CONFIG).is_file():
            raise RunFolderError(f"{self.path} is not the folder of a run: it has no {CONFIG}.")
        config = load_config(inside(self.path, CONFIG))
        written = flatten(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
        if any(isinstance(value, str) and "${" in value for value in written.values()):
            # A run's own configuration is resolved. Few interpolations may stand for more text than fits into memory.
            raise ConfigError(f"{self.path / CONFIG} holds interpolations (${{...}}); no run has written it.")
        if made_by is not None:
            check_made_by(config.get("algo"), made_by, self.path)
        self.algorithm = made_by or find_algorithm(config.get("algo"), allow)
        self.config: RunConfig = resolve_run_config(self.algorithm, config)
        self._allow = [*allow, *vouched_for(self.algorithm)]

    def trust(self, classes: Sequence[type]) -> None:
        """Let the run's policies be built from `classes`, too."""
        self._allow = [*self._allow, *classes]

    def resumed_config(self, overrides: Sequence[str] = ()) -> DictConfig:
        """Return the configuration for going on with the run, with `overrides` of what may change.

        Where this machine lacks the device that the run was made on, it goes on with another one.

        Raises:
            ConfigError: an override would change the run's course, or is not valid.
        """
        overrides = [overrides] if isinstance(overrides, str) else overrides
        for override in overrides:
            key = str(override).partition("=")[0]
            if key not in MAY_CHANGE:
                raise ConfigError(
                    f"{key} cannot be changed when a run is resumed, only {', '.join(FREE)}, what depends on the "
                    f"machine: {', '.join(OF_THE_MACHINE)}, and, not bit for bit, {', '.join(OF_COLLECTING)}. Train "
                    "anew to change other parameters."
                )
        config = load_config(self.path / CONFIG)
        require_trusted(self.config.gym_env.wrappers, self._allow)
        parameters: Any = getattr(self.config, "algorithm", None)
        encoder = getattr(getattr(parameters, "architecture", None), "encoder", None)
        if encoder is not None and encoder.classname is not None:
            require_leave(
                encoder.classname, "algorithm.architecture.encoder.classname: the run's encoder is", self._allow
            )
        config.base_dir = str(self.path)
        # The folder may be somebody else's: it does not decide where on this machine files are written.
        OmegaConf.update(config, "logger.log_dir", None)
        config.device = nearest_device(self.config.device)
        return apply_overrides(config, overrides)

    def check_same_course(self, config: Mapping[str, Any]) -> None:
        """Compare the configuration with that of a checkpoint.

        Raises:
            ConfigError: they differ; the message names each parameter with both values.
        """
        ours, theirs = flatten(dataclasses.asdict(self.config)), flatten(config)
        differing = [
            f"{key}: {theirs[key]!r} in the checkpoint, {ours[key]!r} now"
            for key in sorted(ours.keys() & theirs.keys())  # a newer version may have more
            if key not in (*MAY_CHANGE, "base_dir") and ours[key] != theirs[key]
        ]
        if differing:
            raise ConfigError(
                f"{self.path / CONFIG} is not the configuration that the run was started with. {'; '.join(differing)}. "
                "Put it back to resume, or train anew into another base_dir."
            )

    def policy(self, which: str = "best", allow: Sequence[str | type] = ()) -> Agent:
        """Return a policy of the run; `allow` names classes of your own, as in `load_policy`.

        Args:
            which: "best", "latest", or one of a step, "policies/50000"; `policies` lists them.
            allow: classes of your own.

        Raises:
            ConfigError: `which` is no such name.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        if not _POLICY.fullmatch(str(which)):
            raise ConfigError(f"which: 'best', 'latest' or such as 'policies/50000' expected, {which!r} found.")
        folder = inside(self.path, which)
        if which == "best" and not folder.is_dir() and (self.path / "latest").is_dir():
            raise PolicyFileError(f"{self.path} has no best policy yet, only a latest one: --policy latest.")
        if not folder.is_dir():
            raise PolicyFileError(
                f"{self.path} has no policy {which!r}; it has {', '.join(self.policies()) or 'none'}."
            )
        return load_policy(folder, [*self._allow, *allowed_list(allow)])

    def evaluate(self, n_episodes: int, which: str = "best", allow: Sequence[str | type] = ()) -> Evaluation:
        """Score a policy of the run on `n_episodes` fresh episodes, on seeds that selected nothing.

        Raises:
            ConfigError: `n_episodes` is not positive.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        n_episodes = whole_number(n_episodes, "n_episodes", least=1)
        policy = self._policy_to_play(which, allow)
        with StopRequest():
            return self._player().evaluate(policy, n_episodes)

    def record(
        self,
        n_episodes: int = 1,
        which: str = "best",
        path: str | Path | None = None,
        allow: Sequence[str | type] = (),
    ) -> Path:
        """Film a policy of the run for `n_episodes` episodes and return the path of the mp4 file.

        Raises:
            ConfigError: `n_episodes` is not positive.
            RenderingError: the environment cannot draw itself.
            PolicyFileError: the run has no such policy, or it is damaged.
        """
        n_episodes = whole_number(n_episodes, "n_episodes", least=1)
        path = self.film(which) if path is None else absolute(path)
        policy = self._policy_to_play(which, allow)
        with StopRequest():
            return self._player().record(policy, n_episodes, path)

    def playing(self) -> Playing:
        """Return what plays with the run's policies in this process."""
        parameters: Any = self.config
        return Playing(self.config.gym_env, int(parameters.algorithm.seed), self.config.torch_threads)

    def _player(self) -> Player:
        return self.player or self.playing()

    def _policy_to_play(self, which: str, allow: Sequence[str | type]) -> Agent:
        policy = self.policy(which, allow)
        require_trusted(self.config.gym_env.wrappers, [*self._allow, *allowed_list(allow)])
        return policy
