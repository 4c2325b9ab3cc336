"""The guide for those who come from BBRL: BBRL's code runs under BBRL and the drop-in alike, its table is complete.

What holds for all guides is in tests/docs.
"""

import re

from tests.guides import ROOT, Page
from workspace_rl.algos import ALGORITHMS
from workspace_rl.config.schema import describe_schema

GUIDE = Page(ROOT / "docs" / "from-bbrl.md")

#: The ways a block is run, which stand after the language where it begins: "```python here".
KINDS = {
    "install": "the library",
    "bbrl": "the real BBRL, and the drop-in",
    "here": "the library",
    "both": "the library and the real BBRL",
}
#: How many of BBRL's faults have which letter.
FAULTS = {"W": 11, "A": 11, "D": 1, "G": 13, "B": 5, "R": 4, "F": 6, "L": 9, "V": 11}


def files(folder, pattern):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob(pattern))


def test_every_block_is_run():
    assert set(GUIDE.programs()) == KINDS.keys()


def test_bbrls_blocks_print_the_same_with_bbrl_and_with_the_drop_in(tmp_path):
    theirs = GUIDE.run(GUIDE.program("bbrl", only_installed=True), tmp_path / "real")
    mine = GUIDE.run(GUIDE.program("bbrl"), tmp_path / "ours", "-m", "workspace_rl.compat.bbrl")
    assert len(theirs.splitlines()) >= 4
    assert mine.startswith(theirs)  # what needs a package comes last
    for pattern in ("rl-video-*.mp4", "policy_*.png"):
        assert files(tmp_path / "ours", pattern) == files(tmp_path / "real", pattern) != []


def test_the_same_notebook_in_the_librarys_own_words_leaves_the_same_kinds_of_files(tmp_path):
    assert "final score" in GUIDE.run(GUIDE.program("here"), tmp_path / "here")
    assert files(tmp_path, "*.mp4") and len(files(tmp_path, "*.png")) == 3


def test_the_table_has_every_fault():
    table = GUIDE.rows("| id | BBRL | under the drop-in | in the library's own API |")
    assert {len(cells) for cells in table} == {4}
    found = [name for cells in table for name in re.findall(r"\b[A-Z]\d+\b", cells[0])]
    assert sorted(found) == sorted(f"{letter}{n + 1}" for letter, count in FAULTS.items() for n in range(count))


def test_every_key_of_a_configuration_exists():
    known = {
        key
        for algorithm in ALGORITHMS.values()
        for key in re.findall(r"^ *(\w+):", describe_schema(algorithm.config_class), re.M)
    }
    section = GUIDE.text.partition("### The configuration\n")[2].partition("BBRL has no list of keys")[0]
    named = re.findall(r"`([a-z_.]+)`", section)
    named += [key for cells in GUIDE.rows("| in BBRL's programs | here | |") for key in re.findall(r"`(\w+)", cells[1])]
    assert len(named) > 40
    assert [key for key in named if not set(key.split(".")) <= known] == []
