"""Windows drawn by priorities: by hand, against plain lists, and back from what checkpoints keep."""

import copy
import json

import numpy as np
import pytest
import torch
from scipy import stats

from workspace_rl import ReplayBuffer, Workspace
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.replay_buffer import Priorities
from workspace_rl.experience.replay_buffer.drawing.priority_sums import PrioritySums


def frames(numbers, done=()):
    """Frames `[T, 1]`, each with its number."""
    workspace = Workspace()
    workspace.set_full("number", torch.tensor(numbers).view(-1, 1))
    workspace.set_full("env/done", torch.tensor([number in done for number in numbers]).view(-1, 1))
    return workspace


def priorities_of(buffer):
    """The priority of each window that may be drawn, by the number of its first frame."""
    drawn, sums = buffer.prioritized, buffer.prioritized._follow(2).numbers
    numbers = buffer._ring.storage["number"]
    assert drawn is not None
    return {int(numbers[place]): float(sums[place]) for place in sums.nonzero()[0]}


def give(buffer, errors):
    """Give windows errors, by the number of their first frame, as if these had been drawn."""
    numbers = buffer._ring.storage["number"].tolist()
    buffer.sample(1)
    drawn = buffer.prioritized
    drawn._drawn = np.array([numbers.index(number) for number in errors])
    drawn.learned(torch.tensor(list(errors.values())))


def test_priorities_and_weights_by_hand_after_three_updates():
    """alpha 1/2, epsilon 0: p = sqrt|error|. Five windows begin with 1 by all; 3 ends an episode, 7 is the newest."""
    torch.manual_seed(0)
    buffer = ReplayBuffer(10, ["number"], priorities=Priorities(0.5, 1e-30))
    buffer.put(frames([1, 2, 3, 4, 5, 6, 7], done=[3]))
    assert priorities_of(buffer) == {1: 1.0, 2: 1.0, 4: 1.0, 5: 1.0, 6: 1.0}
    give(buffer, {1: 4.0, 2: -9.0})
    assert priorities_of(buffer) == {1: 2.0, 2: 3.0, 4: 1.0, 5: 1.0, 6: 1.0}
    give(buffer, {2: 0.25, 4: 0.0625})
    assert priorities_of(buffer) == {1: 2.0, 2: 0.5, 4: 0.25, 5: 1.0, 6: 1.0}
    # 7 begins a window now: with the greatest priority that there ever was, 3.
    buffer.put(frames([8]))
    give(buffer, {6: 16.0, 1: 1.0})
    assert priorities_of(buffer) == {1: 1.0, 2: 0.5, 4: 0.25, 5: 1.0, 6: 4.0, 7: 3.0}
    # The sum is 9.75, and N = 6. With beta = 1/2 the weight of a window is (6 p / 9.75)^-1/2, by the greatest drawn.
    buffer.prioritized.importance_exponent = 0.5
    batch = buffer.sample(64)
    expected = {1: 0.5, 2: 0.5**0.5, 4: 1.0, 5: 0.5, 6: 0.25, 7: (1 / 12) ** 0.5}
    assert {*batch["number"][0].tolist()} == {*expected}
    assert batch["weight"].shape == (2, 64) and batch["weight"][0].equal(batch["weight"][1])
    for number, weight in zip(batch["number"][0].tolist(), batch["weight"][0].tolist(), strict=True):
        assert weight == pytest.approx(expected[number], rel=1e-6)


def test_of_a_window_drawn_twice_the_greater_error_counts():
    buffer = ReplayBuffer(10, ["number"], priorities=Priorities(1.0, 1e-30))
    buffer.put(frames([1, 2]))
    buffer.sample(3)
    buffer.prioritized.learned(torch.tensor([2.0, -5.0, 3.0]))
    assert priorities_of(buffer) == {1: 5.0}


