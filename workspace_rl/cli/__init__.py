"""The command `workspace-rl`."""

from workspace_rl.cli.commands import main

__all__ = ["main"]
