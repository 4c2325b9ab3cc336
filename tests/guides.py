"""Pages of Markdown as programs: their blocks of code, joined in the order of the page."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: All guides.
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@dataclass(frozen=True)
class Block:
    """A block of code: "```python name needs=package", the lines that follow, the number of the line before them."""

    language: str
    words: list[str]
    begin: int
    lines: list[str]

    @property
    def name(self) -> str:
        """The name of the program that the block is a part of, the first word after the language if there is one."""
        return self.words[0] if self.words else ""

    def installed(self) -> bool:
        """Whether all packages are there that the block needs."""
        needs = [word.removeprefix("needs=") for word in self.words[1:]]
        return all(importlib.util.find_spec(one) is not None for one in needs)


class Page:
    """A page of Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()
        self.lines = self.text.splitlines()

    def blocks(self, language: str | None = None) -> Iterator[Block]:
        """Yield the blocks in a language, or all."""
        begin = None
        for number, line in enumerate(self.lines, start=1):
            if begin is None and line.startswith("```"):
                begin = number
            elif begin is not None and line == "```":
                found, *words = self.lines[begin - 1].removeprefix("```").split() or [""]
                if language in (None, found):
                    yield Block(found, words, begin, self.lines[begin : number - 1])
                begin = None

    def prose(self) -> str:
        """Return the text without its blocks of code."""
        lines = list(self.lines)
        for block in self.blocks():
            for number in range(block.begin - 1, block.begin + len(block.lines) + 1):
                lines[number] = ""
        return "\n".join(lines)

    def programs(self) -> list[str]:
        """Return the names of the page's Python programs."""
        return list(dict.fromkeys(block.name for block in self.blocks("python")))

    def program(self, name: str = "", *, only_installed: bool = False) -> str:
        """Return all Python blocks of a program, each line where it stands in the page."""
        lines = [""] * len(self.lines)
        for block in self.blocks("python"):
            if block.name == name and (block.installed() or not only_installed):
                lines[block.begin : block.begin + len(block.lines)] = block.lines
        assert any(lines), name
        return "\n".join(lines)

    def run(self, text: str, folder: Path, *options: str) -> str:
        """Run a program in a new folder and return what it printed."""
        folder.mkdir()
        script = folder / self.path.with_suffix(".py").name
        script.write_text(text)
        done = subprocess.run(
            [sys.executable, *options, script],
            cwd=folder,
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def links(self) -> list[str]:
        """Return where the links of the page lead."""
        return re.findall(r"\]\(([^)\s]+)\)", self.prose())

    def headings(self) -> set[str]:
        """Return the anchors of the page's headings, as GitHub makes them."""
        return {
            re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
            for line in self.prose().splitlines()
            if line.startswith("#")
        }

    def rows(self, header: str) -> list[list[str]]:
        """Return the rows of the tables with this header, each a list of cells."""
        found = []
        for start in (number for number, line in enumerate(self.lines) if line == header):
            for line in self.lines[start + 2 :]:
                if not line.startswith("|"):
                    break
                found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line[1:-1])])
        return found
