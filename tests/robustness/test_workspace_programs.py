import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.robustness.fuzzing import examples
from tests.robustness.workspace_model import Refused, WorkspaceModel
from workspace_rl import Workspace
from workspace_rl.errors import UnwrittenStepError, WorkspaceError

NAMES = st.sampled_from(["x", "y", "over"])
ANY_NAMES = st.one_of(st.none(), st.lists(st.sampled_from(["x", "y", "over", "nothing"]), unique=True, max_size=3))
STEPS = st.integers(-3, 5)
COUNTS = st.integers(0, 3)
SLICE_ENDS = st.one_of(st.none(), st.integers(-4, 5))


@st.composite
def tensors(draw, name, *, steps=False):
    """Values of a variable: usually of the shape and dtype that go with its name."""
    usual = {"x": ([2], torch.float32), "y": ([2, 3], torch.int64), "over": ([2], torch.bool)}[name]
    odd = st.tuples(
        st.sampled_from([[], [2], [3], [1, 2], [0]]), st.sampled_from([torch.float32, torch.bool, torch.int64])
    )
    shape, dtype = draw(odd) if draw(st.integers(0, 7)) == 0 else usual
    if steps:
        shape = [draw(st.integers(0, 4)), *shape] if draw(st.integers(0, 19)) else []
    numbers = torch.arange(torch.Size(shape).numel()) * draw(st.integers(1, 7)) + draw(st.integers(0, 20))
    return (numbers % 3 == 0 if dtype == torch.bool else numbers.to(dtype)).reshape(shape)


@st.composite
def commands(draw):
    """A method's name and its arguments; those of tests/robustness/workspace_model.py."""
    name = draw(NAMES)
    arguments = {
        "set": lambda: (name, draw(STEPS), draw(tensors(name))),
        "set_full": lambda: (name, draw(tensors(name, steps=True))),
        "get": lambda: (name, draw(STEPS)),
        "get_full": lambda: (name,),
        "get_several": lambda: (draw(st.lists(NAMES, max_size=3)),),
        "get_time_truncated": lambda: (name, draw(SLICE_ENDS), draw(SLICE_ENDS)),
        "time_size": lambda: (draw(st.one_of(st.none(), NAMES)),),
        "batch_size": lambda: (draw(st.one_of(st.none(), NAMES)),),
        "copy_n_last_steps": lambda: (draw(st.integers(-1, 4)), draw(ANY_NAMES)),
        "copy_time": lambda: (draw(STEPS), draw(STEPS), draw(COUNTS), draw(ANY_NAMES)),
        "remove_variable": lambda: (name,),
        "clear": lambda: (),
        "subtime": lambda: (draw(SLICE_ENDS), draw(SLICE_ENDS)),
        "select_subtime": lambda: (draw(st.lists(st.integers(-1, 4), min_size=1, max_size=3)), draw(st.integers(1, 3))),
        "get_transitions": lambda: (draw(st.booleans()), "over"),
        "select_batch": lambda: (draw(st.lists(st.integers(0, 2), max_size=3)),),
        "cat_batch": lambda: (draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)),),
        "copy": lambda: (),
        "to": lambda: ("cpu",),
        "detach": lambda: (),
    }
    often = ["set"] * 8 + ["set_full"] * 3 + ["get_full"] * 2
    command = draw(st.sampled_from([*often, *arguments]))
    return draw(st.integers(0, 5)), command, arguments[command]()


def run_model(models, which, command, arguments):
    model = models[which]
    if command == "cat_batch":
        return WorkspaceModel.cat_batch([models[index % len(models)] for index in arguments[0]])
    if command == "detach":
        return None
    return getattr(model, command)(*arguments)


def run_library(workspaces, which, command, arguments):
    workspace = workspaces[which]
    if command == "cat_batch":
        return Workspace.cat_batch([workspaces[index % len(workspaces)] for index in arguments[0]])
    if command == "copy":
        return Workspace(workspace)
    if command == "get_several":
        return workspace[tuple(arguments[0])]
    if command in ("select_batch", "select_subtime"):
        return getattr(workspace, command)(torch.tensor(arguments[0], dtype=torch.int64), *arguments[1:])
    return getattr(workspace, command)(*arguments)


def same(found, expected):
    return found.dtype == expected.dtype and torch.equal(found, expected)


def assert_same_content(workspace, model, *, whole):
    assert list(workspace.keys()) == list(model.variables) and len(workspace) == len(model.variables)
    for name, expected in model.variables.items():
        assert workspace.variables[name].size == (len(expected.steps), *expected.shape)
        for t, step in enumerate(expected.steps):
            if step is None:
                with pytest.raises(UnwrittenStepError, match=f"step {t} of variable '{name}' was read, but nobody"):
                    workspace.get(name, t)
            else:
                assert same(workspace.get(name, t), step)
        if whole:
            assert same(workspace[name], expected.full())


@examples(quick=200, full=10_000)
@given(st.lists(commands(), min_size=1, max_size=25))
def test_programs_agree_with_lists_of_steps(program):
    """What is read, what is refused and by which error; that a refusal changes nothing, and a read tensor never."""
    workspaces, models = [Workspace()], [WorkspaceModel()]
    read = []
    for where, command, arguments in program:
        which = where % len(models)
        expected_error = found_error = expected = found = None
        try:
            expected = run_model(models, which, command, arguments)
        except Refused as refused:
            expected_error = refused.kind
        try:
            found = run_library(workspaces, which, command, arguments)
        except WorkspaceError as error:
            found_error = type(error)
            assert str(error)
        assert found_error == expected_error
        if isinstance(expected, WorkspaceModel):
            assert_same_content(found, expected, whole=False)
            models, workspaces = [*models, expected][-4:], [*workspaces, found][-4:]
        elif isinstance(expected, torch.Tensor):
            assert same(found, expected)
            read.append((found, expected.clone()))
        elif isinstance(expected, list):
            assert len(found) == len(expected) and all(map(same, found, expected))
        else:
            assert found == expected
        for workspace, model in zip(workspaces, models, strict=True):
            assert_same_content(workspace, model, whole=False)
    for workspace, model in zip(workspaces, models, strict=True):
        assert_same_content(workspace, model, whole=True)
    for tensor, value in read:
        assert same(tensor, value)
