"""`bbrl_utils`: what BBRL's course builds its notebooks on."""

from workspace_rl.compat.bbrl_utils.env import setup

__version__ = "1.1.1"
__all__ = ["setup"]
