"""What a notebook shows of the library's errors and results."""

import json
import subprocess
import sys

import pytest

from tests.algorithm.test_made_by import CONFIG

SHELL = """
import contextlib, io, json, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.colors = "nocolor"
shown = {}
for name, cell in json.load(sys.stdin).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        shell.run_cell(cell, store_history=True)
    shown[name] = out.getvalue()
json.dump(shown, sys.__stdout__)
"""
ENVIRONMENT = """
import gymnasium
class Faulty(gymnasium.Env):
    observation_space = action_space = gymnasium.spaces.Box(-1, 1, (3,))
    def reset(self, **options):
        return self.first()
    def first(self):
        raise KeyError("no such level")
"""
CELLS = {
    "imports": "from workspace_rl import *\nfrom workspace_rl.algos import SAC\nimport helpers",
    "config": "params = " + repr(CONFIG | {"base_dir": "run"}) + "\nSAC(params | {'sead': 1})",
    "method": "def make(n):\n    agent = GymAgent('Pendulum-v1', n)\n    return agent\nmake(0)",
    "variable": "workspace = Workspace()\nworkspace.get('x', 0)",
    "module": "helpers.build()",
    "environment": ENVIRONMENT + "GymAgent(Faulty)(workspace, t=0)",
    "whole": "%tb Verbose",
    "trained": "sac = SAC(params)\nsac.train(progress=True)",
    "again": "result = SAC.restore('run', ['algorithm.total_steps=80']).train()\nresult",
    "later": "result",
    "other": "1 / 0",
}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "helpers.py").write_text("from workspace_rl import Agents\n\ndef build():\n    return Agents(3)\n")
    run = subprocess.run(
        [sys.executable, "-c", SHELL], input=json.dumps(CELLS), cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    ("cell", "lines"),
    [
        ("config", ["Cell In[2], line 2: SAC(params | {'sead': 1})", "ConfigError: unknown key 'sead'. Did you mean"]),
        (
            "method",
            [
                "Cell In[3], line 4: make(0)",
                "in make: agent = GymAgent('Pendulum-v1', n)",
                "n_envs: at least 1 expected",
            ],
        ),
        ("variable", ["line 2: workspace.get('x', 0)", "UnknownVariableError: "]),
        ("module", ["Cell In[5], line 1: helpers.build()", "helpers.py, line 4, in build: return Agents(3)"]),
        (
            "environment",
            ['in first: raise KeyError("no such level")', "KeyError: 'no such level'", "EnvironmentFailedError"],
        ),
    ],
)
def test_errors_are_a_few_lines_of_the_user_s_own(cell, lines, shown):
    text = shown[cell]
    assert len(text.strip().splitlines()) <= 10, text
    position = 0
    for line in lines:
        assert line in text[position:], text
        position = text.index(line, position)
    assert "workspace_rl/" not in text.replace("helpers.py", "") and text.strip().endswith("%tb Verbose)")


def test_everything_is_shown_on_demand(shown):
    assert len(shown["whole"].splitlines()) > 40 and "workspace_rl/envs/gym_agent/agent.py" in shown["whole"]
    assert "no such level" in shown["whole"]


def test_other_errors_are_shown_as_always(shown):
    assert "ZeroDivisionError" in shown["other"] and "Traceback" in shown["other"]


def test_a_result_is_shown_once(shown):
    for cell in ("trained", "again", "later"):
        assert shown[cell].count("trained for") == 1, shown[cell]
