import shutil
import subprocess

import pytest
import torch

from workspace_rl.machine import provenance


@pytest.fixture
def repository(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("git is not installed")

    def git(*arguments):
        who = ["-c", "user.name=x", "-c", "user.email=x@y"]
        return subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True)

    git("init")
    (tmp_path / "code.py").write_text("1\n")
    git("add", ".")
    git("commit", "-m", "first")
    return tmp_path, git("rev-parse", "--short=10", "HEAD").stdout.strip()


def test_versions_and_the_commit_of_the_working_directory(repository, monkeypatch):
    folder, commit = repository
    monkeypatch.chdir(folder)
    found = provenance.provenance()
    assert found["versions"]["torch"] == torch.__version__
    assert found["commits"]["working directory"] == commit
    (folder / "code.py").write_text("2\n")
    assert provenance.provenance()["commits"]["working directory"] == f"{commit}-dirty"


def test_a_library_inside_somebody_elses_repository_has_not_its_commit(repository, monkeypatch):
    folder, _ = repository
    installed = folder / "site-packages" / "provenance.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(provenance, "__file__", str(installed))
    monkeypatch.setattr(provenance, "distribution", lambda name: Distribution("{}"))
    assert provenance.library_commit() is None
    monkeypatch.setattr(provenance, "distribution", lambda name: Distribution('{"vcs_info": {"commit_id": "abc"}}'))
    assert provenance.library_commit() == "abc"


class Distribution:
    def __init__(self, text):
        self.text = text

    def read_text(self, name):
        return self.text


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "working directory" not in provenance.provenance()["commits"]
