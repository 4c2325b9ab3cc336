import gymnasium as gym
import numpy as np
import pytest
import torch

from workspace_rl import Agents, GymAgent, ReplayBuffer, TemporalAgent, Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.collector import Collector


class Stacker:
    """The slow truth: environments that number their pictures, stack them in lists, and start anew after `done`."""

    def __init__(self, rng, batch, size, zeros, shape):
        self.rng, self.batch, self.size, self.zeros, self.shape = rng, batch, size, zeros, shape
        self.number = 0
        self.reset()

    def reset(self):
        self.stacks = [None] * self.batch

    def rows(self, n_steps, probability):
        """Return `n_steps` rows of (stacks `[B, size, *shape]`, number of the newest picture `[B]`, done `[B]`)."""
        rows = []
        for _ in range(n_steps):
            numbers = []
            for b in range(self.batch):
                self.number += 1
                picture = np.full(self.shape, self.number)
                if self.stacks[b] is None:
                    filling = np.zeros_like(picture) if self.zeros else picture
                    self.stacks[b] = [filling] * (self.size - 1) + [picture]
                else:
                    self.stacks[b] = [*self.stacks[b][1:], picture]
                numbers.append(self.number)
            done = self.rng.random(self.batch) < probability
            rows.append((np.stack([np.stack(stack) for stack in self.stacks]), np.array(numbers), done))
            self.stacks = [None if done[b] else self.stacks[b] for b in range(self.batch)]
        return rows


