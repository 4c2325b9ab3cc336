"""The folder of a run: what is measured, kept and recorded in it, and what can be done with it afterwards."""

from workspace_rl.runs.logger import Logger
from workspace_rl.runs.policy_function import policy_function
from workspace_rl.runs.run import Run

__all__ = ["Logger", "Run", "policy_function"]
