"""The guide for those who come from BBRL: its code runs, its table is complete, its links lead somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workspace_rl.algos import ALGORITHMS
from workspace_rl.schema import describe_schema

GUIDE = Path(__file__).parents[2] / "docs" / "from-bbrl.md"
TEXT = GUIDE.read_text()
LINES = TEXT.splitlines()

#: The ways a block is run, which stand after the language where it begins: "```python here".
KINDS = {
    "install": "the library",
    "bbrl": "the real BBRL, and the drop-in",
    "here": "the library",
    "both": "the library and the real BBRL",
}
#: How many of BBRL's faults have which letter.
FAULTS = {"W": 11, "A": 11, "D": 1, "G": 13, "B": 5, "R": 4, "F": 6, "L": 9, "V": 11}


def blocks():
    """Yield the words after ```python, the number of the line before the code, and the code's lines."""
    begin = None
    for number, line in enumerate(LINES, start=1):
        if begin is None and line.startswith("```"):
            begin = number
        elif line == "```":
            language, *words = LINES[begin - 1].removeprefix("```").split() or [""]
            if language == "python":
                yield words, begin, LINES[begin : number - 1]
            begin = None


def program(kind, *, real=False):
    """Return all blocks of a kind as one program, each line where it stands in the guide."""
    lines = [""] * len(LINES)
    for words, begin, code in blocks():
        needs = [word.removeprefix("needs=") for word in words[1:]]
        if words[0] == kind and not (real and any(importlib.util.find_spec(one) is None for one in needs)):
            lines[begin : begin + len(code)] = code
    assert any(lines), kind
    return "\n".join(lines)


def run(text, folder, *options):
    """Run a program in a folder of its own and return what it printed."""
    folder.mkdir()
    script = folder / GUIDE.with_suffix(".py").name
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


def files(folder, pattern):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob(pattern))


def test_every_block_is_run():
    assert [words for words, _, _ in blocks() if not words or words[0] not in KINDS] == []
    assert {words[0] for words, _, _ in blocks()} == KINDS.keys()


def test_bbrls_blocks_print_the_same_with_bbrl_and_with_the_drop_in(tmp_path):
    theirs = run(program("bbrl", real=True), tmp_path / "real")
    mine = run(program("bbrl"), tmp_path / "ours", "-m", "workspace_rl.compat.bbrl")
    assert len(theirs.splitlines()) >= 4
    assert mine.startswith(theirs)  # what needs a package comes last
    for pattern in ("rl-video-*.mp4", "policy_*.png"):
        assert files(tmp_path / "ours", pattern) == files(tmp_path / "real", pattern) != []


@pytest.mark.parametrize("kind", ["install", "here", "both"])
def test_blocks_run(kind, tmp_path):
    printed = run(program(kind), tmp_path / kind)
    if kind == "here":
        assert "final score" in printed
        assert files(tmp_path, "*.mp4") and len(files(tmp_path, "*.png")) == 3


def rows(header):
    """Return the rows of the table with this header, each a list of cells."""
    start = LINES.index(header) + 2
    stop = next(number for number in range(start, len(LINES)) if not LINES[number].startswith("|"))
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in LINES[start:stop]]


def test_the_table_has_every_fault():
    table = rows("| id | BBRL | under the drop-in | in the library's own API |")
    assert {len(cells) for cells in table} == {4}
    found = [name for cells in table for name in re.findall(r"\b[A-Z]\d+\b", cells[0])]
    assert sorted(found) == sorted(f"{letter}{n + 1}" for letter, count in FAULTS.items() for n in range(count))


def test_every_key_of_a_configuration_exists():
    known = {
        key
        for algorithm in ALGORITHMS.values()
        for key in re.findall(r"^ *(\w+):", describe_schema(algorithm.config_class), re.M)
    }
    section = TEXT.partition("### The configuration\n")[2].partition("BBRL has no list of keys")[0]
    named = re.findall(r"`([a-z_.]+)`", section)
    named += [key for cells in rows("| in BBRL's programs | here | |") for key in re.findall(r"`(\w+)", cells[1])]
    assert len(named) > 40
    assert [key for key in named if not set(key.split(".")) <= known] == []


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in LINES if line.startswith("#")
    }
    assert links
    for link in links:
        if link.startswith("#"):
            assert link.removeprefix("#") in headings, link
        elif not link.startswith("https://"):
            assert (GUIDE.parent / link).exists(), link
