"""Make the pictures of README.md and the guides from runs: `python docs/make_images.py RUN...`.

RUN... are the folders of runs of one configuration with several seeds, for instance those of
`workspace-rl train sac/cartpole_continuous algorithm.seed=1 base_dir=outputs/S1`; the film and the composition are
those of the first one.
"""

import sys
from pathlib import Path

from moviepy import VideoFileClip
from PIL import Image

from workspace_rl.plots import learning_curves, save_figure

FOLDER = Path(__file__).parent / "images"
N_FRAMES, HEIGHT = 6, 160


def film_strip(film: Path, path: Path) -> None:
    """Put frames of a film beside each other, evenly spaced in time."""
    with VideoFileClip(str(film), audio=False) as clip:
        frames = [Image.fromarray(clip.get_frame(clip.duration * k / N_FRAMES)) for k in range(N_FRAMES)]
    width = round(frames[0].width * HEIGHT / frames[0].height)
    strip = Image.new("RGB", (N_FRAMES * (width + 4) - 4, HEIGHT), "white")
    for k, frame in enumerate(frames):
        strip.paste(frame.resize((width, HEIGHT)), (k * (width + 4), 0))
    strip.quantize(64).save(path, optimize=True)


def main(runs: list[str]) -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    film_strip(Path(runs[0]) / "best" / "best_agent.mp4", FOLDER / "film.png")
    save_figure(learning_curves({"sac": runs}, title="SAC on CartPoleContinuous-v1"), FOLDER / "learning-curve.png")
    (FOLDER / "composition.svg").write_bytes((Path(runs[0]) / "composition.svg").read_bytes())


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit(__doc__))
