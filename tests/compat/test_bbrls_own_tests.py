"""BBRL's own tests pass under the drop-in; they are fetched with its source distribution, not copied."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from tests.compat.sdist import fetched_tests


@pytest.fixture(scope="module")
def tests():
    try:
        return fetched_tests()
    except OSError as error:
        pytest.skip(f"BBRL's source distribution cannot be fetched: {error}")


def outcomes(tests, folder, *, ours):
    """Run all tests and return what came of each, and of files that cannot be imported."""
    runner = ["-m", "workspace_rl.compat.bbrl", "-m", "pytest"] if ours else ["-m", "pytest"]
    report = folder / f"{ours}.xml"
    options = ["-q", "-c", "pyproject.toml", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    done = subprocess.run(
        [sys.executable, *runner, *options, f"--junitxml={report}", "tests"],
        cwd=tests.parent,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert report.is_file(), done.stderr
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {(case.get("classname"), case.get("name")): [one.tag for one in case] for case in cases}, done.stdout


def test_they_pass(tests, tmp_path):
    theirs, _ = outcomes(tests, tmp_path, ours=False)
    mine, output = outcomes(tests, tmp_path, ours=True)
    passed = [name for name, found in mine.items() if not found]
    assert len(passed) == 11, output
    assert mine == theirs  # files whose requirements are not installed are the same ones
