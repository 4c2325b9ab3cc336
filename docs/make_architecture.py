"""Draw the house, and list its rooms in architecture.md: `python docs/make_architecture.py`.

The rows and their order are the layers that `lint-imports` holds (pyproject.toml), the arrows are read from the files'
imports, and what a room is for is the first line of its docstring.
"""

import ast
import html
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PICTURE = Path(__file__).parent / "images" / "architecture.svg"
PAGE = Path(__file__).parent / "architecture.md"
BEGIN, END = "<!-- rooms: written by `python docs/make_architecture.py` -->\n", "<!-- end of rooms -->\n"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
PACKAGE = "workspace_rl"
#: What a group of rooms is, by its first one.
STOREYS = {
    "compat": "where people come in",
    "algos": "algorithms",
    "report": "whole runs",
    "experience": "parts of a run",
    "composition": "the idea",
    "drawing": "what all may need",
}
#: They are built on everything, which needs no arrow.
IN_FRONT = ("__main__", "compat")

# In pixels.
ROW, GAP, NAME, TEXT, ARCS, MARGIN, TOP = 23, 14, 122, 730, 230, 16, 36
STYLE = """
svg { --ground: #ffffff; --storey: #f6f8fa; --edge: #d0d7de; --ink: #1b1f24; --pale: #59636e; --arc: #1f6feb; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --storey: #161b22; --edge: #3d444d; --ink: #f0f6fc; --pale: #9198a1; --arc: #58a6ff; }
}
text { fill: var(--ink); font-size: 12px; }
.pale { fill: var(--pale); }
.name { font-weight: bold; }
.ground { fill: var(--ground); }
.storey { fill: var(--storey); stroke: var(--edge); }
.room { fill: var(--ground); stroke: var(--edge); }
.arc { fill: none; stroke: var(--arc); stroke-width: 1.3; opacity: 0.75; }
.head { fill: var(--arc); }
"""


def files() -> dict[str, Path]:
    """Return all files of the package, by the names of their modules."""
    found = {}
    for package, folder in PROJECT["setuptools"]["package-dir"].items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def imports() -> dict[str, set[str]]:
    """Return what each file imports of the package's other ones, wherever it does so."""
    known = files()
    return {module: set(_imported(path, known)) - {module} for module, path in known.items()}


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                yield inner if inner in known else node.module


def rooms() -> list[str]:
    """Return the rooms, and the files beside them, from top to bottom."""
    contracts = PROJECT["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one.get("id") == "layers"]
    return [name for layer in layers for name in layer.replace("|", ":").replace(" ", "").split(":")]


def arrows() -> set[tuple[str, str]]:
    """Return which room is built on which, without what follows from two others."""
    built_on: dict[str, set[str]] = {room: set() for room in rooms()}
    for module, imported in imports().items():
        room = _room(module)
        if room in built_on and room not in IN_FRONT:
            built_on[room] |= {_room(one) for one in imported} & built_on.keys() - {room, *IN_FRONT}
    below: dict[str, set[str]] = {}
    for room in reversed(rooms()):
        below[room] = built_on[room].union(*(below.get(one, set()) for one in built_on[room]))
    return {
        (room, one)
        for room, direct in built_on.items()
        for one in direct
        if not any(one in below.get(other, ()) for other in direct - {one})
    }


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def purpose(room: str) -> str:
    """Return the first line of a room's docstring."""
    docstring = ast.get_docstring(ast.parse(files()[f"{PACKAGE}.{room}"].read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].replace("`", "")


def label(room: str) -> str:
    """Return the name of a room as it stands in the listing of its folder."""
    return room if files()[f"{PACKAGE}.{room}"].name == "__init__.py" else f"{room}.py"


def page() -> str:
    """Return the page as it is, but with a table of the rooms as they are."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    lines = ["| | for | in it |", "|---|---|---|"]
    for room in rooms():
        path = files()[f"{PACKAGE}.{room}"]
        inside = []
        if path.name == "__init__.py":
            path = path.parent
            inside = [f"`{one.stem}`" for one in sorted(path.iterdir()) if _is_shown(one)]
        lines.append(f"| [{label(room)}](../{path.relative_to(ROOT)}) | {purpose(room)} | {', '.join(inside)} |")
    return "".join([before, BEGIN, "\n".join(lines), "\n", END, rest.partition(END)[2]])


def _is_shown(path: Path) -> bool:
    return (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").is_file()


def draw() -> str:
    """Return the picture as SVG."""
    shown = [room for room in rooms() if room != "__main__"]
    tops, y = {}, float(TOP)
    for room in shown:
        y += GAP if room in STOREYS and room != shown[0] else 0
        tops[room], y = y, y + ROW
    width, height = 2 * MARGIN + ARCS + NAME + TEXT, y + MARGIN
    shapes = [f'<rect class="ground" width="{width}" height="{height:g}" rx="8"/>']
    shapes += _head()
    shapes += _storeys(shown, tops, width)
    left = MARGIN + ARCS
    for room, top in tops.items():
        shapes.append(f'<rect class="room" x="{left}" y="{top + 2:g}" width="{NAME}" height="{ROW - 4}" rx="4"/>')
        shapes.append(_text(left + 8, top + 15.5, label(room), "name"))
        shapes.append(_text(left + NAME + 10, top + 15.5, purpose(room)))
    shapes += [_arc(left, tops[upper], tops[lower]) for upper, lower in sorted(arrows())]
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" '
        f'height="{height:g}" font-family="DejaVu Sans, Verdana, sans-serif">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


def _head() -> list[str]:
    note = (
        "An arrow leads to what a room is built on, unless it leads there by other arrows. The first is built on all."
    )
    return [_text(MARGIN, 21, PACKAGE, "name"), _text(MARGIN + 108, 21, note, "pale")]


def _storeys(shown: list[str], tops: dict[str, float], width: int) -> list[str]:
    starts = [room for room in shown if room in STOREYS]
    shapes = []
    for start, following in zip(starts, [*starts[1:], None], strict=True):
        last = shown[shown.index(following) - 1] if following else shown[-1]
        top, bottom = tops[start] - 4, tops[last] + ROW + 4
        shapes.append(
            f'<rect class="storey" x="{MARGIN - 6}" y="{top:g}" width="{width - 2 * MARGIN + 12}" '
            f'height="{bottom - top:g}" rx="6"/>'
        )
        shapes.append(_text(MARGIN + 2, top + 19.5, STOREYS[start], "pale"))
    return shapes


def _arc(x: int, upper: float, lower: float) -> str:
    """An arrow from the lower half of a box to the upper half of one below it, bent to the left."""
    begin, end = upper + 0.62 * ROW, lower + 0.4 * ROW
    bend = min(ARCS - 20, 14 + 0.42 * (end - begin))
    return (
        f'<path class="arc" d="M{x} {begin:g}C{x - bend:g} {begin:g} {x - bend:g} {end:g} {x - 5} {end:g}"/>'
        f'<path class="head" d="M{x} {end:g}l-7 -3v6z"/>'
    )


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text{classes} x="{x:g}" y="{y:g}">{html.escape(text)}</text>'


def main() -> None:
    """Write picture and table."""
    PICTURE.write_text(draw(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