def frames(rows):
    workspace = Workspace()
    for name, column in zip(("picture", "number", "env/done"), zip(*rows, strict=True), strict=True):
        workspace.set_full(name, torch.from_numpy(np.stack(column)))
    return workspace


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_agree_with_a_list(seed):
    rng = np.random.default_rng(seed)
    batch, size, capacity = int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 40))
    stacker = Stacker(rng, batch, size, zeros=bool(rng.integers(2)), shape=[(), (2, 3)][rng.integers(2)])
    buffer = ReplayBuffer(capacity, ["picture", "number"], stacked={"picture": size})
    kept_rows = -(-capacity // batch) + 1
    model = []  # all rows ever put: numbers, done
    filling = (np.full(batch, -1), np.ones(batch, dtype=bool))  # holds older pictures of the stacks after it
    known = {}  # the stack of each number
    for _ in range(int(rng.integers(1, 15))):
        continues = bool(rng.random() < 0.8)
        if not continues:
            if model:
                model[-1][1][:] = True
            if rng.random() < 0.5:  # otherwise the episodes go on, unseen by the buffer or not
                stacker.reset()
            elif rng.random() < 0.5:
                stacker.rows(2, 0.2)
        if not model or not continues:
            model += [filling] * (size - 1)
        rows = stacker.rows(int(rng.integers(1, 15)), 0.2)
        buffer.put(frames(rows), continues=continues)
        model += [(numbers, done.copy()) for _, numbers, done in rows]
        known |= {int(n): torch.from_numpy(stacks[b]) for stacks, numbers, _ in rows for b, n in enumerate(numbers)}
        for window in (2, 4):
            beginnings = {
                int(model[t][0][b])
                for t in range(max(0, len(model) - kept_rows), len(model) - window + 1)
                for b in range(batch)
                if not model[t][1][b]
            }
            assert buffer.n_windows(window) == len(beginnings)
            if not beginnings:
                continue
            sample = buffer.sample(300, window)
            assert sample["picture"].shape == (window, 300, size, *stacker.shape)
            assert sample["picture"].is_contiguous()
            assert set(sample["number"][0].tolist()) <= beginnings
            alive = torch.cat((torch.ones_like(sample["env/done"][:1]), ~sample["env/done"][:-1])).cumprod(0).bool()
            for number, stack in zip(sample["number"][alive], sample["picture"][alive], strict=True):
                assert torch.equal(stack, known[int(number)])


@pytest.mark.parametrize("zeros", [True, False])
@pytest.mark.parametrize("batch", [1, 3])
def test_all_transitions_of_the_newest_steps_can_be_drawn(zeros, batch):
    rng = np.random.default_rng(0)
    stacker = Stacker(rng, batch, 4, zeros, ())
    buffer = ReplayBuffer(30, ["picture", "number"], stacked={"picture": 4})
    model = []
    for step in range(50):
        model += stacker.rows(1, 0.1)
        buffer.put(frames(model[-1:]))
        kept = model[-(30 // batch + 1) :]
        expected = {int(n) for _, numbers, done in kept[:-1] for n, d in zip(numbers, done, strict=True) if not d}
        assert len(buffer) == len(expected)
        if step % 10 == 9:
            assert set(buffer.sample(1000)["number"][0].tolist()) == expected


def test_several_variables_with_stacks_of_different_sizes():
    rng = np.random.default_rng(0)
    both, truth = Stacker(rng, 2, 4, True, ()), {}
    buffer = ReplayBuffer(50, ["two", "four", "number"], stacked={"two": 2, "four": 4})
    for _ in range(20):
        workspace = frames(both.rows(7, 0.2))
        workspace.set_full("four", workspace["picture"])
        workspace.set_full("two", workspace["picture"][:, :, 2:])
        truth |= {int(n): stack for n, stack in zip(workspace["number"].flatten(), workspace["four"].flatten(0, 1))}  # noqa: B905
        buffer.put(workspace)
    sample = buffer.sample(200)
    for number, two, four in zip(*(sample[name].flatten(0, 1) for name in ("number", "two", "four")), strict=True):
        assert torch.equal(four, truth[int(number)]) and torch.equal(two, four[2:])


class PictureEnv(gym.Env):
    """Random pictures; terminates now and then."""

    observation_space = gym.spaces.Box(0, 255, (5, 5), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.integers(1, 256, (5, 5), np.uint8), {}

    def step(self, action):
        picture = self.np_random.integers(256, size=(5, 5), dtype=np.uint8)
        return picture, 0.0, bool(self.np_random.random() < 0.15), bool(self.np_random.random() < 0.05), {}


@pytest.mark.parametrize("padding", ["reset", "zero"])
def test_stacks_of_gymnasium_are_rebuilt_bit_for_bit(padding):
    make = lambda: gym.wrappers.FrameStackObservation(PictureEnv(), 4, padding_type=padding)  # noqa: E731
    env_agent = GymAgent(make, 3)
    collector = Collector(env_agent, RandomAgent(env_agent.action_space))
    names = ["env/env_obs", "env/timestep", "env/terminated", "action"]
    single = ReplayBuffer(200, names, stacked={"env/env_obs": 4})
    whole = ReplayBuffer(200, names)
    for _ in range(30):
        workspace = collector.collect(5)
        single.put(workspace)
        whole.put(workspace)
        for window in (2, 4):
            assert single.n_windows(window) == whole.n_windows(window)
            torch.manual_seed(0)
            rebuilt = single.sample(100, window)
            torch.manual_seed(0)
            given = whole.sample(100, window)
            for name in given:
                assert torch.equal(rebuilt[name], given[name])
    assert whole._ring.storage["env/env_obs"].nbytes / single._ring.storage["env/env_obs"].nbytes > 3.8


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_memory_per_transition():
    n_envs, n_steps, length = 8, 25, 6400
    buffer = ReplayBuffer(
        n_envs * length,
        ["env/env_obs", "env/reward", "env/terminated", "action"],
        stacked={"env/env_obs": 4},
    )
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.ones(n_steps, n_envs, 4, 84, 84, dtype=torch.uint8))
    workspace.set_full("env/reward", torch.zeros(n_steps, n_envs))
    workspace.set_full("action", torch.zeros(n_steps, n_envs, dtype=torch.int64))
    for name in ("env/terminated", "env/done"):
        workspace.set_full(name, torch.zeros(n_steps, n_envs, dtype=torch.bool))
    before = resident()
    for _ in range(length // n_steps):
        buffer.put(workspace)
    buffer.sample(32)
    assert len(buffer) == n_envs * (length - 1)
    assert 7056 < (resident() - before) / len(buffer) <= 7300


def test_stacks_that_cannot_be_rebuilt_are_refused():
    rng = np.random.default_rng(0)

    def put(buffer, *rows):
        buffer.put(frames(rows))

    (stacks, numbers, done), (others, more, _) = Stacker(rng, 1, 4, True, ()).rows(2, 0)
    over = np.ones_like(done)
    for wrong in (stacks[:, ::-1].copy(), others):  # the newest first; going on
        buffer = ReplayBuffer(10, ["picture"], stacked={"picture": 4})
        put(buffer, (stacks, numbers, over))
        with pytest.raises(ReplayBufferError, match="'picture' cannot be rebuilt.*zeros or by copies"):
            put(buffer, (wrong, more, done))
        put(buffer, (stacks, more, over))
        with pytest.raises(ReplayBufferError, match="in all episodes alike"):
            put(buffer, (np.repeat(stacks[:, 3:], 4, 1), more, done))
    with pytest.raises(ReplayBufferError, match=r"'picture' does not fit.*\[1, 1, 3\].*expected, \[1, 1, 4\]"):
        put(ReplayBuffer(10, ["picture"], stacked={"picture": 3}), (stacks, numbers, done))
    with pytest.raises(ReplayBufferError, match=r"'picture' does not fit the buffer: \[1, 1, 4\]"):
        put(buffer, (stacks[:, 1:], numbers, done))
    with pytest.raises(ReplayBufferError, match="'pictures' is not among those.*Did you mean 'picture'"):
        ReplayBuffer(10, ["picture"], stacked={"pictures": 4})
    with pytest.raises(ReplayBufferError, match="1 to 256 pictures, not 0"):
        ReplayBuffer(10, ["picture"], stacked={"picture": 0})


def test_evaluation_frames_that_start_in_the_middle_of_an_episode():
    agent = GymAgent(lambda: gym.wrappers.FrameStackObservation(PictureEnv(), 4), 2, auto_reset=False)
    workspace = Workspace()
    TemporalAgent(Agents(agent, RandomAgent(agent.action_space)))(workspace, t=0, n_steps=3)
    buffer = ReplayBuffer(10, ["env/env_obs"], stacked={"env/env_obs": 4})
    buffer.put(workspace.subtime(1))
    running = ~workspace["env/done"][1]
    drawn = {stack.numpy().tobytes() for stack in buffer.sample(50)["env/env_obs"][0]}
    assert drawn == {stack.numpy().tobytes() for stack in workspace["env/env_obs"][1][running]}
