"""Whether one algorithm does better than another: samples, groups of runs, and learning curves compared.

- `difference`: `differ`: whether two samples differ, by one of several tests.
- `runs`: `compare_runs`: whether the runs of one configuration score better than those of another.
- `curves`: `compare_curves`: two sets of learning curves in one figure.
"""

from workspace_rl.comparison.curves import compare_curves, middle_and_band
from workspace_rl.comparison.difference import Difference, differ
from workspace_rl.comparison.runs import RunComparison, compare_runs

__all__ = ["Difference", "RunComparison", "compare_curves", "compare_runs", "differ", "middle_and_band"]
