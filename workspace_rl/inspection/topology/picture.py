"""How a topology is drawn: parties side by side, an arrow for each flow; what goes back goes below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from workspace_rl.drawing.svg import Drawing, Line, Rectangle, Text, text_width
from workspace_rl.inspection.topology.topology import TITLE, Flow, Party, Topology

FAINT, PALE, FORTH, BACK = "#6e7781", "#d0d7de", "#1f6feb", "#1a7f37"
#: Lengths in pixels: of the margin, from line to line, above and below the parties, between what goes back.
MARGIN, LINE, ABOVE, PAD, LANE = 20, 15, 40, 14, 34
#: Most of several that are drawn behind each other.
_PILE = 3


def draw_topology(drawing: Drawing, topology: Topology, top: float) -> float:
    """Draw a topology below `top`; return where it ends, and make the drawing as wide as it needs.

    Args:
        drawing: gets the shapes.
        topology: what is drawn.
        top: in pixels.
    """
    lefts, widths, width = _columns(topology)
    drawing.width = max(drawing.width, width)
    height = max(2 * PAD + LINE * (1 + len(one.details)) for one in topology.parties) + 12
    y, places = top + ABOVE, {one.name: index for index, one in enumerate(topology.parties)}
    back = [one for one in topology.flows if places[one.receiver] < places[one.sender]]
    bottom = y + height + LANE * len(back) + 16
    drawing.add(
        Rectangle(MARGIN - 8, top, drawing.width - 2 * MARGIN + 16, bottom - top, "#f6f8fa", PALE, 8),
        Text(MARGIN + 4, top + 19, TITLE, 12.5, bold=True),
    )
    for party, left, wide in zip(topology.parties, lefts, widths, strict=True):
        _draw_party(drawing, party, left, y, wide, height)
    for flow in topology.flows:
        start, end = places[flow.sender], places[flow.receiver]
        if end == start + 1:
            begin = lefts[start] + widths[start] + 5 * (min(topology.parties[start].count, _PILE) - 1)
            _draw_forth(drawing, flow, begin, lefts[end], y + height / 2)
    for lane, flow in enumerate(back):
        x1, x2 = (lefts[places[one]] + widths[places[one]] / 2 for one in (flow.sender, flow.receiver))
        shift = 12 * lane
        _draw_back(drawing, flow, x1 - shift, x2 + shift, y + height, y + height + LANE * (lane + 1) - 6)
    return bottom


def _columns(topology: Topology) -> tuple[list[float], list[float], float]:
    """Return where each party begins, how wide it is, and how wide all of it is."""
    widths = [_party_width(one) for one in topology.parties]
    x, lefts = MARGIN + 6.0, []
    for index, width in enumerate(widths):
        lefts.append(x)
        names = {one.name for one in topology.parties[index : index + 2]}
        between = [_flow_width(one) for one in topology.flows if {one.sender, one.receiver} == names]
        x += width + (max([*between, 60.0]) + 40 if index + 1 < len(widths) else 0)
    return lefts, widths, x + MARGIN + 6


def _party_width(party: Party) -> float:
    widths = [text_width(party.name, 12.5, True), *(text_width(one, 10.5) for one in party.details)]
    return max(widths) + 2 * PAD


def _flow_width(flow: Flow) -> float:
    return max(text_width(flow.what, 11.5, True), text_width(flow.often, 10), text_width(flow.size, 10))


def _draw_party(drawing: Drawing, party: Party, left: float, top: float, width: float, height: float) -> None:
    for depth in range(min(party.count, _PILE) - 1, -1, -1):  # several are a pile
        drawing.add(Rectangle(left + 5 * depth, top - 5 * depth, width, height, "#ddf4ff", FAINT, 6))
    middle, y = left + width / 2, top + height / 2 - LINE * len(party.details) / 2 + 4
    drawing.add(Text(middle, y, party.name, 12.5, bold=True, anchor="middle"))
    for index, line in enumerate(party.details, start=1):
        drawing.add(Text(middle, y + 2 + LINE * index, line, 10.5, FAINT, anchor="middle"))


def _draw_forth(drawing: Drawing, flow: Flow, start: float, end: float, y: float) -> None:
    middle = (start + end) / 2
    _draw_arrow(drawing, [(start + 3, y), (end - 3, y)], FORTH)
    drawing.add(
        Text(middle, y - 10, flow.what, 11.5, FORTH, True, "middle"),
        Text(middle, y + 17, flow.often, 10, FAINT, anchor="middle"),
        Text(middle, y + 31, flow.size, 10, FAINT, anchor="middle"),
    )


def _draw_back(drawing: Drawing, flow: Flow, start: float, end: float, top: float, y: float) -> None:
    _draw_arrow(drawing, [(start, top + 2), (start, y), (end, y), (end, top + 3)], BACK)
    what, rest = flow.what, f"{flow.often}; {flow.size}"
    x = (start + end - text_width(what, 11.5, True) - text_width(rest, 10)) / 2
    drawing.add(
        Text(x, y + 15, what, 11.5, BACK, True),
        Text(x + text_width(what, 11.5, True) + 8, y + 15, rest, 10, FAINT),
    )


def _draw_arrow(drawing: Drawing, points: Sequence[tuple[float, float]], colour: str) -> None:
    """Draw lines along or across from point to point, with a head at the last."""
    for (x1, y1), (x2, y2) in pairwise(points):
        drawing.add(Line(x1, y1, x2, y2, colour, 2))
    (x1, y1), (x2, y2) = points[-2:]
    dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    for side in (-5, 5):
        drawing.add(Line(x2 - 7 * dx + side * dy, y2 - 7 * dy + side * dx, x2, y2, colour, 2))
