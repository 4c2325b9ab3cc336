"""Every notebook runs, with its reduced budget, and holds the outputs of a run with its full budget."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 1_500_000

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def expect_pictures(notebook):
    """What trains shows a film and a picture, everything else a picture or a table."""
    shown = [output.get("data", {}) for output in outputs_of(notebook)]
    pictures = [one for one in shown if {"image/png", "image/svg+xml"} & one.keys()]
    tables = [one for one in shown if "<table" in str(one.get("text/html"))]
    films = [one for one in shown if "video/mp4" in one or "<video" in str(one.get("text/html"))]
    if any(".train(" in cell.source for cell in notebook.cells if cell.cell_type == "code"):
        assert films and pictures
    else:
        assert pictures or tables


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:TCP transport")
@each_notebook
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSPACE_RL_QUICK", "1")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert not [one for one in outputs_of(notebook) if one["output_type"] == "error"]
    expect_pictures(notebook)


@each_notebook
def test_its_outputs_are_stored_and_say_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    assert path.stat().st_size < MOST_BYTES
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    expect_pictures(notebook)
    outputs = outputs_of(notebook)
    assert not [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"]
    texts = [str(one.get("text") or one["data"].get("text/plain")) for one in outputs]
    assert not [(text, one) for text in texts for one in ("/tmp/", "/root/", "/home/", "/Users/") if one in text]
