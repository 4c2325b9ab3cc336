"""`bbrl.utils.logger`."""

from __future__ import annotations

import atexit
import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from workspace_rl import logger as library
from workspace_rl.compat.aliases import not_covered


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
        self.log_dir = str(log_dir or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S"))
        self.modulo, self._saves_tensorboard = modulo, save_tensorboard
        self._cache_size, self._seconds = cache_size, 10.0 if every_n_seconds is None else every_n_seconds
        self._last_iteration: dict[str, int] = {}
        self._flushed_at = time.monotonic()
        folder = Path(self.log_dir)
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder / "metrics.csv", folder if save_tensorboard else None, verbose=verbose)
        atexit.register(self.flush)
        if hps:
            self.save_hps(hps, verbose=False)

    def add_scalar(self, name: str, value: Any, iteration: int, *, csv: bool = True) -> None:
        """Record a number, or a tensor that holds one."""
        iteration = iteration // self.modulo * self.modulo
        if self._last_iteration.get(name) == iteration:
            return
        self._last_iteration[name] = iteration
        super().add_scalar(name, value, iteration, csv=csv)
        if len(self._pending) > self._cache_size or time.monotonic() - self._flushed_at > self._seconds:
            self.flush()

    def flush(self, step: int = 0) -> None:
        """Write what was recorded."""
        super().flush(step)
        self._flushed_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        """Return TensorBoard's own `add_figure`, `add_video`, `add_histogram`, ..."""
        if not name.startswith("add_"):
            raise AttributeError(f"TFLogger has no attribute {name!r}")
        return getattr(self.tensorboard(), name) if self._saves_tensorboard else lambda *args, **kwargs: None

    def save_hps(self, hps: Mapping[str, Any] | DictConfig, verbose: bool = True) -> None:
        """Write parameters to `params.json`."""
        plain = OmegaConf.to_container(hps, resolve=True) if isinstance(hps, DictConfig) else dict(hps)
        text = json.dumps(plain, indent=1, default=str)
        (Path(self.log_dir) / "params.json").write_text(text + "\n")
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
        (Path(self.log_dir) / "done").write_text("Done\n")
        atexit.unregister(self.flush)


class TFPrefixLogger:
    """Puts a prefix before the names of what is logged."""

    def __init__(self, prefix: str, logger: TFLogger) -> None:
        """Log into `logger`."""
        self.prefix, self.logger = prefix, logger

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return the logger's `add_scalar`, `message`, ... for prefixed names."""
        method = getattr(self.logger, name)
        if name in ("message", "debug"):
            return lambda msg, from_name="": method(msg, self.prefix + from_name)
        return lambda label, *args, **kwargs: method(self.prefix + label, *args, **kwargs)

    def get_logger(self, prefix: str) -> TFPrefixLogger:
        """Return a logger with a longer prefix."""
        return TFPrefixLogger(self.prefix + prefix, self.logger)

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
        **kwargs: Any,
    ) -> None:
        """Start a run with `tags`, separated by "_"; `kwargs` are those of `TFLogger`."""
        try:
            import wandb
        except ImportError as error:
            raise RuntimeError("WandbLogger needs wandb: pip install wandb") from error
        self._run = wandb.init(
            project=project, group=group, job_type=job_type, tags=tags.split("_"), sync_tensorboard=True
        )
        kwargs.pop("log_loss", None)
        super().__init__(**kwargs)

    def save_hps(self, hps: Mapping[str, Any] | DictConfig, verbose: bool = True) -> None:
        """Record parameters."""
        super().save_hps(hps, verbose)
        self._run.config.update(dict(hps))

    def close(self, exit_code: int = 0) -> None:
        """Write what was recorded, and end the run."""
        super().close()
        self._run.finish(exit_code=exit_code)


def read_log(directory: str | Path) -> Any:
    """Return a run's log as a `pandas.DataFrame`: see `workspace_rl.logger.read_frame`."""
    return library.read_frame([directory])


def read_directory(directory: str | Path, use_bz2: bool = True) -> Any:
    """Return all logs in a folder and those inside it as one `pandas.DataFrame`."""
    return read_directories([directory])


def read_directories(directories: Iterable[str | Path], use_bz2: bool = True) -> Any:
    """Return all logs in several folders and those inside them as one `pandas.DataFrame`."""
    return library.read_frame(file.parent for one in directories for file in sorted(Path(one).rglob("metrics.csv")))


class Logger:
    """Reads logs for analysis."""

    read_directories = staticmethod(read_directories)


_FRAME = "the pandas.DataFrame that read_directories returns"
__getattr__ = not_covered(
    __name__, globals(), Log=_FRAME, Logs=_FRAME, plot_dataframe="DataFrame.plot", get_directories="Path.rglob"
)
