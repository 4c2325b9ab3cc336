"""How good policies are: whole episodes, and intervals over seeds.

- `evaluation`: `evaluate`: whole episodes, without disturbing anything else.
- `intervals`: scores of a few seeds in one number and an interval.
"""

from workspace_rl.evaluation.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
