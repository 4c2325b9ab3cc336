"""A composition as a picture: which agent reads and writes which variable at which step, and who sends what to whom.

- `diagram`: the picture as users get it: text, SVG, PNG.
- `phases`: from a trace to rows and columns.
- `picture`: how these are drawn.
"""

from workspace_rl.inspection.diagrams.diagram import Diagram, diagram_of

__all__ = ["Diagram", "diagram_of"]
