"""The mistakes of docs/composition-mistakes.md."""

import re
from pathlib import Path

DOCUMENTED = Path(__file__).parents[1] / "docs" / "composition-mistakes.md"


def expect(problems, number, kind, *words):
    """Assert that there is one problem, of this kind, with these words, in the way the documentation has it."""
    assert [one.kind for one in problems] == [kind], problems
    for word in words:
        assert word in problems[0].message, problems
    (row,) = re.findall(rf"^\| {number} \|.*$", DOCUMENTED.read_text(), re.MULTILINE)
    said = row.split("|")[4]
    for word in re.findall(r"`([^`]+)`", said):
        assert word in problems[0].message, (word, problems)
