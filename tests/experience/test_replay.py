"""Experience of off-policy algorithms by itself: when it is ready, and how many batches are due."""

import json

import pytest
import torch

from workspace_rl import ReplayBuffer, Workspace
from workspace_rl.errors import ReplayBufferError, UnknownVariableError
from workspace_rl.experience import BlockLimiter, ExperienceWrapper, Fragment, Replay


def fragment(n_steps, first=0, **origin):
    frames = Workspace()
    frames.set_full("x", torch.arange(first, first + n_steps).float().unsqueeze(1))
    frames.set_full("env/done", torch.zeros(n_steps, 1, dtype=torch.bool))
    return Fragment(frames, n_transitions=n_steps, **origin)


def replay(per_fragment=1.0, buffer=None, **options):
    buffer = ReplayBuffer(100, ["x"]) if buffer is None else buffer
    return Replay(buffer, batch_size=4, updates_per_fragment=per_fragment, **options)


def windows(experience):
    """Return all windows that are drawn."""
    batch = experience.buffer.sample(5000, experience.window)
    return {tuple(window) for window in batch["x"].T.tolist()}


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


def test_fragments_of_several_collectors_are_never_joined_to_each_other():
    experience = replay()
    for number in range(3):
        for collector in (0, 7):
            experience.put(fragment(2, 100 * collector + 2 * number, collector=collector, number=number))
    assert windows(experience) == {(n + k, n + k + 1) for n in (0, 700) for k in range(5)}


def test_a_fragment_that_comes_twice_is_put_once():
    experience = replay()
    with pytest.warns(UserWarning, match="fragment 1 of collector 0 is dropped: it has come before.*its own number"):
        for number in (0, 1, 1, 0, 2, 2):
            experience.put(fragment(2, 2 * number, number=number))
    experience.put(fragment(2, 500, number=0, collector=1))  # another collector's
    assert experience.rows == range(8)
    assert windows(experience) == {(k, k + 1) for k in range(5)} | {(500, 501)}


def test_a_collector_may_take_the_place_of_another_one():
    experience = replay()
    for first in (0, 100):
        for number in range(2):
            experience.put(fragment(2, first + 2 * number, number=number, begins_anew=number == 0))
    assert windows(experience) == {(first + k, first + k + 1) for first in (0, 100) for k in range(3)}


def test_after_a_fragment_that_was_lost_nothing_is_joined():
    experience = replay()
    with pytest.warns(UserWarning, match="fragment 6 of collector 0 is dropped"):
        for number in (4, 5, 7, 6, 8):  # 7 before 6, which comes too late
            experience.put(fragment(2, 2 * number, number=number))
    assert windows(experience) == {(8, 9), (9, 10), (10, 11), (14, 15), (15, 16), (16, 17)}


def test_a_lost_fragment_of_one_collector_is_nothing_to_another_one():
    experience = replay()
    for number, collector in ((0, 0), (0, 1), (2, 0), (1, 1), (3, 0)):
        experience.put(fragment(2, 100 * collector + 2 * number, number=number, collector=collector))
    assert windows(experience) == {(0, 1), (4, 5), (5, 6), (6, 7), (100, 101), (101, 102), (102, 103)}


def test_what_begins_anew_follows_nothing():
    experience = replay()
    for number, begins_anew in enumerate((True, False, True, False)):
        for collector in (0, 1):
            first = 100 * collector + 2 * number
            experience.put(fragment(2, first, number=number, collector=collector, begins_anew=begins_anew))
    pairs = {(0, 1), (1, 2), (2, 3), (4, 5), (5, 6), (6, 7)}
    assert windows(experience) == pairs | {(100 + a, 100 + b) for a, b in pairs}


def test_fragments_that_nobody_has_numbered_are_taken_as_they_come():
    experience = replay()
    for first in (0, 2, 2):
        experience.put(fragment(2, first))
    assert experience.rows == range(6) and (3, 2) in windows(experience)


def test_a_fragment_that_is_refused_may_come_again():
    experience = replay()
    experience.put(fragment(2, number=0))
    with pytest.raises(ReplayBufferError):
        experience.put(Fragment(Workspace(), number=1))
    experience.put(fragment(2, 2, number=1))
    assert windows(experience) == {(0, 1), (1, 2), (2, 3)}


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_age_of_weights_is_that_of_the_first_frames_at_each_update(wrapped):
    experience = replay(3, ReplayBuffer(100, ["x"], keeps_versions=True, longest_window=3), window=3)
    asked = ExperienceWrapper(experience) if wrapped else experience
    torch.manual_seed(0)
    made_by, n_updates, ages = {}, 0, []
    for number in range(5):
        for collector in (0, 1):
            first, version = 100 * collector + 4 * number, max(0, n_updates - 2 * collector)
            made_by |= dict.fromkeys(range(first, first + 4), version)
            experience.put(fragment(4, first, collector=collector, number=number, version=version))
        for batch in asked.batches():
            ages.append([n_updates - made_by[int(x)] for x in batch["x"][0]])
            n_updates += 1
            assert "weights_version" not in batch
        if number % 2:
            flat = [age for batch in ages for age in batch]
            mean = pytest.approx(sum(flat) / len(flat))
            assert asked.metrics(n_updates) == {"weights_age/mean": mean, "weights_age/max": max(flat)}
            assert asked.metrics(n_updates) == {}
            assert asked.distributions(n_updates)["weights_age"].tolist() == ages[-1]
            ages = []


