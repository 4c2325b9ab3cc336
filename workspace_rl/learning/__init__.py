"""What learns: gradient steps, target networks, precision, modes, and the state of modules.

- `learner`: what does an algorithm's updates, in the form that was chosen, and watches their numbers.
- `metrics`: what an update measures.
- `optimizers`: optimisers from configurations.
- `gradient_steps`: `minimise`, a step down the gradient of a loss.
- `target_networks`: networks that follow others.
- `distributional`: distributions of returns, and what they learn from.
- `weighted`: means over the rows of a batch that count.
- `compiled`: updates as one graph.
- `precision`: how exact matrix products are.
- `finite_watch`: updates watched for NaN and infinity.
- `statistics`: running statistics of what was collected.
- `modes`: evaluation mode, and acting that changes nothing.
- `state`: the state of modules and optimisers, by name and on its way.
"""

from workspace_rl.learning.compiled.update import compile_update
from workspace_rl.learning.distributional.categorical import atoms, categorical_loss, project
from workspace_rl.learning.distributional.quantiles import quantile_huber_loss
from workspace_rl.learning.gradient_steps import minimise
from workspace_rl.learning.metrics import ROW_ERRORS
from workspace_rl.learning.optimizers import setup_optimizer
from workspace_rl.learning.target_networks import copy_parameters, soft_update
from workspace_rl.learning.weighted import batch_mean, normalised, plain_mean, weighted_mean

__all__ = [
    "ROW_ERRORS",
    "atoms",
    "batch_mean",
    "categorical_loss",
    "compile_update",
    "copy_parameters",
    "minimise",
    "normalised",
    "plain_mean",
    "project",
    "quantile_huber_loss",
    "setup_optimizer",
    "soft_update",
    "weighted_mean",
]
