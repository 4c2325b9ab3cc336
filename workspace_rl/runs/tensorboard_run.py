"""What TensorBoard is told of a whole run: its hyperparameters with its scores, and its film."""

from __future__ import annotations

import contextlib
import importlib
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workspace_rl.machine.files import told_errors

#: Of a film so many frames are shown, at most so high: TensorBoard shows pictures that move, not films.
MOST_FRAMES, MOST_HEIGHT = 60, 200


def add_run(
    folder: Path, options: Mapping[str, Any], scores: Mapping[str, float], film: Path | None, step: int
) -> None:
    """Write hyperparameters, scores and film into the folder of the run's other events.

    Args:
        folder: TensorBoard's folder of the run.
        options: the configuration in one level.
        scores: by name.
        film: an mp4 file.
        step: the step that the film belongs to.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    values = {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in options.items()
        if value is not None
    }
    with told_errors(folder):
        writer: Any = SummaryWriter(str(folder))
        try:
            # Its own add_hparams would make a folder, and so a run, of its own.
            for summary in hparams(values, dict(scores)):
                writer.file_writer.add_summary(summary)
            for name, score in scores.items():
                writer.add_scalar(name, score, step)
            if film is not None:
                with contextlib.suppress(Exception):  # it lies in the run, and is no reason for a run to fail
                    _add_film(writer, film, step)
        finally:
            writer.close()


def _add_film(writer: Any, film: Path, step: int) -> None:
    import imageio_ffmpeg

    Summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary  # it has no types

    n_frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(film))
    filters = f"fps={min(n_frames, MOST_FRAMES) / seconds},scale=-2:'min({MOST_HEIGHT},ih)'"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(film), "-vf", filters, "-f", "gif", "-"]
    content = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout
    width, height = struct.unpack("<HH", content[6:10])
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=content)
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="film of the best policy", image=image)]), step)
