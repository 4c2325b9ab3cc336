"""Replay buffers of several sources against a list of rows, and against one endless list of frames for each source."""

import json

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.robustness.fuzzing import examples
from tests.robustness.replay_model import Environments, ReplayModel, to_workspace
from tests.robustness.test_replay_programs import VARIABLES, check_windows
from workspace_rl import ReplayBuffer

#: Frames of different sources have numbers that are so far apart.
APART = 1_000_000


def made(program, **announced):
    stack_size = program["stack_size"]
    variables = [*VARIABLES, "picture"] if stack_size else VARIABLES
    stacked = {"picture": stack_size} if stack_size else {}
    options = {"longest_window": program["longest_window"], **program.get("options", {}), **announced}
    return ReplayBuffer(program["capacity"], variables, stacked=stacked, **options)


def restored(buffer, program, **announced):
    """Return a buffer that took over what a checkpoint keeps of another one."""
    twin, rows = made(program, **announced), buffer.rows
    middle = (rows.start + rows.stop) // 2
    pieces = [(a, buffer.read_rows(a, b)) for a, b in ((rows.start, middle), (middle, rows.stop)) if a < b]
    described = buffer.describe()
    tensors = {name: one.clone() for name, one in described.items() if isinstance(one, torch.Tensor)}
    plain = {name: one for name, one in described.items() if name not in tensors}
    twin.restore(json.loads(json.dumps(plain)) | tensors, pieces)
    return twin


@st.composite
def programs(draw, most_sources=4):
    """The buffer's measures, what it is told of the sources, and a list of what is put, sampled, cut and saved."""
    batch_size, n_sources = draw(st.integers(1, 3)), draw(st.integers(1, most_sources))
    endings = st.lists(
        st.lists(st.sampled_from([0] * 12 + [1, 2, 3]), min_size=batch_size, max_size=batch_size),
        min_size=1,
        max_size=draw(st.sampled_from([1, 3, 12])),
    )
    source = st.integers(0, n_sources - 1)
    longest_window = draw(st.sampled_from([2, 2, 3, 4, 6, 9]))
    put = st.tuples(st.just("put"), source, endings, st.sampled_from(["goes on"] * 6 + ["cut", "cut and reset"]))
    sample = st.tuples(st.just("sample"), st.integers(1, longest_window))
    end = st.tuples(st.just("end"), st.one_of(st.none(), source))
    save = st.tuples(st.just("save"), st.booleans())
    return {
        "batch_size": batch_size,
        "n_sources": n_sources,
        "longest_window": longest_window,
        "capacity": draw(st.sampled_from([1, 3, 10, 30, 300])),
        "stack_size": draw(st.sampled_from([0, 0, 1, 2, 4])),
        "zeros": draw(st.booleans()),
        "announced": draw(st.booleans()),
        "n_steps": draw(st.integers(1, 4)),
        "commands": draw(st.lists(st.one_of(put, put, put, put, sample, end, save), min_size=2, max_size=25)),
    }


def play(program, check):
    """Do what a program says to a buffer and to a list of rows; return them with all frames of each source."""
    torch.manual_seed(0)
    batch_size, stack_size, n_sources = program["batch_size"], program["stack_size"], program["n_sources"]
    announced = {"n_sources": n_sources, "n_steps": program["n_steps"]} if program["announced"] else {}
    more_rows = 0
    if program["announced"] and n_sources > 1:
        repeated = program["longest_window"] - 1 + max(0, stack_size - 1)
        n_rows = -(-program["capacity"] // batch_size)
        more_rows = -(-n_rows // program["n_steps"]) * repeated + n_sources * (repeated + max(0, stack_size - 1))
    kind = program.get("model", ReplayModel)
    model = kind(program["capacity"], batch_size, stack_size, program["longest_window"], more_rows)
    sources = [Environments(batch_size, stack_size, program["zeros"], APART * k) for k in range(n_sources)]
    buffer = made(program, **announced)
    for command, *arguments in program["commands"]:
        if command == "put":
            source, endings, how = arguments
            if how == "cut and reset":
                sources[source].reset()
            rows = sources[source].rows(endings)
            frames = to_workspace(rows, batch_size, stack_size)
            buffer.put(frames, continues=how == "goes on", source=source)
            model.put(rows, continues=how == "goes on", source=source)
        elif command == "sample":
            check(buffer, model, *arguments)
        elif command == "end":
            buffer.end_episodes(*arguments)
            model.end_episodes(*arguments)
        else:
            (cut,) = arguments
            if cut:
                buffer.end_episodes()
                model.end_episodes()
            buffer = restored(buffer, program, **announced)
            model.tails.clear()
    return buffer, model


@examples(quick=250, full=20_000)
@given(programs())
def test_programs_of_several_sources_agree_with_a_list_of_rows(program):
    """Which windows there are, that all of them are drawn and no other, what is in them, and their returns."""

    def check(buffer, model, length):
        assert buffer.rows.stop == len(model.rows)
        check_windows(buffer, model, length)

    buffer, model = play(program, check)
    longest = program["longest_window"]
    for length in {1, 2, longest - 1, longest}:
        if 1 <= length <= longest:
            check(buffer, model, length)
