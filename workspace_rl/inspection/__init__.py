"""Looking at a composition before it runs: what its agents read and write, and what is wrong with it.

What users call:

- `problems`: `check`, what is wrong.
- `tables`: `describe`, who reads and writes what.
- `diagrams`: `diagram`, the same as a picture.
- `wording`: what tables and pictures have in common.

What these rest on, each on those below it:

- `tracing`: runs a program to see what it does.
- `topology`: who sends what to whom, where a run has many collectors.
- `memories`: tries policies on made-up episodes: what they remember, draw, gather.
- `origins`: follows values to the losses that optimisers minimise.
- `recording`: notes who reads and writes what.
- `copies`: lets a program run without consequences.
"""

from workspace_rl.inspection.diagrams.diagram import Diagram, diagram
from workspace_rl.inspection.problems import Problem, Problems, check
from workspace_rl.inspection.tables import Description, describe

__all__ = ["Description", "Diagram", "Problem", "Problems", "check", "describe", "diagram"]