def test_draws_agree_with_a_plain_list():
    """Chi-square of single draws, each its own stratum, over a ring that has wrapped around."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    buffer = ReplayBuffer(600, ["number"], priorities=Priorities(0.7, 0.01))
    buffer.put(frames(list(range(1000)), done=[17 * n for n in range(100)]))
    errors = {n: float(rng.exponential()) for n in range(399, 999) if n % 17}
    give(buffer, errors)
    plain = {n: (error + 0.01) ** 0.7 for n, error in errors.items()}
    assert priorities_of(buffer) == pytest.approx(plain, rel=1e-6)
    numbers = torch.cat([buffer.sample(1)["number"][0] for _ in range(4000)])
    numbers = torch.cat([numbers, *(buffer.sample(2)["number"][0] for _ in range(2000))])
    drawn, total = np.bincount(numbers.numpy(), minlength=1000), sum(plain.values())
    # Tens of windows together, so that each cell expects some.
    cells = [sorted(plain)[n::60] for n in range(60)]
    counts = [sum(int(drawn[n]) for n in cell) for cell in cells]
    expected = [len(numbers) * sum(plain[n] for n in cell) / total for cell in cells]
    assert sum(counts) == len(numbers)
    assert stats.chisquare(counts, expected).pvalue > 1e-3


def test_strata_hold_the_shares_of_a_batch():
    """A window with half of the whole sum is half of each batch, give or take the strata at its edges."""
    torch.manual_seed(0)
    buffer = ReplayBuffer(100, ["number"], priorities=Priorities(1.0, 1e-30))
    buffer.put(frames(list(range(101))))
    give(buffer, {n: 99.0 if n == 40 else 1.0 for n in range(100)})
    for _ in range(50):
        assert 31 <= int((buffer.sample(64)["number"][0] == 40).sum()) <= 33


@pytest.mark.parametrize("n_places", [1, 63, 64, 65, 5000])
def test_places_without_a_number_are_never_drawn(n_places):
    torch.manual_seed(n_places)
    rng = np.random.default_rng(n_places)
    for scale in (1e-15, 1.0, 1e15):
        sums = PrioritySums(n_places)
        some = rng.permutation(n_places)[: max(1, n_places // 50)]
        sums.put(some, (rng.random(len(some)) + 1e-3) * np.logspace(-10, 0, len(some)) * scale)
        drawn = np.concatenate([sums.draw(300) for _ in range(20)])
        assert {*drawn.tolist()} <= {*some.tolist()}
        assert (sums.numbers[some] > 0).all()


def test_errors_of_other_windows_than_those_drawn_are_refused():
    buffer = ReplayBuffer(10, ["number"], priorities=Priorities())
    with pytest.raises(ReplayBufferError, match=r"drawn last expected, \[0\], \[0\] found"):
        buffer.prioritized.learned(torch.zeros(0))
    buffer.put(frames([1, 2, 3]))
    with pytest.raises(ReplayBufferError, match="no window of 5 frames can be sampled"):
        buffer.sample(1, 5)
    buffer.sample(4)
    with pytest.raises(ReplayBufferError, match=r"drawn last expected, \[4\], \[3\] found"):
        buffer.prioritized.learned(torch.zeros(3))


def test_errors_of_windows_that_were_written_over_count_for_nothing():
    torch.manual_seed(0)
    buffer = ReplayBuffer(4, ["number"], priorities=Priorities(1.0, 1e-30))
    buffer.put(frames([1, 2, 3, 4, 5]))
    numbers = buffer.sample(16)["number"][0]
    assert {*numbers.tolist()} == {1, 2, 3, 4}
    buffer.put(frames([6, 7]))
    buffer.prioritized.learned(numbers * 10.0)
    assert priorities_of(buffer) == {3: 30.0, 4: 40.0, 5: 40.0, 6: 40.0}


@pytest.mark.parametrize("capacity", [8, 5, 20])
def test_what_checkpoints_keep_draws_the_same(capacity):
    """The priorities of all rows are kept anew: those of old rows change, too. Another buffer may have another size."""

    def restored():
        twin = ReplayBuffer(capacity, ["number"], priorities=Priorities(1.0, 1e-30))
        rows, description = buffer.rows, buffer.describe()
        plain = {name: one for name, one in description.items() if not isinstance(one, torch.Tensor)}
        twin.restore(
            {**json.loads(json.dumps(plain)), "priorities": description["priorities"].clone()},
            [(rows.start, buffer.read_rows(rows.start, rows.stop))],
        )
        return twin

    buffer = ReplayBuffer(8, ["number"], priorities=Priorities(1.0, 1e-30))
    buffer.put(frames(list(range(12)), done=[6]))
    give(buffer, {4: 0.1, 5: 7.0, 9: 0.3})
    before = priorities_of(buffer)
    twin = restored()
    kept = max(3, 12 - capacity - 1)
    assert priorities_of(twin) == {number: one for number, one in before.items() if number >= kept}
    for one in (buffer, twin):
        one.put(frames([12, 13]))
        assert priorities_of(one)[12] == 7.0
    if capacity == 8:
        torch.manual_seed(1)
        expected = buffer.sample(50)
        torch.manual_seed(1)
        found = twin.sample(50)
        assert all(expected[name].equal(found[name]) for name in ("number", "weight"))


def test_priorities_that_do_not_fit_are_refused():
    buffer = ReplayBuffer(8, ["number"], priorities=Priorities())
    buffer.put(frames([1, 2, 3]))
    pieces = [(0, buffer.read_rows(0, 3))]
    for wrong in (torch.ones(2, 1), torch.ones(3, 2), torch.ones(3, 1).double()):
        with pytest.raises(ReplayBufferError, match=r"saved priorities do not fit: \[3, 1\] of torch.float32 expected"):
            ReplayBuffer(8, ["number"], priorities=Priorities()).restore(
                {**buffer.describe(), "priorities": wrong}, pieces
            )


def test_a_copy_draws_and_learns_by_itself():
    buffer = ReplayBuffer(100, ["number"], priorities=Priorities(exponent=1.0))
    buffer.put(frames(list(range(10))))
    give(buffer, {4: 100.0})
    copied = copy.deepcopy(buffer)
    give(buffer, {4: 0.0})
    assert float(copied.sample(300)["number"][0].eq(4).float().mean()) > 0.9
    give(copied, {4: 0.0, 7: 100.0})
    assert float(copied.sample(300)["number"][0].eq(7).float().mean()) > 0.9
    assert not buffer.sample(300)["number"][0].eq(4).any()
