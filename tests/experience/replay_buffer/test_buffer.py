import numpy as np
import pytest
import torch
from scipy import stats

from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import GymAgent, ReplayBuffer, Workspace
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.collector import Collector


def frames(numbers, done=None):
    """Frames `[T, B]` of the variable x."""
    numbers = torch.as_tensor(numbers)
    workspace = Workspace()
    workspace.set_full("x", numbers)
    workspace.set_full("env/done", torch.zeros_like(numbers, dtype=torch.bool) if done is None else torch.tensor(done))
    return workspace


class ListModel:
    """The slow truth: a list of all rows ever put."""

    def __init__(self, capacity_steps):
        self.capacity_steps, self.rows, self.cut = capacity_steps, [], set()

    def put(self, numbers, done, continues=True):
        if not continues and self.rows:
            self.rows[-1] = (self.rows[-1][0], [True] * len(self.rows[-1][1]))
        self.rows += list(zip(numbers, done, strict=True))

    def windows(self, window):
        kept = self.rows[-self.capacity_steps :]
        return {
            tuple(kept[t + k][0][b] for k in range(window))
            for t in range(len(kept) - window + 1)
            for b in range(len(kept[0][0]))
            if not kept[t][1][b]
        }


@pytest.mark.parametrize("seed", range(30))
def test_random_programs_agree_with_a_list(seed):
    rng = np.random.default_rng(seed)
    batch, capacity = int(rng.integers(1, 4)), int(rng.integers(1, 25))
    buffer = ReplayBuffer(capacity, ["x"])
    model = ListModel(-(-capacity // batch) + 1)
    number = 0
    for _ in range(int(rng.integers(1, 12))):
        steps = int(rng.integers(1, 15))
        numbers = np.arange(number, number + steps * batch).reshape(steps, batch)
        number += steps * batch
        done = rng.random((steps, batch)) < 0.2
        continues = bool(rng.random() < 0.8)
        buffer.put(frames(numbers, done.tolist()), continues=continues)
        model.put(numbers.tolist(), done.tolist(), continues)
        for window in (2, 4):
            expected = model.windows(window)
            assert buffer.n_windows(window) == len(expected)
            if expected:
                drawn = buffer.sample(64 + 20 * len(expected), window)["x"]
                assert {tuple(row) for row in drawn.T.tolist()} <= expected
                if len(expected) < 12:
                    assert {tuple(row) for row in drawn.T.tolist()} == expected
            else:
                with pytest.raises(ReplayBufferError, match="no window"):
                    buffer.sample(1, window)


def test_a_window_that_can_never_fit_is_told_apart_from_one_that_is_not_there_yet():
    buffer = ReplayBuffer(6, ["x"])
    frames = Workspace()
    frames.set_full("x", torch.zeros(8, 2))
    frames.set_full("env/done", torch.zeros(8, 2, dtype=torch.bool))
    buffer.put(frames)
    with pytest.raises(
        ReplayBufferError, match="no window of 9 frames can ever be sampled.*frames of each environment"
    ):
        buffer.sample(1, 9)


def test_sampling_is_uniform_over_transitions():
    torch.manual_seed(0)
    done = np.zeros((40, 3), dtype=bool)
    done[[5, 6, 20, 39], [0, 1, 2, 0]] = True
    buffer = ReplayBuffer(1000, ["x"])
    buffer.put(frames(np.arange(120).reshape(40, 3), done.tolist()))
    n = buffer.n_windows()
    assert n == 39 * 3 - 3 == len(buffer)
    drawn = buffer.sample(200 * n)["x"][0].numpy()
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == n
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_pair_across_a_reset_is_never_sampled():
    env_agent = GymAgent(lambda: CountingEnv(3), 2)
    buffer = ReplayBuffer(100, ["env/env_obs", "env/reward", "env/terminated", "action"])
    collector = Collector(env_agent, ConstantAgent())
    for _ in range(4):
        buffer.put(collector.collect(5))
    batch = buffer.sample(2000)
    observation, reward = batch["env/env_obs"].squeeze(-1), batch["env/reward"]
    # The reward at t+1 belongs to the pair, step k pays k, and the last observation of an episode is its own.
    assert torch.equal(observation[1], observation[0] + 1) and torch.equal(reward[1], observation[1])
    assert set(observation[0].tolist()) == {0, 1, 2}
    assert torch.equal(batch["env/terminated"][1], observation[1] == 3)
    assert torch.equal(batch["env/done"][1], observation[1] == 3)
    assert collector.n_transitions == len(buffer) == 2 * (15 + 0)


def test_longer_windows_show_where_the_episode_ended():
    buffer = ReplayBuffer(100, ["x"])
    buffer.put(frames([[0], [1], [2], [3], [4]], [[False], [False], [True], [False], [False]]))
    drawn = buffer.sample(500, window=3)
    assert {tuple(row) for row in drawn["x"].T.tolist()} == {(0, 1, 2), (1, 2, 3)}
    assert drawn["env/done"][drawn["x"] == 2].all()


def test_the_ring_wraps_around_and_forgets_the_oldest():
    buffer = ReplayBuffer(4, ["x"])
    for k in range(11):
        buffer.put(frames([[k]]))
        expected = {(j, j + 1) for j in range(max(0, k - 4), k)}
        assert buffer.n_windows() == len(expected)
        if expected:
            assert {tuple(row) for row in buffer.sample(200)["x"].T.tolist()} == expected


def test_more_frames_than_fit_leave_the_last_ones():
    buffer = ReplayBuffer(3, ["x"])
    buffer.put(frames([[1]]))
    buffer.put(frames(np.arange(100).reshape(100, 1)))
    assert set(buffer.sample(200)["x"][0].tolist()) == {96, 97, 98}


def test_batches_may_be_larger_than_what_is_stored():
    buffer = ReplayBuffer(10, ["x"])
    buffer.put(frames([[0], [1]]))
    assert buffer.sample(1000)["x"].shape == (2, 1000)


def test_dtypes_are_kept_and_samples_are_contiguous_copies():
    buffer = ReplayBuffer(10, ["image"])
    workspace = Workspace()
    workspace.set_full("image", torch.randint(0, 255, (5, 2, 3, 3), dtype=torch.uint8))
    workspace.set_full("env/done", torch.zeros(5, 2, dtype=torch.bool))
    buffer.put(workspace)
    image = buffer.sample(4)["image"]
    assert image.dtype == torch.uint8 and image.shape == (2, 4, 3, 3) and image.is_contiguous()
    buffer.sample(4)["image"].fill_(0)
    assert buffer.sample(100)["image"].sum() > 0


def test_untouched_memory_is_not_claimed():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    before = resident()
    buffer = ReplayBuffer(50_000_000, ["x"])
    wide = frames(torch.zeros(2, 1, dtype=torch.float32))
    wide.set_full("x", torch.zeros(2, 1, 17))
    buffer.put(wide)
    assert resident() - before < 50e6  # 3.4 GB are reserved


def test_each_frame_is_stored_once():
    buffer = ReplayBuffer(1000, ["x"])
    buffer.put(frames(torch.zeros(500, 2)))
    stored = sum(value.nbytes for value in buffer._ring.storage.values())
    assert stored / 1000 <= (4 + 1) * 1.01  # one float and one bit (a byte) a frame


def test_equal_seeds_draw_equal_batches():
    buffer = ReplayBuffer(100, ["x"])
    buffer.put(frames(np.arange(50).reshape(50, 1)))
    torch.manual_seed(1)
    first = buffer.sample(32)["x"]
    torch.manual_seed(1)
    assert torch.equal(first, buffer.sample(32)["x"])


def test_what_does_not_fit_is_refused_and_nothing_is_lost():
    buffer = ReplayBuffer(10, ["x"])
    buffer.put(frames([[0], [1]]))
    missing = Workspace()
    missing.set_full("env/done", torch.zeros(1, 1, dtype=torch.bool))
    missing.set_full("xx", torch.zeros(1, 1))
    with pytest.raises(ReplayBufferError, match="lack variable 'x'.*Did you mean 'xx'"):
        buffer.put(missing)
    with pytest.raises(ReplayBufferError, match=r"'x' does not fit the buffer: \[1, 1\] of torch.int64 expected"):
        buffer.put(frames([[1.0]]))
    with pytest.raises(ReplayBufferError, match=r"\[1, 1\].*expected, \[1, 2\]"):
        buffer.put(frames([[1, 2]]))
    fresh, odd = ReplayBuffer(10, ["x"]), frames([[1], [2]])
    odd.set_full("env/done", torch.zeros(2, 1))
    with pytest.raises(ReplayBufferError, match="of torch.bool"):
        fresh.put(odd)
    odd.set_full("env/done", torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ReplayBufferError, match=r"\[2, 3\].*expected, \[2, 1\]"):
        fresh.put(odd)
    fresh.put(frames([[1, 2], [3, 4]]))  # what was refused has left no trace
    assert buffer.n_windows() == 1
    with pytest.raises(ReplayBufferError, match="at least 1"):
        ReplayBuffer(0, ["x"])
    with pytest.raises(ReplayBufferError, match="Lower buffer_size"):
        ReplayBuffer(10**15, ["x"]).put(frames([[0]]))


def test_no_graph_is_stored():
    buffer, workspace = ReplayBuffer(10, ["x"]), frames([[0.0], [1.0]])
    workspace.set_full("x", torch.ones(2, 1, requires_grad=True) * 2)
    buffer.put(workspace)
    assert not buffer.sample(2)["x"].requires_grad