def test_ages_are_summed_up_over_many_batches():
    experience = replay(1500, ReplayBuffer(100, ["x"], keeps_versions=True))
    experience.put(fragment(3, version=5))
    for _ in experience.batches():
        pass
    assert experience.metrics(2000) == {"weights_age/mean": (495 + 1994) / 2, "weights_age/max": 1994}


def test_versions_survive_a_checkpoint_and_are_unknown_after_one_that_lacks_them():
    def made(keeps_versions):
        buffer = ReplayBuffer(100, ["x"], keeps_versions=keeps_versions)
        return replay(1, buffer)

    first, second, without, later = made(True), made(True), made(False), made(True)
    first.put(fragment(5, version=3))
    first.end_episodes()
    for one, other in ((first, second), (first, without), (without, later)):
        other.restore(one.describe(), [(0, one.read_rows(0, 5))])
        list(other.batches())
    assert second.metrics(10) == {"weights_age/mean": 6, "weights_age/max": 6}
    assert without.metrics(10) == {} == without.distributions(10)
    assert later.metrics(10) == {} and not len(later.distributions(10)["weights_age"])
    later.put(fragment(5, 100, version=8))
    for _ in range(20):
        list(later.batches())
    known = later.distributions(30)["weights_age"]
    assert 0 < len(known) < 4 and known.tolist() == [21] * len(known)
    assert later.metrics(30)["weights_age/max"] == 21


def test_windows_longer_than_the_ring_was_told_of_are_refused_at_once():
    with pytest.raises(ReplayBufferError, match=r"windows of 4 frames .* of 2 sources.*longest_window=4"):
        replay(buffer=ReplayBuffer(100, ["x"], longest_window=3, n_sources=2), window=4)
    replay(buffer=ReplayBuffer(100, ["x"], longest_window=4, n_sources=2), window=4)


def remembering(values, done, state=None, **origin):
    """A fragment of one environment whose policy remembers `values`, and remembered `state` before."""
    frames = Workspace()
    frames.set_full("memory", torch.tensor(values).float().view(-1, 1, 1))
    frames.set_full("x", frames["memory"].squeeze(-1))
    frames.set_full("env/done", torch.tensor(done, dtype=torch.bool).unsqueeze(1))
    before_it = {} if state is None else {"memory": torch.tensor([[float(state)]])}
    return Fragment(frames, n_transitions=len(values), state=before_it, **origin)


def with_memory(window=2, **options):
    buffer = ReplayBuffer(100, ["x", "memory/before"], first_only=["memory/before"], **options)
    return Replay(buffer, batch_size=4, window=window, state_variables=["memory"])


def states_before(experience):
    """Return the state before each frame that begins a window, by its `x`."""
    batch = experience.buffer.sample(1000, experience.window)
    assert batch["memory/before"].shape == (1, 1000, 1) and "memory" not in batch
    return dict(zip(batch["x"][0].tolist(), batch["memory/before"][0, :, 0].tolist(), strict=True))


def test_windows_begin_with_the_state_before_them():
    experience = with_memory(window=3)
    assert experience.variables == ["x", "memory"] and experience.state_variables == ["memory"]
    experience.put(remembering([1, 2, 3, 4], [0, 0, 1, 0], begins_anew=True, number=0))
    experience.put(remembering([5, 6, 7], [0, 0, 0], state=4, number=1))
    # Frame 3 ends an episode, and begins no window; memories are reset at 4 whatever stood before.
    assert states_before(experience) == {1: 0, 2: 1, 4: 3, 5: 4}


def test_states_of_several_collectors_are_kept_apart_and_restored_bit_for_bit():
    def filled():
        experience = with_memory(window=3, longest_window=3, n_sources=2, n_steps=2)
        for number in range(3):
            for collector in (0, 1):
                first = 100 * collector + 2 * number + 1
                state = first - 1 if number else None
                fragment = remembering(
                    [first, first + 1], [0, 0], state, collector=collector, number=number, begins_anew=not number
                )
                experience.put(fragment)
        return experience

    experience, again = filled(), with_memory(window=3, longest_window=3, n_sources=2, n_steps=2)
    expected = {1: 0, 2: 1, 3: 2, 4: 3, 101: 0, 102: 101, 103: 102, 104: 103}
    assert states_before(experience) == expected
    experience.end_episodes()
    description, rows = json.loads(json.dumps(experience.describe())), experience.rows
    again.restore(description, [(rows.start, experience.read_rows(rows.start, rows.stop))])
    for one in (experience, again):
        torch.manual_seed(3)
        one.batch = one.buffer.sample(50, 3)
    assert all(torch.equal(experience.batch[name], again.batch[name]) for name in ("x", "memory/before", "env/done"))


def test_an_example_of_a_batch_holds_no_states_but_those_before():
    frames = remembering([1, 2], [0, 0])
    frames.set_full("memory/before", torch.zeros(1, 1, 1))
    assert set(with_memory().as_batch(frames)) == {"x", "env/done", "memory/before"}


@pytest.mark.parametrize(("name", "told"), [("memory", "before"), ("state", "of")])
def test_a_fragment_that_does_not_tell_its_states_is_refused(name, told):
    fragment = remembering([1, 2], [0, 0], state=None if name == "memory" else 3.0)
    if name == "state":
        fragment.variables.pop("memory")
    with pytest.raises(UnknownVariableError, match=f"does not tell the state 'memory' {told} its frames"):
        with_memory().put(fragment)
