"""Training: what an algorithm's author writes, and the loop that all algorithms share."""

from workspace_rl.training.off_policy import OffPolicyAlgorithm, TrainingResult

__all__ = ["OffPolicyAlgorithm", "TrainingResult"]
