"""What TensorBoard is told of a whole run: its hyperparameters with its scores, and its film."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workspace_rl.files import told_errors

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
    from moviepy import VideoFileClip
    from PIL import Image

    Summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary  # it has no types

    with VideoFileClip(str(film), audio=False) as clip:
        n_frames = max(1, min(MOST_FRAMES, round(clip.duration * clip.fps)))
        times = [clip.duration * index / n_frames for index in range(n_frames)]
        pictures = [Image.fromarray(clip.get_frame(time)) for time in times]
        duration = 1000 * clip.duration / n_frames
    width, height = pictures[0].size
    size = (max(1, round(width * MOST_HEIGHT / height)), MOST_HEIGHT) if height > MOST_HEIGHT else (width, height)
    first, *others = [one.resize(size) for one in pictures]
    content = io.BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, duration=max(20, duration), loop=0)
    image = Summary.Image(height=size[1], width=size[0], colorspace=3, encoded_image_string=content.getvalue())
    writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="film of the best policy", image=image)]), step)
