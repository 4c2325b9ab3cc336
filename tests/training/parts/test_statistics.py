"""Which frames running statistics count, over fragments, collectors and ranks."""

import torch

from workspace_rl import Workspace
from workspace_rl.agents import ObservationNormalizer, RewardNormalizer
from workspace_rl.experience import Fragment
from workspace_rl.ranks import Alone
from workspace_rl.training.parts.statistics import CollectedStatistics

GAMMA = 0.5


class Stream:
    """Frames of one collector's environments, `[T, B, ...]`, and fragments that are cut out of them."""

    def __init__(self, seed, n_frames=13, n_envs=2):
        generator = torch.Generator().manual_seed(seed)
        self.frames = Workspace()
        self.frames.set_full("env/env_obs", 5 + torch.randn(n_frames, n_envs, 3, generator=generator))
        self.frames.set_full("env/reward", torch.randn(n_frames, n_envs, generator=generator))
        self.frames.set_full("env/done", torch.rand(n_frames, n_envs, generator=generator) < 0.3)

    def fragment(self, start, stop, number, collector=0, **about):
        return Fragment(self.frames.subtime(start, stop), number=number, collector=collector, **about)

    def whole(self):
        observations, rewards = normalizers()
        observations.fold(self.frames.get_full("env/env_obs"))
        rewards.fold(self.frames.get_full("env/reward"), self.frames.get_full("env/done"))
        return observations, rewards


def normalizers():
    return ObservationNormalizer([3]), RewardNormalizer(GAMMA)


def counted(fragments, ranks=None):
    found = normalizers()
    statistics = CollectedStatistics(found, ranks or Alone())
    for one in fragments:
        statistics.put(one)
    statistics.merge(before_updates=True)
    statistics.merge(before_updates=False)
    return found


def assert_alike(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert float(one.count) == float(other.count)
        torch.testing.assert_close(one.mean, other.mean)
        torch.testing.assert_close(one.var, other.var)


def test_consecutive_fragments_count_as_what_they_were_cut_from():
    stream = Stream(0)
    found = counted([
        stream.fragment(0, 5, 0, begins_anew=True), stream.fragment(5, 9, 1), stream.fragment(9, 13, 2),
    ])  # fmt: skip
    assert_alike(found, stream.whole())


def test_a_frame_that_stands_in_two_fragments_counts_once():
    stream = Stream(1)
    found = counted([
        stream.fragment(0, 5, 0, begins_anew=True),
        stream.fragment(4, 9, 1, n_repeated=1), stream.fragment(8, 13, 2, n_repeated=1),
    ])  # fmt: skip
    assert_alike(found, stream.whole())


def test_a_fragment_that_comes_twice_counts_once_and_silently():
    stream = Stream(2)
    first, second = stream.fragment(0, 6, 0, begins_anew=True), stream.fragment(6, 13, 1)
    assert_alike(counted([first, first, second, second]), stream.whole())


def test_returns_begin_anew_where_environments_do_and_where_a_fragment_was_lost():
    stream = Stream(3)
    first = stream.fragment(0, 6, 0, begins_anew=True)
    for number, anew in ((1, True), (2, False)):
        _, rewards = counted([first, stream.fragment(6, 13, number, begins_anew=anew)])
        _, expected = normalizers()
        for start, stop in ((0, 6), (6, 13)):
            one = stream.frames.subtime(start, stop)
            expected.fold(one.get_full("env/reward"), one.get_full("env/done"))
        assert_alike([rewards], [expected])


def test_two_collectors_count_as_one_with_the_environments_of_both():
    first, second = Stream(4), Stream(5)
    both = Stream(4)
    both.frames = Workspace.cat_batch([first.frames, second.frames])
    found = counted(
        one.fragment(start, stop, number, collector, begins_anew=not number)
        for number, (start, stop) in enumerate(((0, 5), (5, 9), (9, 13)))
        for collector, one in enumerate((first, second))
    )
    assert_alike(found, both.whole())


class OneOfTwo(Alone):
    """A rank that hears what another one has collected."""

    def __init__(self, rank, heard):
        self.rank, self._heard = rank, heard

    def gather(self, value):
        other = self._heard.pop(0)
        return [value, other] if self.rank == 0 else [other, value]


class Spoken(Alone):
    def __init__(self):
        self.said = []

    def gather(self, value):
        self.said.append(value)
        return [value]


def test_all_ranks_end_with_the_same_bits_of_what_all_have_collected():
    streams = [Stream(6), Stream(7)]
    spoken = [Spoken(), Spoken()]
    for one, ranks in zip(streams, spoken, strict=True):
        counted([one.fragment(0, 13, 0, begins_anew=True)], ranks)
    first, second = (
        counted([streams[rank].fragment(0, 13, 0, begins_anew=True)], OneOfTwo(rank, spoken[1 - rank].said))
        for rank in range(2)
    )
    for one, other in zip(first, second, strict=True):
        assert float(one.count) > 20
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
    both = Stream(6)
    both.frames = Workspace.cat_batch([one.frames for one in streams])
    assert_alike(first, both.whole())


def test_rewards_count_before_updates_and_observations_after_them():
    observations, rewards = normalizers()
    statistics = CollectedStatistics([observations, rewards], Alone())
    assert statistics and not CollectedStatistics([], Alone())
    statistics.put(Stream(8).fragment(0, 13, 0, begins_anew=True))
    found = [(float(observations.count), float(rewards.count))]
    for before in (True, False, True, False):
        statistics.merge(before_updates=before)
        found.append((float(observations.count), float(rewards.count)))
    n = found[1][1]
    assert n > 0 and found == [(0, 0), (0, n), (26, n), (26, n), (26, n)]


def test_fragments_that_nobody_has_numbered_are_taken_as_they_come():
    stream = Stream(9)
    assert_alike(counted([stream.fragment(0, 5, None, begins_anew=True), stream.fragment(5, 13, None)]), stream.whole())
