import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.robustness.fuzzing import examples
from tests.robustness.replay_model import Environments, ReplayModel, n_step_return, to_workspace
from workspace_rl import ReplayBuffer, Workspace, n_step_transitions
from workspace_rl.errors import ReplayBufferError

VARIABLES = ["number", "env/reward", "env/terminated"]


@st.composite
def programs(draw):
    """The buffer's measures, and a list of what is put and sampled."""
    batch_size = draw(st.integers(1, 4))
    endings = st.lists(
        st.lists(st.sampled_from([0] * 12 + [1, 2, 3]), min_size=batch_size, max_size=batch_size),
        min_size=1,
        max_size=12,
    )
    put = st.tuples(st.just("put"), endings, st.sampled_from(["goes on"] * 4 + ["cut", "cut and reset"]))
    sample = st.tuples(st.just("sample"), st.integers(1, 5))
    refuse = st.tuples(st.just("refuse"), st.integers(0, 6))
    return {
        "batch_size": batch_size,
        "capacity": draw(st.integers(1, 30)),
        "stack_size": draw(st.sampled_from([0, 0, 1, 2, 4])),
        "zeros": draw(st.booleans()),
        "commands": draw(st.lists(st.one_of(put, put, sample, refuse), min_size=2, max_size=14)),
    }


def check_windows(buffer, model, length):
    windows = model.windows(length)
    allowed = {tuple(frame.number for frame in window): window for window in windows}
    assert buffer.n_windows(length) == len(windows) == len(allowed)
    if length == 2:
        assert len(buffer) == len(allowed)
    if not allowed:
        with pytest.raises(ReplayBufferError, match=f"no window of {length} frames can (ever )?be sampled"):
            buffer.sample(3, length)
        return
    # So many draws that less than once in a billion an allowed window is missing.
    n = math.ceil(len(allowed) * (math.log(len(allowed)) + 21))
    batch = buffer.sample(n, length)
    drawn, index = torch.unique(batch["number"].T, dim=0, return_inverse=True)
    assert sorted(map(tuple, drawn.tolist())) == sorted(allowed)
    some = [int((index == k).nonzero()[0]) for k in range(len(drawn))]  # one draw of each window
    windows = [allowed[tuple(row)] for row in drawn.tolist()]
    for name in (*VARIABLES, "env/done"):
        what = name.removeprefix("env/")
        assert batch[name].is_contiguous() and batch[name].shape[:2] == (length, n)
        assert batch[name][:, some].T.tolist() == [[getattr(frame, what) for frame in window] for window in windows]
    if model.stack_size:
        for k, window in zip(some, windows, strict=True):
            for t, frame in enumerate(window):
                if frame.stack:
                    stack = batch["picture"][t, k]
                    assert stack[:, 0].tolist() == list(frame.stack) and torch.equal(stack[:, 1], -stack[:, 0])
    if length > 1:
        check_returns(batch, some, windows)


def check_returns(batch, some, windows):
    transitions = n_step_transitions(batch, 0.5)  # exact in float32
    for k, window in zip(some, windows, strict=True):
        total, discount, last = n_step_return(window, 0.5)
        assert transitions.get("env/reward", 1)[k] == total
        assert transitions.get("discount", 1)[k] == discount
        if discount:
            assert transitions.get("number", 1)[k] == last.number


def refuse(buffer, frames, kind):
    """Ask for something that does not fit."""
    wrong = Workspace(frames)
    if kind == 0:
        wrong.remove_variable("env/reward")
    elif kind == 1:
        wrong.set_full("env/reward", frames["env/reward"].unsqueeze(-1))
    elif kind == 2:
        wrong.set_full("env/reward", frames["env/reward"].double())
    elif kind == 3:
        wrong.set_full("env/done", frames["env/done"].float())
    elif kind == 4:
        wrong = frames.subtime(0, 0)
    with pytest.raises(ReplayBufferError):
        if kind == 5:
            buffer.sample(-1)
        elif kind == 6:
            buffer.sample(1, window=0)
        else:
            buffer.put(wrong)


@examples(quick=150, full=10_000)
@given(programs())
def test_programs_agree_with_a_list_of_rows(program):
    """Which windows there are, that all of them are drawn and no other, what is in them, and their returns."""
    torch.manual_seed(0)
    batch_size, stack_size = program["batch_size"], program["stack_size"]
    model = ReplayModel(program["capacity"], batch_size, stack_size)
    environments = Environments(batch_size, stack_size, program["zeros"])
    variables = [*VARIABLES, "picture"] if stack_size else VARIABLES
    buffer = ReplayBuffer(program["capacity"], variables, stacked={"picture": stack_size} if stack_size else {})
    for command, *arguments in program["commands"]:
        if command == "put":
            endings, how = arguments
            if how == "cut and reset":
                environments.reset()
            rows = environments.rows(endings)
            frames = to_workspace(rows, batch_size, stack_size)
            buffer.put(frames, continues=how == "goes on")
            model.put(rows, continues=how == "goes on")
        elif command == "sample":
            check_windows(buffer, model, *arguments)
        elif model.rows:
            refuse(buffer, frames, *arguments)
    for length in (1, 2, 4):
        check_windows(buffer, model, length)


@pytest.mark.parametrize("stack_size", [0, 3])
@pytest.mark.parametrize("length", [2, 4])
def test_a_small_ring_that_has_wrapped_around_is_sampled_uniformly(stack_size, length):
    """A chi-squared test over all windows, at the places of the ring that differ most: its seam, and episodes' ends."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model, environments = ReplayModel(60, 3, stack_size), Environments(3, stack_size, True)
    variables = [*VARIABLES, "picture"] if stack_size else VARIABLES
    buffer = ReplayBuffer(60, variables, stacked={"picture": 3} if stack_size else {})
    for step in range(13):
        rows = environments.rows(rng.choice(4, p=[0.8, 0.1, 0.05, 0.05], size=(4, 3)).tolist())
        buffer.put(to_workspace(rows, 3, stack_size), continues=step % 6 != 5)
        model.put(rows, continues=step % 6 != 5)
    allowed = model.windows(length)
    assert len(allowed) > 20 and any(frame.done for window in allowed for frame in window)
    drawn = buffer.sample(500 * len(allowed), length)["number"][0]
    numbers, counts = torch.unique(drawn, return_counts=True)
    assert numbers.tolist() == sorted(window[0].number for window in allowed)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("capacity", [10**30, 10**400])
def test_impossible_capacities_are_refused(capacity):
    frames = to_workspace(Environments(2, 0, True).rows([[0, 0]]), 2, 0)
    with pytest.raises(ReplayBufferError, match="no memory.*Lower buffer_size"):
        ReplayBuffer(capacity, VARIABLES).put(frames)
