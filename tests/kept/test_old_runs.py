"""Folders of runs that were written by earlier code, see `old_runs`: they open, and go on as that code would have."""

import shutil
import subprocess
import sys

import pytest

from tests.kept.fingerprints import differences, fingerprint, rough_differences
from tests.kept.machine import changes
from tests.kept.old_runs import ALGORITHMS, ALIKE_UNTIL, FOLDERS, go_on, read_record
from workspace_rl import Run, load_policy
from workspace_rl.errors import ConfigError
from workspace_rl.report import write_report

OWN = ["tests.kept.own_algorithm:CalmTD3"]
RECORD = read_record()


@pytest.fixture(params=ALGORITHMS)
def old(request, tmp_path):
    """The name of an old run, and a copy of its folder."""
    return request.param, shutil.copytree(FOLDERS / request.param, tmp_path / "run")


def command(*arguments):
    done = subprocess.run([sys.executable, "-m", "workspace_rl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_old_run_goes_on_to_the_same_end(old):
    name, folder = old
    recorded, found = RECORD["runs"][name], go_on(name, folder)
    elsewhere = changes(RECORD["machine"])
    if elsewhere:
        assert rough_differences(recorded, found, ALIKE_UNTIL[name]) == []
        pytest.skip(f"compared within rounding, not bit for bit: {'; '.join(elsewhere)}")
    assert differences(recorded, found) == []


def test_it_does_by_the_command_line(tmp_path):
    """The algorithm is found by its name, and what is left in `best` and `latest` is written over."""
    folder = shutil.copytree(FOLDERS / "dqn_cartpole", tmp_path / "run")
    assert "trained for 1,20" in command("resume", folder)
    assert "report.html" in command("report", folder)
    assert rough_differences(RECORD["runs"]["dqn_cartpole"], fingerprint(folder), ALIKE_UNTIL["dqn_cartpole"]) == []


def test_its_policies_act_and_are_scored(old):
    name, folder = old
    run = Run(folder, allow=OWN if name.startswith("own") else ())
    assert run.evaluate(2, "latest").returns == run.evaluate(2, "latest").returns
    assert load_policy(folder, allow=["tests.kept.own_algorithm"]).description() == run.policy("best").description()
    # Scored again on the episodes on which it was.
    final = run.scores().get("final")
    if final is not None:
        assert run.evaluate(3).returns == pytest.approx(final["returns"], rel=1e-3)


def test_nothing_of_the_users_own_is_imported_for_it(tmp_path):
    program = f"from workspace_rl import Run\nRun({str(FOLDERS / 'own_td3_pendulum')!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ConfigError.__name__ in done.stderr and "nothing is imported because a run names it" in done.stderr


def test_it_is_shown(old, tmp_path):
    page = write_report(old[1], tmp_path / "report.html").read_text()
    assert RECORD["commit"] in page
