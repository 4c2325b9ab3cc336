"""Agents and workspaces take both forms, ("x", t) and "x", t, by position and by name."""

import numpy as np
import pytest
import torch

from workspace_rl import Agent, Workspace
from workspace_rl.errors import AccessError, NotATensorError

VALUE = torch.ones(3)
WRITES = [
    (("x", 0, VALUE), {}),
    ((("x", 0), VALUE), {}),
    ((("x", 0),), {"value": VALUE}),
    (("x",), {"t": 0, "value": VALUE}),
    (("x", 0), {"value": VALUE}),
    ((), {"name": "x", "t": 0, "value": VALUE}),
    ((), {"index": ("x", 0), "value": VALUE}),
    ((), {"index": "x", "t": 0, "value": VALUE}),
    ((("x", np.int64(0)), VALUE), {}),
    (("x", np.int64(0), VALUE), {}),
    (("x", torch.tensor(0), VALUE), {}),
]


class Does(Agent):
    """Runs a function of itself."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, **kwargs):
        self.result = self.function(self)


def by(who, function):
    """Return what a function of a workspace, or of an agent that runs on it, gives; and the workspace."""
    workspace = Workspace()
    if who == "workspace":
        return function(workspace), workspace
    agent = Does(function)
    agent(workspace)
    return agent.result, workspace


@pytest.mark.parametrize(("args", "kwargs"), WRITES)
@pytest.mark.parametrize("who", ["workspace", "agent"])
def test_both_forms_write_and_read(who, args, kwargs):
    def run(one):
        one.set(*args, **kwargs)
        one.set(*args, **kwargs)  # a variable that is there, too
        rest = {name: value for name, value in kwargs.items() if name != "value"}
        return one.get(*(value for value in args if value is not VALUE), **rest)

    read, workspace = by(who, run)
    assert read is VALUE and workspace.time_size("x") == 1 and list(workspace.keys()) == ["x"]


def test_agents_write_and_read_whole_variables():
    whole = torch.ones(2, 3)
    for write in (
        lambda one: one.set("x", whole),
        lambda one: one.set("x", value=whole),
        lambda one: one.set(name="x", value=whole),
    ):
        assert by("agent", lambda one, write=write: (write(one), one.get("x"))[1])[0] is whole
    assert by("agent", lambda one: (one.set("x", whole), one.get(name="x"))[1])[0] is whole


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda one: one.set(("x",), VALUE), r'set\(\("x", t\), value\) or set\("x", t, value\)'),
        (lambda one: one.set(("x", 0, 1), VALUE), "was given"),
        (lambda one: one.set(("x", 0), 0, VALUE), "was given"),
        (lambda one: one.set(3, 0, VALUE), "was given"),
        (lambda one: one.set(("x", 0.5), VALUE), "whole number, 0.5 was given for variable 'x'"),
        (lambda one: one.set("x", 1.0, VALUE), "whole number"),
        (lambda one: one.set(("x", None), VALUE), "step|was given"),
        (lambda one: one.set(VALUE, "x", 0), r"a tensor \[3\]"),
        (lambda one: one.set(), "was given"),
        (lambda one: one.get(("x", 0), 0), r'get\(\("x", t\)\) or get\("x", t\)'),
        (lambda one: one.get(("x",)), "was given"),
        (lambda one: one.get("x", "y"), "whole number, 'y'"),
        (lambda one: one.get(3, 0), "was given"),
        (lambda one: one.get(), "was given"),
    ],
)
@pytest.mark.parametrize("who", ["workspace", "agent"])
def test_other_forms_are_refused(who, write, message):
    with pytest.raises(AccessError, match=message):
        by(who, write)


@pytest.mark.parametrize("args", [("x", 0, 3.0), (("x", 0), 3.0), (("x", 0), [1.0])])
@pytest.mark.parametrize("who", ["workspace", "agent"])
def test_values_are_tensors_in_both_forms(who, args):
    with pytest.raises(NotATensorError, match="'x'"):
        by(who, lambda one: one.set(*args))


def test_a_workspace_asks_for_the_step():
    with pytest.raises(AccessError, match=r"set_full\(.x., value\)"):
        Workspace().set("x", VALUE)
    with pytest.raises(AccessError, match=r"get_full\(.x.\)"):
        Workspace().get("x")
