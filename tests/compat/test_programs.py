"""Whole programs in BBRL's own API, run by the real package and by the stand-in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch
from nbclient import NotebookClient

PROGRAMS = Path(__file__).parent / "programs"
QUICK = {
    "sac": [
        "algorithm.max_epochs=70",
        "algorithm.n_steps=16",
        "algorithm.learning_starts=512",
        "algorithm.buffer_size=5000",
        "algorithm.eval_interval=4000",
        "algorithm.nb_evals=4",
    ],
    "reinforce": ["algorithm.max_epochs=55"],
}


def run(program, folder, *, ours):
    """Run a program and return its losses, its workspaces and what it printed."""
    folder.mkdir()
    script = PROGRAMS / f"{program}.py"
    command = [sys.executable, "-m", "workspace_rl.compat.bbrl", script] if ours else [sys.executable, script]
    done = subprocess.run(
        [*command, folder, *QUICK.get(program, [])],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    losses = folder / "losses.json"
    workspaces = folder / "workspaces.pt"
    return (
        json.loads(losses.read_text()) if losses.exists() else {},
        torch.load(workspaces, weights_only=True) if workspaces.exists() else [],
        done.stdout,
    )


def assert_same_losses(theirs, mine):
    assert theirs.keys() == mine.keys()
    for name, values in theirs.items():
        assert mine[name] == values, name
        assert len(values) >= 30 or "eval_reward" in name


def assert_same_workspaces(theirs, mine):
    assert len(theirs) == len(mine) > 0
    for one, other in zip(theirs, mine, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("program", ["sac", "dqn", "ddpg", "td3", "reinforce", "a2c", "ppo", "karts", "evolution"])
def test_whole_runs_are_the_same_bit_for_bit(program, tmp_path):
    theirs, their_workspaces, their_output = run(program, tmp_path / "real", ours=False)
    mine, my_workspaces, my_output = run(program, tmp_path / "ours", ours=True)
    assert_same_losses(theirs, mine)
    if program in ("karts", "evolution"):
        assert my_output == their_output
    if program in ("reinforce", "a2c", "ppo", "karts", "evolution"):
        assert_same_workspaces(their_workspaces, my_workspaces)


@pytest.mark.parametrize("program", ["fibonacci", "transitions"])
def test_programs_without_learning_are_the_same(program, tmp_path):
    _, theirs, their_output = run(program, tmp_path / "real", ours=False)
    _, mine, my_output = run(program, tmp_path / "ours", ours=True)
    assert my_output == their_output
    assert_same_workspaces(theirs, mine)


def notebook(program):
    """Return a program in cells as a notebook."""
    cells = []
    for part in (PROGRAMS / f"{program}.py").read_text().split("# %%")[1:]:
        head, _, body = part.partition("\n")
        if head.strip() == "[markdown]":
            cells.append(nbformat.v4.new_markdown_cell(body.replace("\n# ", "\n").removeprefix("# ")))
        else:
            cells.append(nbformat.v4.new_code_cell(body))
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning", "ignore::ResourceWarning")
def test_the_notebook_runs_after_one_more_line(tmp_path, monkeypatch):
    monkeypatch.setenv("BBRL_PROGRAM_OUTPUT", str(tmp_path))
    monkeypatch.setenv("BBRL_PROGRAM_ARGS", " ".join(QUICK["sac"]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    book = notebook("sac")
    book.cells.insert(0, nbformat.v4.new_code_cell("%load_ext workspace_rl.compat.bbrl"))
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert any("video" in output.get("data", {}).get("text/html", "") for output in outputs)
    theirs, _, _ = run("sac", tmp_path / "real", ours=False)
    assert_same_losses(theirs, json.loads((tmp_path / "losses.json").read_text()))
