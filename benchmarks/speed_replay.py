"""Updates on windows that are drawn by priorities, and uniformly: who takes part in `benchmarks/speed.py replay`."""

from __future__ import annotations

from typing import Any

import speed_contenders as contenders
from speed_contenders import SIZES, Here

#: By title: the algorithm, the size of its environment, and how many transitions are stored. A million pictures are
#: more than small machines hold, and the time for drawing grows little with the number.
CASES = {
    "DQN, [128, 128], batch 128": ("dqn", "obs 4, 2 actions", 1_000_000),
    "DQN, Nature CNN 84x84x4, batch 32": ("dqn", "84x84x4, 6 actions", 200_000),
    "SAC, [256, 256], batch 256": ("sac", "obs 17, act 6", 1_000_000),
}


def update(algorithm: str, size: str, n: int, *, prioritized: bool, precision: str = "auto") -> Here:
    """One update: sample, learn at that precision of products, and, by priorities, write the new ones."""
    from workspace_rl.experience import Priorities
    from workspace_rl.learning import ROW_ERRORS

    options: dict[str, Any] = {"prioritized": {}} if prioritized else {}
    make = contenders.ours_dqn if algorithm == "dqn" else contenders.ours_sac
    one = make(size, True, matmul_precision=precision, **options)
    priorities = Priorities() if prioritized else None
    buffer = contenders.filled_buffer(one.stored_variables, SIZES[size], n, priorities=priorities)
    batch_size = one.config.algorithm.batch_size

    def run() -> None:
        errors = one.learn(buffer.sample(batch_size)).pop(ROW_ERRORS, None)
        if errors is not None:
            buffer.prioritized.learned(errors)

    return Here(run, one.config.matmul_precision)
