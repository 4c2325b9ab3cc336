"""A drawing of rectangles, lines, circles and texts, as SVG and as a matplotlib figure."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # imported where a picture is made: it is optional, and slow
    from matplotlib.figure import Figure

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with rounded corners; lengths in pixels."""

    x: float
    y: float
    width: float
    height: float
    fill: str = "none"
    stroke: str = "none"
    radius: float = 0


@dataclass(frozen=True)
class Line:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str
    width: float = 1
    dashed: bool = False


@dataclass(frozen=True)
class Circle:
    """A circle."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str


@dataclass(frozen=True)
class Text:
    """One line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float = 11
    fill: str = "#1b1f24"
    bold: bool = False
    anchor: Anchor = "start"


Shape = Rectangle | Line | Circle | Text
FONT = "DejaVu Sans, Verdana, sans-serif"


def text_width(text: str, size: float = 11, bold: bool = False) -> float:
    """Return about how wide a text is, in pixels."""
    wide = sum(letter.isupper() or letter in "mw%" for letter in text)
    return (len(text) + 0.3 * wide) * size * (0.66 if bold else 0.6)


@dataclass
class Drawing:
    """Shapes on a white ground, the first at the back."""

    width: float = 0
    height: float = 0
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top."""
        self.shapes += shapes

    def svg(self) -> str:
        """Return the drawing as SVG."""
        size = f"{self.width:g} {self.height:g}"
        body = "\n".join(_svg(one) for one in self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" width="{self.width:g}" '
            f'height="{self.height:g}" style="max-width: 100%; height: auto" font-family="{FONT}">\n'
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
        )

    def figure(self) -> Figure:
        """Return the drawing as a figure of the same size at 100 dots per inch.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from workspace_rl.drawing.figures import new_figure

        figure = new_figure(self.width / 100, self.height / 100)
        figure.set_layout_engine("none")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set(xlim=(0, self.width), ylim=(self.height, 0))
        for order, one in enumerate(self.shapes):
            _paint(axes, one, order)
        return figure


def _svg(shape: Shape) -> str:
    if isinstance(shape, Rectangle):
        return (
            f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}" '
            f'rx="{shape.radius:g}" fill="{shape.fill}" stroke="{shape.stroke}"/>'
        )
    if isinstance(shape, Line):
        dashes = ' stroke-dasharray="3 4"' if shape.dashed else ""
        return (
            f'<line x1="{shape.x1:g}" y1="{shape.y1:g}" x2="{shape.x2:g}" y2="{shape.y2:g}" '
            f'stroke="{shape.stroke}" stroke-width="{shape.width:g}"{dashes}/>'
        )
    if isinstance(shape, Circle):
        return (
            f'<circle cx="{shape.x:g}" cy="{shape.y:g}" r="{shape.radius:g}" fill="{shape.fill}" '
            f'stroke="{shape.stroke}" stroke-width="2.5"/>'
        )
    weight = ' font-weight="bold"' if shape.bold else ""
    return (
        f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size:g}" fill="{shape.fill}" '
        f'text-anchor="{shape.anchor}"{weight}>{html.escape(shape.text)}</text>'
    )


def _paint(axes: object, shape: Shape, order: int) -> None:
    from typing import Any

    from matplotlib import patches

    on: Any = axes
    if isinstance(shape, Rectangle):
        style = f"round,pad=0,rounding_size={shape.radius}" if shape.radius else "square,pad=0"
        corner = (shape.x, shape.y)
        box = patches.FancyBboxPatch(corner, shape.width, shape.height, boxstyle=style, zorder=order)
        box.set(facecolor=shape.fill, edgecolor=shape.stroke, linewidth=0.72)
        on.add_patch(box)
    elif isinstance(shape, Line):
        dashes = (0, (3, 4)) if shape.dashed else "solid"
        xs, ys = (shape.x1, shape.x2), (shape.y1, shape.y2)
        on.plot(xs, ys, color=shape.stroke, linewidth=0.72 * shape.width, linestyle=dashes, zorder=order)
    elif isinstance(shape, Circle):
        colours = {"facecolor": shape.fill, "edgecolor": shape.stroke}
        on.add_patch(patches.Circle((shape.x, shape.y), shape.radius, linewidth=1.8, zorder=order, **colours))
    else:
        side = {"start": "left", "middle": "center", "end": "right"}[shape.anchor]
        weight = "bold" if shape.bold else "normal"
        # Points are 1/72 inch, pixels here 1/100.
        settings = {"fontsize": 0.72 * shape.size, "color": shape.fill, "ha": side, "va": "baseline"}
        on.text(shape.x, shape.y, shape.text, weight=weight, zorder=order, parse_math=False, **settings)
