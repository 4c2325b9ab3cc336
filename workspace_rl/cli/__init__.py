"""The command line, `workspace-rl`: `main(["train", "sac/pendulum"])`.

- `program`: the parser, and what becomes of errors: `main`.
- `commands/`: one file for each command: its arguments, and what it does.
- `arguments`: how commands are added to the parser, and the arguments that several of them take.
- `opening`: what the user names is opened: algorithms, runs, and for them what lies in the working directory.
- `catalogue`: environments that are known to work, for the command `envs`.
"""

from workspace_rl.cli.program import main

__all__ = ["main"]
