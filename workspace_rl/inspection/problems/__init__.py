"""What is wrong with a composition, by what a trace of it has seen.

- `checking`: `check`, and the look before training.
- `finding`: all problems, in order.
- `failures`: errors that would come up.
- `stored`: stored values that are missing, stale, or of the wrong step.
- `written`: values that are written twice, or never.
- `losses`: targets, masks, gradients, broadcasts, optimisers.
- `rollouts`: advantages along the batch, and ratios without a gradient.
- `memories`: where memory is kept, read and forgotten.
- `running`: loops, exploration, changes in place.
- `problem`: one problem, and the list that users get.
"""

from workspace_rl.inspection.problems.checking import check, check_before_training
from workspace_rl.inspection.problems.problem import Problem, Problems

__all__ = ["Problem", "Problems", "check", "check_before_training"]
