"""Experience of off-policy algorithms by itself: when it is ready, and how many batches are due."""

import json

import pytest
import torch

from workspace_rl import ReplayBuffer, Workspace
from workspace_rl.experience import BlockLimiter, ExperienceWrapper, Fragment, Replay


def fragment(n_steps, first=0):
    frames = Workspace()
    frames.set_full("x", torch.arange(first, first + n_steps).float().unsqueeze(1))
    frames.set_full("env/done", torch.zeros(n_steps, 1, dtype=torch.bool))
    return Fragment(frames, n_transitions=n_steps)


def replay(per_fragment=1.0, **options):
    return Replay(ReplayBuffer(100, ["x"]), batch_size=4, updates_per_fragment=per_fragment, **options)


def test_it_says_what_its_batches_look_like():
    experience = replay(window=3)
    experience.put(fragment(10))
    (batch,) = experience.batches()
    assert experience.variables == ["x"] and experience.window == 3
    assert batch["x"].shape == batch["env/done"].shape == (3, 4)


def test_it_is_ready_when_learning_starts_and_there_is_a_window():
    experience = replay(window=3, learning_starts=20)
    experience.put(fragment(2))
    assert not experience.ready(20)
    experience.put(fragment(1))
    assert experience.ready(20) and not experience.ready(19)


@pytest.mark.parametrize(
    ("per_fragment", "due"),
    [(0.5, [0, 1, 0, 1, 0, 1]), (1, [1] * 6), (3, [3] * 6), (1.5, [1, 2, 1, 2, 1, 2]), (0, [0] * 6)],
)
def test_so_many_batches_are_due_for_each_fragment(per_fragment, due):
    experience = replay(per_fragment)
    found = []
    for _ in range(6):
        experience.put(fragment(5))
        found.append(len(list(experience.batches())))
    assert found == due


def test_batches_that_were_left_undone_are_due_the_next_time():
    experience = replay(3)
    experience.put(fragment(5))
    next(iter(experience.batches()))  # stopped within the first one
    assert len(list(experience.batches())) == 6


@pytest.mark.parametrize("wrapped", [False, True])
def test_rows_and_what_is_due_survive_a_checkpoint(wrapped):
    def made():
        return ExperienceWrapper(replay(0.75)) if wrapped else replay(0.75)

    first, second = made(), made()
    for n in range(3):
        first.put(fragment(5, first=5 * n))
        list(first.batches())
    first.end_episodes()
    described = json.loads(json.dumps(first.describe()))
    rows = first.rows
    pieces = [(0, first.read_rows(0, 7)), (7, first.read_rows(7, rows.stop))]
    second.restore(described, iter(pieces))
    assert rows == second.rows == range(15) and second.ready(0) and second.variables == ["x"] and second.window == 2
    for _ in range(4):
        drawn = []
        for one in (first, second):
            one.put(fragment(5, first=90))
            torch.manual_seed(1)
            drawn.append([batch["x"].tolist() for batch in one.batches()])
        assert drawn[0] == drawn[1]


def test_nothing_was_due_in_checkpoints_that_do_not_say_so():
    first, second = replay(), replay(0.5)
    first.put(fragment(5))
    described = {name: value for name, value in first.describe().items() if name != "owed"}
    second.restore(described, [(0, first.read_rows(0, 5))])
    assert len(list(second.batches())) == 0 and len(list(second.batches())) == 1


def test_no_window_crosses_the_end_of_episodes_that_were_cut_off():
    experience = replay(per_fragment=50)
    experience.put(fragment(3))
    experience.end_episodes()
    experience.put(fragment(3, first=50))
    assert {tuple(pair) for batch in experience.batches() for pair in batch["x"].T.tolist()} == {
        (0, 1), (1, 2), (50, 51), (51, 52),
    }  # fmt: skip


def limited(per_fragment=1.0, **options):
    given = {"block": 5, "batch": 4, "capacity": 100, "min_size": 10, "samples_per_insert": 0.8 * per_fragment}
    return replay(per_fragment, limiter=BlockLimiter.for_collectors(2, **given | options))


def put_limited(experience, n_steps, first=0):
    experience.limiter.order()
    experience.limiter.arrive(n_steps)
    experience.put(fragment(n_steps, first))


def test_a_limiter_says_when_batches_are_drawn():
    experience = limited(min_size=8)
    drawn = []
    for _ in range(6):
        put_limited(experience, 5)
        drawn.append(len(list(experience.batches())))
    # Of one of four items, the first may be drawn at eight transitions; then 0.8 items for each transition.
    assert drawn == [0, 1, 1, 1, 1, 1] and experience.limiter.limiter.samples == 20
    assert not experience.ready(10**6)


def test_what_has_come_is_put_before_much_more_is_drawn():
    experience = limited(per_fragment=2.5)
    for _ in range(10):
        put_limited(experience, 5)
    drawn = [len(list(experience.batches())) for _ in range(12)]
    assert drawn == [3] * 7 + [0] * 5 and experience.limiter.limiter.samples == 7 * 3 * 4


def test_a_batch_that_nobody_has_learned_from_is_not_counted():
    experience = limited()
    for _ in range(4):
        put_limited(experience, 5)
    batches = experience.batches()
    next(batches)
    batches.close()
    assert experience.limiter.limiter.samples == 0


def test_nothing_is_ready_without_a_window_and_more_may_be_ordered():
    experience = replay(window=9, limiter=limited(min_size=1).limiter)
    put_limited(experience, 5)
    assert not experience.ready(5) and experience.limiter.may_order()
    put_limited(experience, 5)
    assert experience.ready(10)


def test_the_limiters_counters_are_in_the_description():
    one, other = limited(), limited()
    for _ in range(4):
        put_limited(one, 5)
    list(one.batches())
    other.restore(json.loads(json.dumps(one.describe())), [(0, one.read_rows(0, 20))])
    assert other.limiter.status() == one.limiter.status() and other.ready(20) == one.ready(20)
    before = replay()
    before.put(fragment(20))
    other.restore(before.describe(), [(0, before.read_rows(0, 20))])  # of a run in lockstep
    assert (other.limiter.limiter.inserts, other.limiter.limiter.samples) == (19, 7)


def test_what_goes_around_it_has_its_limiter():
    experience = limited()
    assert ExperienceWrapper(experience).limiter is experience.limiter
