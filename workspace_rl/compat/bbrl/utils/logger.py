"""`bbrl.utils.logger`."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl import logger as library


class TFLogger(library.Logger):
    """Writes scalars into `log_dir`: TensorBoard events and `metrics.csv`; and whatever else TensorBoard can show.

    Scalars may be tensors; they are read when they are written, every `every_n_seconds`. A second value of the same
    scalar at the same iteration is ignored.
    """

    def __init__(
        self,
        log_dir: str | Path | None = None,
        hps: Mapping[str, Any] | DictConfig | None = None,
        cache_size: int = 10000,
        every_n_seconds: float | None = None,
        modulo: int = 1,
        verbose: bool = False,
        use_zip: bool = True,
        save_tensorboard: bool = True,
    ) -> None:
        """Log into `log_dir` (a new folder in `runs` unless given); `use_zip` has no effect."""
        folder = Path(log_dir or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"))
        when: dict[str, Any] = {"flush_seconds": 10 if every_n_seconds is None else every_n_seconds}
        when |= {"flush_size": cache_size, "verbose": verbose}
        super().__init__(folder / "metrics.csv", folder if save_tensorboard else None, **when)
        self.log_dir, self.modulo = str(folder), modulo
        self._last_iteration: dict[str, int] = {}
        atexit.register(self.flush)
        if hps:
            self.save_hps(hps, verbose=False)

    def add_scalar(self, name: str, value: Any, iteration: int, *, csv: bool = True) -> None:
        """Record a number, or a tensor that holds one."""
        iteration = iteration // self.modulo * self.modulo
        if self._last_iteration.get(name) != iteration:
            self._last_iteration[name] = iteration
            super().add_scalar(name, value, iteration, csv=csv)

    def save_hps(self, hps: Mapping[str, Any] | DictConfig, verbose: bool = True) -> None:
        """Write parameters to `params.json`."""
        plain = OmegaConf.to_container(hps, resolve=True) if isinstance(hps, DictConfig) else dict(hps)
        text = json.dumps(plain, indent=1, default=str)
        (Path(self.log_dir) / "params.json").write_text(text + "\n", encoding="utf-8")
        if verbose:
            print(text)

    def get_logger(self, prefix: str) -> TFPrefixLogger:
        """Return a logger that puts `prefix` before names."""
        return TFPrefixLogger(prefix, self)

    def message(self, msg: str, from_name: str = "") -> None:
        """Print a message."""
        print("[", from_name, "]: ", msg)

    def debug(self, msg: str, from_name: str = "") -> None:
        """Print a message for debugging."""
        print("[DEBUG] [", from_name, "]: ", msg)

    def close(self) -> None:
        """Write what was recorded, and a file `done`."""
        self.flush()
        super().close()
        (Path(self.log_dir) / "done").write_text("Done\n", encoding="utf-8")
        atexit.unregister(self.flush)


class TFPrefixLogger:
    """Puts a prefix before the names of what is logged."""

    def __init__(self, prefix: str, logger: TFLogger) -> None:
        """Log into `logger`."""
        self.prefix, self.logger = prefix, logger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return the logger's `add_scalar`, `get_logger`, `message`, ... for prefixed names."""
        method = getattr(self.logger, name)
        if name in ("message", "debug"):
            return lambda msg, from_name="": method(msg, self.prefix + from_name)
        return lambda label, *args, **kwargs: method(self.prefix + label, *args, **kwargs)

    def close(self) -> None:
        """Leave the logger open."""


class WandbLogger(TFLogger):
    """Logs to Weights & Biases, which must be installed, besides."""

    def __init__(
        self,
        project: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tags: str = "",
        log_loss: bool = False,
        **kwargs: Any,
    ) -> None:
        """Start a run with `tags`, separated by "_"; `kwargs` are those of `TFLogger`, `log_loss` has no effect."""
        try:
            import wandb
        except ImportError as error:
            raise RuntimeError("WandbLogger needs wandb: pip install wandb") from error
        names = {"project": project, "group": group, "job_type": job_type, "tags": tags.split("_")}
        self._run = wandb.init(**names, sync_tensorboard=True)
        super().__init__(**kwargs)

    def save_hps(self, hps: Mapping[str, Any] | DictConfig, verbose: bool = True) -> None:
        """Record parameters."""
        super().save_hps(hps, verbose)
        self._run.config.update(dict(hps))

    def close(self, exit_code: int = 0) -> None:
        """Write what was recorded, and end the run."""
        super().close()
        self._run.finish(exit_code=exit_code)


def read_directories(directories: Iterable[str | Path], use_bz2: bool = True) -> Any:
    """Return all logs in several folders and those inside them as one `pandas.DataFrame`: see `read_frame`."""
    return library.read_frame(directories)


def read_directory(directory: str | Path, use_bz2: bool = True) -> Any:
    """Return all logs in a folder and those inside it as one `pandas.DataFrame`."""
    return read_directories([directory])


read_log = read_directory


class Logger:
    """Reads logs for analysis."""

    read_directories = staticmethod(read_directories)
