"""Training: the base class of algorithms, the loop that they share, and its parts."""

from workspace_rl.training.algorithm import Algorithm
from workspace_rl.training.finishing import TrainingResult
from workspace_rl.training.off_policy import OffPolicyAlgorithm

__all__ = ["Algorithm", "OffPolicyAlgorithm", "TrainingResult"]
