"""What learns: gradient steps, target networks, precision, modes, and the state of modules."""

from workspace_rl.learning.compiled.update import compile_update
from workspace_rl.learning.optimization import copy_parameters, minimise, setup_optimizer, soft_update

__all__ = ["compile_update", "copy_parameters", "minimise", "setup_optimizer", "soft_update"]
