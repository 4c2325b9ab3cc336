"""What a checkpoint holds: read, and put back into objects that are built alike, bit for bit."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from workspace_rl.basics.seeding import RandomState
from workspace_rl.errors import CheckpointError
from workspace_rl.runs.checkpoints import Checkpoints
from workspace_rl.training.parts.checkpointing import Checkpointing, TrainingState
from workspace_rl.training.parts.progress import Due, Progress
from workspace_rl.training.resuming import _put_in_place


class Everything:
    """The parts of a small algorithm, and their state."""

    def __init__(self, seed, layer=torch.nn.Linear):
        torch.manual_seed(seed)
        self.net = layer(2, 3)
        self.optimizer = torch.optim.Adam(self.net.parameters(), 0.1)
        self.random_state = RandomState(seed)
        self.progress = Progress(Due(10, 20, 30))
        self.state = TrainingState(
            lambda: {"net": self.net, "optimizer": self.optimizer}, self.random_state, self.progress
        )

    def go_on(self, n=1):
        """Learn from random numbers, as a loop does."""
        with self.random_state:
            for _ in range(n):
                self.optimizer.zero_grad()
                (self.net(torch.randn(4, 2)).square().mean() * np.random.rand()).backward()
                self.optimizer.step()
                self.progress.n_updates += 1
                self.progress.steps += 10

    def read(self):
        with self.random_state:
            return self.state.read()


def through_json(described):
    return json.loads(json.dumps(described))


def checkpoint_of(everything):
    plain, tensors = everything.read()
    return SimpleNamespace(step=everything.progress.steps, state=through_json(plain), tensors=tensors)


def test_what_is_put_back_goes_on_bit_for_bit():
    first, second = Everything(1), Everything(2)
    first.go_on(3)
    second.go_on(1)
    second.state.load(checkpoint_of(first))
    assert second.progress.n_updates == 3 and second.progress == first.progress
    for one in (first, second):
        one.go_on(2)
    (plain, tensors), (other_plain, other_tensors) = first.read(), second.read()
    assert plain == other_plain and tensors.keys() == other_tensors.keys()
    assert all(torch.equal(tensors[name], other_tensors[name]) for name in tensors)


def test_reading_changes_nothing_and_copies():
    one = Everything(1)
    one.go_on()
    _, before = one.read()
    kept = {name: value.clone() for name, value in before.items()}
    one.go_on()
    assert all(torch.equal(before[name], kept[name]) for name in before)


def broken(**changes):
    def change(checkpoint):
        for path, value in changes.items():
            place = checkpoint.state
            *above, last = path.split("__")
            for key in above:
                place = place[key]
            if value is None:
                del place[last]
            else:
                place[last] = value

    return change


def forget_a_tensor(checkpoint):
    del checkpoint.tensors["random.numpy"]


@pytest.mark.parametrize(
    "change",
    [
        broken(loop=None), broken(parts=None), broken(loop__n_updates="many"), broken(loop__due={"when": 1}),
        broken(loop__steps=[1]), forget_a_tensor,
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_of_this_run_is_told(change):
    first = Everything(1)
    first.go_on(3)
    checkpoint = checkpoint_of(first)
    change(checkpoint)
    with pytest.raises(CheckpointError, match="the checkpoint of step 30 is not one of this run: [KTV]"):
        Everything(2).state.load(checkpoint)


def test_agents_of_other_classes_are_told():
    class Other(torch.nn.Linear):
        pass

    with pytest.raises(CheckpointError, match="'net' was made of Linear where it is .*Other now"):
        Everything(2, Other).state.load(checkpoint_of(Everything(1)))


def test_batches_that_were_due_were_once_counted_by_the_loop():
    state = {"loop": {"due": {"log": 1, "evaluation": 2, "checkpoint": 3, "updates": 0.5}}, "buffer": {"rows": 4}}
    _put_in_place(SimpleNamespace(state=state))
    assert state == {
        "loop": {"due": {"log": 1, "evaluation": 2, "checkpoint": 3}}, "buffer": {"rows": 4, "owed": 0.5},
    }  # fmt: skip
    for foreign in ({}, {"loop": {}}, {"loop": {"due": None}}, {"loop": {"due": {"updates": 1}}}):
        _put_in_place(SimpleNamespace(state=foreign))  # told when it is taken up


class Kept:
    """An experience of a few rows."""

    rows, ended = range(2, 5), False

    def read_rows(self, start, stop):
        return {"x": torch.arange(start, stop)}

    def describe(self):
        return {"ended": self.ended}

    def end_episodes(self):
        self.ended = True


def test_a_checkpoint_is_written_once_for_each_step_with_what_belongs_to_it(tmp_path):
    everything = Everything(1)
    run = SimpleNamespace(checkpoints=Checkpoints(tmp_path), files_to_copy=lambda: {})
    by = Checkpointing(run, everything.state, Kept(), everything.progress, interval=30, conditions={"machine": "this"})
    assert by.wanted
    everything.go_on(2)
    with everything.random_state:
        by.save()
    assert not by.wanted and by.next() == 30
    everything.go_on(1)
    assert by.wanted and by.next() == 60
    found = Checkpoints(tmp_path).newest()
    assert found.step == 20 and found.state["machine"] == "this" and found.state["buffer"] == {"ended": True}
    ((start, rows),) = found.rows()
    assert start == 2 and rows["x"].tolist() == [2, 3, 4]
    other = Everything(2)
    other.state.load(found)
    assert other.progress.steps == 20


def test_rows_are_written_once_whatever_an_experience_says_of_itself(tmp_path):
    everything, experience = Everything(1), Kept()
    run = SimpleNamespace(checkpoints=Checkpoints(tmp_path), files_to_copy=lambda: {})
    for n_rows in (5, 8):
        experience.rows = range(2, n_rows)
        by = Checkpointing(run, everything.state, experience, everything.progress, interval=10, conditions={})
        everything.go_on()
        with everything.random_state:
            by.save()
        run.checkpoints = Checkpoints(tmp_path)  # as when the run goes on
        assert run.checkpoints.newest().step == everything.progress.steps
    assert {one.name for one in tmp_path.glob("rows-*")} == {
        "rows-000000000002-000000000005.safetensors", "rows-000000000005-000000000008.safetensors",
    }  # fmt: skip


def test_without_an_interval_none_is_wanted():
    run = SimpleNamespace(checkpoints=SimpleNamespace(step=None))
    progress = Progress(Due(0, 0, 0), steps=10)
    assert not Checkpointing(run, None, None, progress, interval=None, conditions={}).wanted
