"""`bbrl.utils.logger`."""

from __future__ import annotations

import atexit
import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from workspace_rl.errors import MetricError
from workspace_rl.runs import logger as library
from workspace_rl.runs.metrics_file import read_frame


class TFLogger(SummaryWriter):
    """Writes scalars into `log_dir`: TensorBoard events and `metrics.csv`; and is TensorBoard's writer for all else.

    Scalars may be tensors; they are read when they are written, every `every_n_seconds`. What is not a number is
    ignored, and so is a second value under the same name at the same iteration.
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
        """Log into `log_dir` (a new folder in `runs` unless given), wherever the program goes later.

        Without `save_tensorboard` TensorBoard's events go nowhere; `use_zip` has no effect.
        """
        folder = Path(log_dir or Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")).absolute()
        self.save_tensorboard, self.modulo, self.verbose = save_tensorboard, modulo, verbose
        super().__init__(str(folder))
        self._written: set[tuple[str, int]] = set()
        self._measurements = _Measurements(self, folder, 10 if every_n_seconds is None else every_n_seconds, cache_size)
        atexit.register(self._measurements.flush)
        if hps:
            self.save_hps(hps, verbose=False)

    def _get_file_writer(self) -> Any:
        return super()._get_file_writer() if self.save_tensorboard else _Nowhere()

    def _is_new(self, name: str, iteration: Any) -> int | None:
        """Return the iteration that `modulo` makes of one, None if there is a value already."""
        at: int = int(iteration / self.modulo) * self.modulo
        if (name, at) in self._written:
            return None
        self._written.add((name, at))
        return at

    def add_scalar(self, name: str, value: Any, iteration: int) -> None:  # type: ignore[override]
        """Record a number, or a tensor that holds one."""
        if (at := self._is_new(name, iteration)) is None:
            return
        if self.verbose:
            print(f"['{name}' at {at}] = {value}")
        if isinstance(value, Real | np.bool_ | np.ndarray | Tensor):
            with contextlib.suppress(MetricError):  # of several numbers
                self._measurements.add_scalar(name, value, at)  # type: ignore[arg-type]

    def add_images(self, name: str, value: Any, iteration: int, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Show pictures: see TensorBoard's writer."""
        if (at := self._is_new(name, iteration)) is not None:
            super().add_images(name, value, at, *args, **kwargs)

    def add_figure(self, name: str, value: Any, iteration: int, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Show a figure of matplotlib: see TensorBoard's writer."""
        if (at := self._is_new(name, iteration)) is not None:
            super().add_figure(name, value, at, *args, **kwargs)

    def add_video(self, name: str, value: Any, iteration: int, fps: float = 10, **kwargs: Any) -> None:  # type: ignore[override]
        """Show a film: see TensorBoard's writer."""
        if (at := self._is_new(name, iteration)) is not None:
            super().add_video(name, value, at, fps=fps, **kwargs)

    def save_hps(self, hps: Mapping[str, Any] | DictConfig, verbose: bool = True) -> None:
        """Write parameters to `params.json`, and for TensorBoard."""
        plain = OmegaConf.to_container(hps, resolve=True) if isinstance(hps, DictConfig) else dict(hps)
        if verbose:
            print(plain)
        text = json.dumps(plain, indent=1, default=str)
        (Path(self.log_dir) / "params.json").write_text(text + "\n", encoding="utf-8")
        self.add_text("Hyperparameters", str(plain))

    def get_logger(self, prefix: str) -> TFPrefixLogger:
        """Return a logger that puts `prefix` before names."""
        return TFPrefixLogger(prefix, self)

    def message(self, msg: str, from_name: str = "") -> None:
        """Print a message."""
        print("[", from_name, "]: ", msg)

    def debug(self, msg: str, from_name: str = "") -> None:
        """Print a message for debugging."""
        print("[DEBUG] [", from_name, "]: ", msg)

    def flush(self) -> None:
        """Write what was recorded."""
        self._measurements.flush()
        super().flush()

    def close(self) -> None:
        """Write what was recorded, and a file `done`."""
        self._measurements.flush()
        atexit.unregister(self._measurements.flush)
        super().close()
        (Path(self.log_dir) / "done").write_text("Done\n", encoding="utf-8")


class _Measurements(library.Logger):
    """Scalars on their way to `metrics.csv` and to TensorBoard's writer, which is the logger itself."""

    def __init__(self, logger: TFLogger, folder: Path, seconds: float, size: int) -> None:
        super().__init__(folder / "metrics.csv", folder, flush_seconds=seconds, flush_size=size)
        self._add = partial(SummaryWriter.add_scalar, logger)

    def tensorboard(self) -> Any:
        return SimpleNamespace(add_scalar=self._add)


class _Nowhere:
    """Takes what TensorBoard's writer would write."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


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
    return read_frame(directories)


def read_directory(directory: str | Path, use_bz2: bool = True) -> Any:
    """Return all logs in a folder and those inside it as one `pandas.DataFrame`."""
    return read_directories([directory])


read_log = read_directory


class Logger:
    """Reads logs for analysis."""

    read_directories = staticmethod(read_directories)
