"""What ranks other than the first have in place of the run's folder, which the first one alone writes."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from workspace_rl.config.run_config import RunConfig
from workspace_rl.runs.checkpoints import Checkpoints
from workspace_rl.runs.run import Run


class RankRun(Run):
    """A temporary folder, and in the run's own folder checkpoints apart: `checkpoints/rank1`, and so on.

    What a rank writes besides, measurements and policies, is that of the first rank, and forgotten with the training.
    """

    def __init__(self, home: Path, config: RunConfig, rank: int) -> None:
        """Belong to the run in the folder `home`."""
        self.home, self.config, self.rank = home, config, rank
        self._temporary = tempfile.TemporaryDirectory(prefix=f"workspace_rl-rank{rank}-")
        self.path = Path(self._temporary.name)

    def lock(self) -> None:
        """Do nothing: the first rank keeps others out."""

    def unlock(self) -> None:
        """Forget the temporary folder."""
        self._temporary.cleanup()

    def add_wall_time(self, seconds: float) -> None:
        """Do nothing: the first rank's time counts."""

    @functools.cached_property
    def checkpoints(self) -> Checkpoints:
        """The rank's own checkpoints."""
        return self.checkpoints_of(self.rank)

    def checkpoints_of(self, rank: int) -> Checkpoints:
        """Return the checkpoints of a rank."""
        folder = self.home / "checkpoints"
        return Checkpoints(folder / f"rank{rank}" if rank else folder)

    def files_to_copy(self) -> dict[str, Path]:
        """Return none: the first rank's count."""
        return {}

    def kept_batch(self, update: int) -> Path:
        """Return where the batch of an update that went wrong is kept: where it is found later."""
        return self.home / f"bad_update_{update}_rank{self.rank}.safetensors"
