"""How good policies are: whole episodes, and intervals over seeds."""

from workspace_rl.evaluation.evaluation import Evaluation, evaluate

__all__ = ["Evaluation", "evaluate"]
