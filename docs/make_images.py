"""Make the pictures of README.md and the guides, from runs that are kept as evidence: `python docs/make_images.py`."""

from pathlib import Path

from moviepy import VideoFileClip
from PIL import Image

import workspace_rl
from workspace_rl import Agents, GymAgent, TemporalAgent
from workspace_rl.agents import DeterministicActor
from workspace_rl.agents.memory import GRUAgent
from workspace_rl.algos import SAC
from workspace_rl.plots import learning_curves, save_figure

FOLDER = Path(__file__).parent / "images"
CONFIGURATION, RUNS = "sac/cartpole_continuous", Path(__file__).parent.parent / "benchmarks" / "scores"
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


def with_memory() -> TemporalAgent:
    """Return environments, a memory, and an actor that reads what it remembers."""
    env_agent = GymAgent("Pendulum-v1", 4)
    memory = GRUAgent(env_agent.observation_size, 64, name="memory")
    actor = DeterministicActor(64, [32], env_agent.action_size, observation_variable="memory", name="actor")
    return TemporalAgent(Agents(env_agent, memory, actor))


def main() -> None:
    """Make all pictures."""
    FOLDER.mkdir(exist_ok=True)
    runs = sorted(RUNS.glob("sac-cartpole-continuous-S*"))
    film_strip(runs[0] / "best_agent.mp4", FOLDER / "film.png")
    save_figure(learning_curves({"sac": runs}, title="SAC on CartPoleContinuous-v1"), FOLDER / "learning-curve.png")
    workspace_rl.diagram(SAC(CONFIGURATION)).save(FOLDER / "composition.svg")
    workspace_rl.diagram(with_memory()).save(FOLDER / "memory.svg")


if __name__ == "__main__":
    main()
