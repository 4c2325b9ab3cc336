"""What notebooks/08-from-bbrl.ipynb says: its cells give the same with BBRL itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08-from-bbrl.ipynb"
#: What only shows something, or is about the stand-in.
SHOWS = ("%pip", "%load_ext", "visualize_best", "check(")
DUMP = """
import json
results = [[bbrl_losses, bbrl_returns], [losses, returns]]
print(json.dumps([Agent.__module__, same_weights, results]))
"""


def program():
    """Return the cells up to the comparison as one program."""
    cells = [cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    last = next(index for index, source in enumerate(cells) if "losses == bbrl_losses" in source)
    kept = [source for source in cells[: last + 1] if not any(word in source for word in SHOWS)]
    lines = [line for source in kept for line in source.splitlines() if not line.startswith("%")]
    return "\n".join([*lines, DUMP])


def run(folder, *options):
    folder.mkdir()
    script = folder / "program.py"
    script.write_text(program())
    done = subprocess.run(
        [sys.executable, *options, script],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"WORKSPACE_RL_QUICK": "1", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_bbrl_its_stand_in_and_the_librarys_own_words_give_the_same(tmp_path):
    module, same_weights, real = run(tmp_path / "real")
    assert module == "bbrl.agents.agent" and same_weights
    module, same_weights, ours = run(tmp_path / "ours", "-m", "workspace_rl.compat.bbrl")
    assert module == "workspace_rl.compat.bbrl.agents.agent" and same_weights
    program_of_bbrl, own_words = real
    assert program_of_bbrl == own_words == ours[0] == ours[1]
    losses, returns = own_words
    assert len(losses) > 50 and len(returns) > 1
