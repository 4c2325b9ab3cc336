"""Looking at a composition before it runs: what its agents read and write, and what is wrong with it."""

from workspace_rl.inspection.diagrams import Diagram, diagram
from workspace_rl.inspection.problems import Problem, Problems, check
from workspace_rl.inspection.tables import Description, describe

__all__ = ["Description", "Diagram", "Problem", "Problems", "check", "describe", "diagram"]
