"""What `check` says of updates of BBRL's programs under the drop-in: nothing, unless a mistake is put in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("program", "replaced", "said"),
    [
        ("dqn", [], "no problems found"),
        ("td3", [], "no problems found"),
        ("dqn", ['"env/terminated"]', '"env/done"]'], "(time limit): function 'compute_loss'"),
        ("dqn", ["target_q_values[1].gather", "q_values[1].gather"], "(no detach): function 'compute_loss'"),
        ("td3", [" * ~terminated[1]", ""], "(no discount): function 'compute_critic_losses'"),
    ],
)
def test_the_updates_of_programs(program, replaced, said, tmp_path):
    script = Path(__file__).parent / "checked_programs.py"
    done = subprocess.run(
        [sys.executable, script, program, tmp_path, *replaced],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert said in done.stdout and sum("(" in line and "warning" in line for line in lines) == bool(replaced)
