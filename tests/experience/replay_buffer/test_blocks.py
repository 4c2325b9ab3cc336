"""One ring of several sources holds what one endless ring for each source would: the same windows, each once."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.robustness.replay_model import Environments, to_workspace
from workspace_rl import ReplayBuffer, Workspace
from workspace_rl.errors import ReplayBufferError

VARIABLES = ["number", "env/reward", "env/terminated"]
#: Frames of different sources have numbers that are so far apart.
APART = 100_000
#: No stacks, stacks of three that are filled by zeros, and by copies.
STACKS = [(0, False), (3, True), (3, False)]


def made(capacity, stack_size, **options):
    stacked = {"picture": stack_size} if stack_size else {}
    return ReplayBuffer(capacity, [*VARIABLES, *stacked], stacked=stacked, **options)


def sources_of(n, n_envs, stack_size, zeros):
    return [Environments(n_envs, stack_size, zeros, APART * k) for k in range(n)]


def frames_of(source, n_steps, rng, done=0.1):
    endings = rng.choice(4, p=[1 - done, done / 2, done / 4, done / 4], size=(n_steps, source.batch_size))
    return to_workspace(source.rows(endings.tolist()), source.batch_size, source.stack_size)


def all_windows(buffer, window):
    """Return by the number of its first frame what each window holds, `[window, ...]`, of many that are drawn."""
    n = buffer.n_windows(window)
    if not n:
        return {}
    # So many draws that less than once in a billion one is missing.
    batch = buffer.sample(math.ceil(n * (math.log(n) + 21)), window)
    first, index = np.unique(batch["number"][0].numpy(), return_index=True)
    return {int(k): {name: batch[name][:, i] for name in batch} for k, i in zip(first, index, strict=True)}


def assert_same(one, other, cuts=()):
    """Hold windows against each other; where episodes of a source were cut off, what comes after does not count."""
    assert one.keys() == other.keys()
    for number, window in one.items():
        length = len(window["number"])
        cut = [k for k, frame in enumerate(other[number]["number"].tolist()) if frame in cuts]
        stop = cut[0] + 1 if cut else length
        for name, value in window.items():
            # That a window's last frame was cut off later says nothing of the window.
            n = stop - 1 if name == "env/done" and cut and stop == length else stop
            assert torch.equal(value[:n], other[number][name][:n]), (number, name)


@pytest.mark.parametrize("stack_size, zeros", STACKS)
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("n_steps", [1, 4, 16])
@pytest.mark.parametrize("window", [2, 4, 6, "3 fragments"])
def test_windows_are_those_of_one_endless_ring_for_each_source(window, n_steps, n_envs, stack_size, zeros):
    torch.manual_seed(0)
    rng = np.random.default_rng(window if window in (2, 4, 6) else 1)
    window = 3 * n_steps if window == "3 fragments" else window
    window = max(2, window)
    sources = sources_of(3, n_envs, stack_size, zeros)
    ring = made(10_000, stack_size, longest_window=window)
    endless = [made(10_000, stack_size) for _ in sources]
    for _ in range(48 // n_steps + 12):
        k = rng.choice(3, p=[0.6, 0.3, 0.1])  # of different speeds
        frames = frames_of(sources[k], n_steps, rng)
        ring.put(frames, source=k)
        endless[k].put(frames)
    assert ring.n_windows(window) == sum(one.n_windows(window) for one in endless) > 0
    assert_same(all_windows(ring, window), {n: w for one in endless for n, w in all_windows(one, window).items()})


@pytest.mark.parametrize("stack_size, zeros", STACKS)
@pytest.mark.parametrize("window", [2, 5, 12])
@pytest.mark.parametrize("seed", range(3))
def test_windows_up_to_a_cut_are_those_of_rings_that_are_cut(seed, window, stack_size, zeros):
    torch.manual_seed(0)
    rng = np.random.default_rng(seed)
    sources = sources_of(3, 2, stack_size, zeros)
    ring = made(10_000, stack_size, longest_window=window)
    endless, last, cuts = [made(10_000, stack_size) for _ in sources], {}, set()
    for turn in range(60):
        k = int(rng.integers(3))
        if turn > 30 and turn % 10 == 5:  # in several ways
            one, how = int(rng.integers(3)), rng.integers(3)
            gone = range(3) if how == 0 else [one]
            if how == 2:
                k = one
            else:
                ring.end_episodes(None if how == 0 else one)
            for each in gone:
                cuts |= set(last.get(each, ()))
                if how != 2:
                    endless[each].end_episodes()
            continues = how != 2
        else:
            continues = True
        frames = frames_of(sources[k], int(rng.integers(1, 6)), rng)
        ring.put(frames, source=k, continues=continues)
        endless[k].put(frames, continues=continues)
        last[k] = frames["number"][-1].tolist()
    for k, source in enumerate(sources):  # so that there is something after all cuts
        frames = frames_of(source, window, rng)
        ring.put(frames, source=k)
        endless[k].put(frames)
    assert ring.n_windows(window) == sum(one.n_windows(window) for one in endless)
    expected = {n: w for one in endless for n, w in all_windows(one, window).items()}
    assert_same(all_windows(ring, window), expected, cuts)


@pytest.mark.parametrize("stack_size", [0, 4])
@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize("window, n_steps", [(2, 1), (2, 8), (6, 1), (6, 8), (30, 10)])
def test_a_ring_that_is_told_of_its_sources_holds_as_many_transitions_as_it_should(window, n_steps, n_envs, stack_size):
    """The newest `capacity` transitions: worse than by turns, which begins a block each time, it cannot come."""
    rng, capacity, n_sources = np.random.default_rng(0), 200, 5
    told = {"longest_window": window, "n_sources": n_sources, "n_steps": n_steps}
    ring, sources = made(capacity, stack_size, **told), sources_of(n_sources, n_envs, stack_size, True)
    put, endless = [], [made(10_000, stack_size) for _ in sources]
    for turn in range(3 * capacity // (n_envs * n_steps) + 20):
        k = turn % n_sources
        frames = frames_of(sources[k], n_steps + turn % 2, rng, done=0.02)
        ring.put(frames, source=k)
        endless[k].put(frames)
        put += frames["number"].tolist()
        newest = {number for row in put[-(capacity // n_envs + 1) :] for number in row}
        if turn % 40 == 39:
            held = {n for n in all_windows(ring, window)}
            expected = {n for one in endless for n in all_windows(one, window)}
            assert held <= expected and held >= expected & newest
            # What is repeated is outside of that, and there is not much more.
            assert len(held) <= 1.5 * (capacity + n_envs * (2 * n_steps + 2))
    ring.end_episodes()  # a closing block of each
    held, expected = (set(all_windows(ring, 2)), {n for one in endless for n in all_windows(one, window)})
    assert held >= expected & newest


def test_without_being_told_a_ring_has_the_rows_of_one_source():
    rng, (source,) = np.random.default_rng(0), sources_of(1, 2, 0, False)
    for told in ({}, {"longest_window": 9, "n_steps": 4}):
        ring = made(20, 0, **told)
        for _ in range(9):
            ring.put(frames_of(source, 4, rng))
        assert len(ring.rows) == 11


def test_a_fragment_that_is_longer_than_the_ring_leaves_its_last_frames():
    rng, sources = np.random.default_rng(0), sources_of(2, 1, 0, False)
    ring = made(5, 0, longest_window=3, n_sources=2, n_steps=50)
    for k in (0, 1, 0, 1):
        frames = frames_of(sources[k], 100, rng, done=0)
        ring.put(frames, source=k)
        held = sorted(all_windows(ring, 3))
        assert len(held) == len(ring.rows) - 2
        assert held == frames["number"][-len(ring.rows) : -2, 0].tolist()


def test_a_source_that_has_stopped_for_long_goes_on_where_it_was():
    rng, sources = np.random.default_rng(0), sources_of(2, 1, 3, True)
    ring, alone = made(20, 3, longest_window=4), made(20, 3)
    first, second = (frames_of(sources[0], 10, rng) for _ in range(2))
    for one in (first, second):
        alone.put(one)
    ring.put(first, source=0)
    for _ in range(30):
        ring.put(frames_of(sources[1], 5, rng), source=1)
    assert not [n for n in all_windows(ring, 4) if n < APART]
    ring.put(second, source=0)
    held = {n: w for n, w in all_windows(ring, 4).items() if n < APART}
    expected = {n: w for n, w in all_windows(alone, 4).items() if n > 7}
    assert len(held) > 5
    assert_same(held, expected)


def test_hundreds_of_sources_one_frame_at_a_time():
    rng, n = np.random.default_rng(0), 300
    sources = sources_of(n, 1, 0, False)
    ring = made(10_000, 0, longest_window=3, n_sources=n)
    endless = [made(100, 0) for _ in sources]
    for _ in range(5):
        for k in rng.permutation(n):
            frames = frames_of(sources[k], 1, rng)
            ring.put(frames, source=int(k))
            endless[k].put(frames)
    assert ring.n_windows(3) == sum(one.n_windows(3) for one in endless) > 2 * n
    assert_same(all_windows(ring, 3), {n: w for one in endless for n, w in all_windows(one, 3).items()})


@pytest.mark.parametrize("stack_size", [0, 3])
@pytest.mark.parametrize("window", [2, 4])
def test_each_window_of_a_ring_that_has_wrapped_around_is_as_likely_as_any_other(window, stack_size):
    torch.manual_seed(0)
    rng, sources = np.random.default_rng(0), sources_of(3, 2, stack_size, True)
    ring = made(60, stack_size, longest_window=4, n_sources=3)
    for turn in range(60):
        k = int(rng.integers(3))
        if turn % 17 == 16:
            ring.end_episodes(k if turn % 2 else None)
        ring.put(frames_of(sources[k], int(rng.integers(1, 4)), rng, done=0.2), source=k)
    n = ring.n_windows(window)
    assert n > 20
    counts = np.unique(ring.sample(500 * n, window)["number"][0].numpy(), return_counts=True)[1]
    assert len(counts) == n and stats.chisquare(counts).pvalue > 1e-3


def test_where_shorter_windows_than_the_longest_begin():
    """The last frames of a source wait for those that follow, for as many as the longest window needs."""
    (source, other), rng = sources_of(2, 1, 0, False), np.random.default_rng(0)
    ring = made(100, 0, longest_window=4)
    ring.put(frames_of(source, 6, rng, done=0), source=0)
    assert sorted(all_windows(ring, 2)) == [1, 2, 3, 4, 5]
    ring.put(frames_of(other, 2, rng, done=0), source=1)
    assert sorted(all_windows(ring, 2)) == [1, 2, 3, APART + 1]
    ring.put(frames_of(source, 1, rng, done=0), source=0)
    assert sorted(all_windows(ring, 2)) == [1, 2, 3, 4, 5, 6]
    ring.end_episodes()
    assert sorted(all_windows(ring, 2)) == [1, 2, 3, 4, 5, 6, APART + 1]


def test_longer_windows_than_it_was_told_of_are_refused_where_there_are_several_sources():
    (source, other), rng = sources_of(2, 1, 0, False), np.random.default_rng(0)
    ring = made(100, 0, longest_window=3)
    ring.put(frames_of(source, 9, rng), source=5)
    assert ring.sample(2, 4)["number"].shape == (4, 2)
    ring.put(frames_of(other, 9, rng), source=1)
    for ask in (ring.n_windows, lambda window: ring.sample(2, window)):
        with pytest.raises(ReplayBufferError, match=r"of 4 frames .*several sources.*of 3 at most.*longest_window=4"):
            ask(4)
    assert ring.sample(2, 3)["number"].shape == (3, 2)
    ring.end_episodes()
    twin = made(100, 0, longest_window=4)  # whose own blocks would do
    twin.restore(ring.describe(), [(0, ring.read_rows(0, ring.rows.stop))])
    for source in (1, 5):
        twin.put(frames_of(other, 9, rng), source=source)
        assert twin.n_windows(3) > 20
        with pytest.raises(ReplayBufferError, match="several sources"):
            twin.sample(2, 4)
    with pytest.raises(ReplayBufferError, match="longest_window: at least 2 expected"):
        made(100, 0, longest_window=1)


def test_frames_that_are_refused_leave_all_sources_as_they_were():
    (source, other), rng = sources_of(2, 1, 0, False), np.random.default_rng(0)
    ring = made(100, 0, longest_window=3)
    ring.put(frames_of(source, 3, rng, done=0), source=0)
    ring.put(frames_of(other, 3, rng, done=0), source=1)
    before = ring.rows
    with pytest.raises(ReplayBufferError, match="lack variable"):
        ring.put(Workspace(), source=0)
    assert ring.rows == before
    ring.put(frames_of(source, 1, rng, done=0), source=0)
    assert sorted(all_windows(ring, 3)) == [1, 2, APART + 1]


@pytest.mark.parametrize("stack_size, zeros", STACKS)
def test_a_ring_that_is_restored_in_the_middle_goes_on_with_the_source_of_the_last_put(stack_size, zeros):
    rng, sources = np.random.default_rng(0), sources_of(2, 1, stack_size, zeros)
    ring, alone = made(100, stack_size, longest_window=6), made(100, stack_size)
    for n_steps, k in ((5, 0), (3, 1), (3, 0)):  # the last block is shorter than what its source's next one repeats
        frames = frames_of(sources[k], n_steps, rng, done=0)
        ring.put(frames, source=k)
        if k == 0:
            alone.put(frames)
    ring.end_episodes(0)
    alone.end_episodes()
    twin = made(100, stack_size, longest_window=6)
    for k, n_steps in ((0, 3), (1, 2), (0, 7)):
        if n_steps == 2:
            twin.restore(ring.describe(), [(0, ring.read_rows(0, ring.rows.stop))])
            ring = twin
        frames = frames_of(sources[k], n_steps, rng, done=0)
        ring.put(frames, source=k)
        if k == 0:
            alone.put(frames)
    held = {n: w for n, w in all_windows(ring, 6).items() if n < APART}
    expected = all_windows(alone, 6)
    assert len(held) > 5 and list(held)[-1] == 13
    assert_same(held, expected, cuts={8})


def test_saved_rows_say_where_no_window_begins_only_if_there_have_been_blocks():
    (source, other), rng = sources_of(2, 1, 0, False), np.random.default_rng(0)
    ring = made(100, 0, longest_window=3)
    ring.put(frames_of(source, 5, rng), source=0)
    ring.end_episodes()
    ring.put(frames_of(source, 5, rng), source=0)
    assert set(ring.read_rows(0, 10)) == {*VARIABLES, "env/done"}
    ring.put(frames_of(other, 5, rng), source=1)
    assert set(ring.read_rows(0, 15)) == {*VARIABLES, "env/done", "begin_no_window"}
    assert set(ring.read_rows(10, 15)) == {*VARIABLES, "env/done"}


@pytest.mark.parametrize("begun", [1, 3, 5, 9])
def test_windows_that_go_on_beyond_a_cut_are_told_where_frames_of_others_follow(begun):
    torch.manual_seed(0)
    ring = ReplayBuffer(200, ["source"], longest_window=10)
    for source, n_steps, continues in ((1, 9, True), (0, 7, True), (0, begun, False), (1, 9, True), (0, 9, True)):
        frames = Workspace()
        frames.set_full("source", torch.full((n_steps, 2), source))
        frames.set_full("env/done", torch.zeros(n_steps, 2, dtype=torch.bool))
        ring.put(frames, source=source, continues=continues)
    batch = ring.sample(1000, 10)
    source, done = batch["source"], batch["env/done"]
    assert done[:-1].any(), "no window goes on beyond the cut"
    assert done[:-1][source[1:] != source[:-1]].all()
