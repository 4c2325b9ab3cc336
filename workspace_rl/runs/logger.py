"""Measurements over a run: `metrics.csv` and TensorBoard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workspace_rl.basics.arguments import checked
from workspace_rl.basics.plain_data import told
from workspace_rl.errors import MetricError
from workspace_rl.machine.files import absolute, told_errors
from workspace_rl.messages.printing import say
from workspace_rl.runs.metrics_file import HEADER, line, written_name

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Logger:
    """Collects scalars and writes them to `metrics.csv` (`step,name,value`) and to TensorBoard.

    Scalars may be tensors: they stay on their device, unread, until `flush`. What is recorded with `average` several
    times between two flushes is written once, as the mean. `metrics.csv` holds no times, so that equal runs give
    equal files. Any text is a name: one with commas, quotes or line breaks stands in quotes there, escaped as in JSON.
    """

    @checked()
    def __init__(
        self,
        csv_path: str | Path,
        tensorboard_folder: str | Path | None,
        *,
        verbose: bool = False,
        resumed_at: int | None = None,
        flush_seconds: float | None = None,
        flush_size: int | None = None,
        means: Callable[[Mapping[str, list[Tensor]]], Mapping[str, float | Tensor]] | None = None,
    ) -> None:
        """Append to a file.

        Args:
            csv_path: the file; its folder is created if need be.
            tensorboard_folder: where TensorBoard's events are written; None for nowhere.
            verbose: print what is written.
            resumed_at: hide what TensorBoard has been told of later steps than this one.
            flush_seconds: `add_scalar` writes everything as soon as so many seconds have passed since the last time.
            flush_size: `add_scalar` writes everything as soon as more than so many scalars are waiting.
            means: returns what is written of values that were recorded to be averaged; their means unless given.

        Raises:
            ConfigError: an argument is of a wrong kind.
            RunFolderError: the file cannot be written.
        """
        self._path = absolute(csv_path)
        self._flush_seconds, self._flush_size = flush_seconds, flush_size
        self._means = means or means_of
        self._flushed_at, self._last_step = time.monotonic(), 0
        self._folder = None if tensorboard_folder is None else absolute(tensorboard_folder)
        self._verbose = verbose
        self._purge_step = None if resumed_at is None else resumed_at + 1
        self._pending: list[tuple[int, str, float | Tensor, bool]] = []
        self._averages: dict[str, list[Tensor]] = {}
        self._held: list[tuple[int, str, float, bool]] | None = None
        self._writer: SummaryWriter | None = None
        with told_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not self._path.exists():
                self._path.write_text(HEADER, encoding="utf-8", newline="\n")

    def add_scalar(self, name: str, value: float | Tensor, step: int, *, csv: bool = True) -> None:
        """Record a scalar at `step`; with `csv=False` for TensorBoard only (times, speeds).

        Raises:
            MetricError: the name is no text, or the value no number.
        """
        _check_name(name)
        self._pending.append((int(step), name, _scalar(name, value), csv))
        self._last_step = step
        late = self._flush_seconds is not None and time.monotonic() - self._flushed_at > self._flush_seconds
        if late or (self._flush_size is not None and len(self._pending) > self._flush_size):
            self.flush()

    def average(self, metrics: Mapping[str, Tensor]) -> None:
        """Record values, of any shape, whose mean is written at the next flush.

        Raises:
            MetricError: a name is no text.
        """
        for name, value in metrics.items():
            values = self._averages.get(name)
            if values is None:
                _check_name(name)
                values = self._averages[name] = []
            values.append(value.detach().reshape(-1))

    def flush(self, step: int | None = None, *, averages: bool = True) -> None:
        """Write everything recorded so far; averages get `step`, which is that of the last scalar unless given.

        Args:
            step: of the averages.
            averages: False writes single scalars only, and goes on collecting what is averaged.
        """
        if averages:
            step = self._last_step if step is None else step
            for name, mean in self._means(self._averages).items():
                self._pending.append((step, name, mean, True))
            self._averages.clear()
        self._flushed_at = time.monotonic()
        numbers = [(at, name, float(value), csv) for at, name, value, csv in self._pending]
        self._pending.clear()
        if self._held is None:
            self._write(numbers)
        else:
            self._held += numbers

    def hold(self) -> None:
        """Write nothing from now on, until `release`: what stands next in the file is not known yet."""
        self.flush(averages=False)
        self._held = []

    def release(self, scalars: Mapping[str, float] | None = None, step: int = 0) -> None:
        """Write scalars of an earlier `step`, and behind them everything that was recorded since `hold`."""
        held, self._held = self._held or [], None
        self._write([*((step, name, value, True) for name, value in (scalars or {}).items()), *held])
        self.flush(averages=False)

    def _write(self, numbers: Sequence[tuple[int, str, float, bool]]) -> None:
        if not numbers:
            return
        lines = []
        for at, name, number, csv in numbers:
            if csv:
                lines.append(line(at, name, number))
            if self._folder is not None:
                with told_errors(self._folder):
                    self.tensorboard().add_scalar(_tag(name), number, at)
            if self._verbose and csv:
                say(f"step {at}: {name} = {number:.6g}")
        with told_errors(self._path), self._path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(lines))

    def close(self) -> None:
        """Close TensorBoard's file; what was not flushed is lost."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with told_errors(self._folder or ""):
                writer.close()

    def __getattr__(self, name: str) -> Any:
        """Return TensorBoard's own `add_figure`, `add_video`, ..., which do nothing where it is not written."""
        if not name.startswith("add_"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if self._folder is not None:
            return getattr(self.tensorboard(), name)
        from torch.utils.tensorboard import SummaryWriter

        getattr(SummaryWriter, name)  # raises the error where there is no such method
        return lambda *args, **kwargs: None

    def tensorboard(self) -> SummaryWriter:
        """Return TensorBoard's own writer, for figures and the like."""
        if self._writer is None:
            # Imported here: it takes longer than the rest of the library together.
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)
        return self._writer


def means_of(values: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each name's values, which are pieces `[n]`."""
    return {name: torch.cat(pieces).double().mean() for name, pieces in values.items()}


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise MetricError(
            f"a metric's name is a text, but {told(name)} was given. Write {str(name)!r} if that is meant."
        )


def _scalar(name: str, value: Any) -> float | Tensor:
    """Return a number as a float, or a tensor that holds one as it is."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return value.detach()
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        found = f"a tensor {tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else told(value)
        raise MetricError(
            f"metric {name!r}: one number expected, {found} found. Log its mean, for instance."
        ) from error


def _tag(name: str) -> str:
    """Return a name for TensorBoard, which takes any text that UTF-8 can hold."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return written_name(name)
    return name
