"""`bbrl_utils.logger`."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from workspace_rl.compat.bbrl import instantiate_class


class Logger:
    """Logs losses and returns with the logger that a configuration names."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        """Build the logger."""
        self.logger = instantiate_class(cfg)

    def add_log(self, log_string: str, loss: Any, steps: int) -> None:
        """Record a scalar; a tensor is not read before the logger writes it, and must hold one number."""
        if isinstance(loss, Tensor) and loss.numel() != 1:
            loss.item()  # says that
        self.logger.add_scalar(log_string, loss, steps)

    def log_losses(self, critic_loss: Any, entropy_loss: Any, actor_loss: Any, steps: int) -> None:
        """Record the losses of SAC."""
        self.add_log("critic_loss", critic_loss, steps)
        self.add_log("entropy_loss", entropy_loss, steps)
        self.add_log("actor_loss", actor_loss, steps)

    def log_reward_losses(self, rewards: Tensor, nb_steps: int) -> None:
        """Record an evaluation's returns."""
        for name in ("mean", "max", "min", "median"):
            self.add_log(f"reward/{name}", getattr(rewards, name)(), nb_steps)
