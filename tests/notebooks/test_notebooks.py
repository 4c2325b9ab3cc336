"""Every notebook runs, with its reduced budget, and shows what it does."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
#: Of a stored notebook, in bytes.
LARGEST = 1.5e6


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def shows_what_it_does(notebook):
    """Return whether there is a film, if something is trained, and a picture or a table otherwise."""
    data = [output.get("data", {}) for output in outputs_of(notebook)]
    pictures = any("image/png" in one or "image/svg+xml" in one for one in data)
    tables = any("<table" in one.get("text/html", "") for one in data)
    films = any("video/mp4" in one or "<video" in one.get("text/html", "") for one in data)
    trains = any(cell.cell_type == "code" and ".train(" in cell.source for cell in notebook.cells)
    return films and pictures if trains else pictures or tables


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:TCP transport")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSPACE_RL_QUICK", "1")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    assert not [one for one in outputs_of(notebook) if one["output_type"] == "error"]
    assert shows_what_it_does(notebook)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_its_pictures_are_stored_and_say_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    assert shows_what_it_does(notebook)
    assert path.stat().st_size < LARGEST
    outputs = outputs_of(notebook)
    assert not [one for one in outputs if one["output_type"] == "error" or one.get("name") == "stderr"]
    texts = [output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs]
    assert not [text for text in texts if "/home/" in text or "/root/" in text or "/tmp/" in text]
