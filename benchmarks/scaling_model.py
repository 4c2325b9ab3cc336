"""How far collectors scale, on paper: what so many of them would ask of the learner.

`python benchmarks/scaling_model.py` writes the tables of docs/scaling.md. What collectors and learner give together
is `workspace_rl.collectors.scaling.Scaling`, which a run uses, too; its numbers come from constants that were measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from workspace_rl.collectors.scaling import Scaling

_HERE = "[two cores, Ray](../benchmarks/results/scaling.md)"


@dataclass(frozen=True)
class Constant:
    """A number that was measured."""

    value: float
    unit: str
    meaning: str
    #: Where it was measured.
    origin: str


#: Through 1.14 ms for 50 kB and 1.83 ms for 487 kB, of all threads of the learner's process.
BLOCK = Constant(1.06, "ms", "the learner's processor time for a block of no size", _HERE)
BYTES = Constant(1.58, "ms/MB", "the learner's processor time for each megabyte of a block", _HERE)
#: Of a prototype.
WEIGHTS = Constant(
    1.2, "ms/MB", "the learner's thread for each megabyte of weights and each collector", "two cores, Ray"
)
UPDATES = Constant(
    2164, "updates/s", "compiled updates of SAC, batches of 256", "[an H200](../benchmarks/results/gpu.md)"
)
CONSTANTS = (BLOCK, BYTES, WEIGHTS, UPDATES)
#: The part of a learner's thread that may go into blocks: the rest starts updates.
FOR_BLOCKS = 0.5
#: Megabytes of a policy: two hidden layers of 256 units.
POLICY = 0.3
#: Windows in a batch of `UPDATES`, and steps for each update.
BATCH, STEPS_PER_UPDATE = 256, 64
COLLECTORS = (1, 10, 100, 1000)
#: The guide, and what its tables stand between.
PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
BEGIN = "<!-- scaling model: written by `python benchmarks/scaling_model.py` -->"
END = "<!-- end of scaling model -->"


@dataclass(frozen=True)
class Workload:
    """What a collector does."""

    name: str
    #: Seconds of a step of all its environments, and how many these are.
    step: float
    n_envs: int
    #: Steps of each environment in a block, and bytes of a step of one.
    n_steps: int
    frame: int

    @property
    def megabytes(self) -> float:
        """The size of a block."""
        return self.n_envs * self.n_steps * self.frame / 1e6

    @property
    def handling(self) -> float:
        """Seconds of the learner's thread for a block, and for the weights that go back."""
        return (BLOCK.value + BYTES.value * self.megabytes + WEIGHTS.value * POLICY) / 1000

    def scaling(self) -> Scaling:
        """Return what collectors and one learner on a GPU give, with an update in 64 steps."""
        steps = self.n_envs * self.n_steps
        updating = steps / STEPS_PER_UPDATE / UPDATES.value
        return Scaling(steps, collecting=self.step * self.n_steps, learning=self.handling + updating)


WORKLOADS = (
    Workload("a simulator of 40 ms, blocks of 8", 0.040, 1, 8, 150),
    Workload("one of 5 ms, blocks of 64", 0.005, 1, 64, 150),
    Workload("32 of 5 ms beside each other, blocks of 64", 0.005, 32, 64, 150),
    Workload("pictures 84 x 84 x 4, 8 of 1 ms one by one, blocks of 32", 0.008, 8, 32, 28_240),
)


def demand(workload: Workload, n: int) -> dict[str, float]:
    """Return what `n` collectors that wait for nobody ask of learners."""
    blocks = n / workload.scaling().collecting
    steps = blocks * workload.scaling().steps
    updates = steps / STEPS_PER_UPDATE
    thread = blocks * workload.handling
    return {
        "steps/s": steps,
        "blocks/s": blocks,
        "MB/s": blocks * workload.megabytes,
        "thread": thread,
        "updates/s": updates,
        "samples/s": updates * BATCH,
        "learners": max(math.ceil(thread / FOR_BLOCKS), math.ceil(updates / UPDATES.value)),
    }


def constants() -> str:
    """Return the constants as a table."""
    rows = [f"| {one.meaning} | {one.value:g} {one.unit} | {one.origin} |" for one in CONSTANTS]
    return "\n".join(["| constant | | measured on |", "|---|---|---|", *rows])


def table() -> str:
    """Return what collectors ask of learners as a table."""
    lines = [
        "| collectors | steps/s | blocks/s | MB/s | thread | updates/s | samples/s | learners |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for workload in WORKLOADS:
        lines.append(f"| **{workload.name}** | | | | | | useful: {_rounded(workload.scaling().useful)} | |")
        for n in COLLECTORS:
            found = demand(workload, n)
            cells = [f"{found['thread']:.0%}" if name == "thread" else _rounded(found[name]) for name in found]
            lines.append(f"| {n:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rounded(value: float) -> str:
    """Return a number to two places that count."""
    if value == int(value) and value < 1000:
        return f"{value:.0f}"
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{round(value, 1 - math.floor(math.log10(value))):,.{digits}f}"


def written(page: str) -> str:
    """Return the guide with the tables of now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{constants()}\n\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
