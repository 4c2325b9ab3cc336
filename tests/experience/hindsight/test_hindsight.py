"""Relabelled windows by hand: goals, rewards and ends, in the middle of episodes, at their ends, and beyond."""

import numpy as np
import pytest
import torch
from scipy import stats

from workspace_rl import ReplayBuffer, Workspace, n_step_transitions
from workspace_rl.errors import ReplayBufferError
from workspace_rl.experience.hindsight import Hindsight

ACHIEVED, DESIRED = "env/env_obs/achieved_goal", "env/env_obs/desired_goal"
VARIABLES = [ACHIEVED, DESIRED, "env/reward", "env/terminated"]
GOAL = 100.0


class Sparse:
    """-1, and 0 where the goal is reached, which terminates an episode if `ends`."""

    def __init__(self, ends=True):
        self.ends = ends

    def rewards(self, achieved, desired):
        return -(achieved != desired).any(-1).astype(np.float64)

    def terminated(self, achieved, desired):
        return (achieved == desired).all(-1) if self.ends else None


def frames(achieved, ends=()):
    """Return frames of environments side by side, `achieved` [T][B]; `ends` {(t, b): "terminated" or "truncated"}."""
    place = torch.tensor(achieved, dtype=torch.float32).view(len(achieved), -1, 1)
    found = Workspace()
    found.set_full(ACHIEVED, place)
    found.set_full(DESIRED, torch.full_like(place, GOAL))
    found.set_full("env/reward", -torch.ones(place.shape[:2]))
    for name in ("env/terminated", "env/done"):
        value = torch.zeros(place.shape[:2], dtype=torch.bool)
        for where, how in dict(ends).items():
            value[where] = name == "env/done" or how == "terminated"
        found.set_full(name, value)
    return found


def buffer_of(*puts, strategy="final", ends=True, **options):
    """Return a buffer that relabels all windows but one in a million."""
    hindsight = Hindsight(Sparse(ends), strategy=strategy, n_goals=10**6)
    buffer = ReplayBuffer(100, VARIABLES, hindsight=hindsight, **options)
    for one in puts:
        buffer.put(one) if isinstance(one, Workspace) else buffer.put(one[0], source=one[1])
    return buffer


def rows(buffer, window=2, n=200):
    """Return the windows that are drawn: by what was achieved first, the set of what the rest of them says."""
    torch.manual_seed(0)
    batch, found = buffer.sample(n, window), {}
    columns = [batch[name][1:].T.tolist() for name in ("env/reward", "env/terminated", "env/done")]
    for k, (first, goal) in enumerate(
        zip(batch[ACHIEVED][0, :, 0].tolist(), batch[DESIRED].squeeze(-1).T, strict=True)
    ):
        assert (goal == goal[0]).all()
        found.setdefault(first, set()).add((goal[0].item(), *(tuple(column[k]) for column in columns)))
    return found


NO, YES = (False,), (True,)


def test_in_the_middle_and_at_the_end_of_an_episode_that_was_truncated():
    """Frames 0 .. 3 are an episode, 4 and 5 the beginning of the next one."""
    put = frames([0, 1, 2, 3, 4, 5], {(3, 0): "truncated"})
    # The goal of all of them is 3: who steps there gets 0, and the episode would have terminated.
    assert rows(buffer_of(put)) == {
        0: {(3, (-1,), NO, NO)}, 1: {(3, (-1,), NO, NO)}, 2: {(3, (0,), YES, YES)}, 4: {(5, (0,), YES, YES)},
    }  # fmt: skip
    # Where goals end nothing, it stays truncated, and the pair of the newest frames goes on.
    assert rows(buffer_of(put, ends=False)) == {
        0: {(3, (-1,), NO, NO)}, 1: {(3, (-1,), NO, NO)}, 2: {(3, (0,), NO, YES)}, 4: {(5, (0,), NO, NO)},
    }  # fmt: skip


def test_every_later_frame_is_a_goal_and_any_frame_with_episode():
    put = frames([0, 1, 2, 3, 4, 5], {(3, 0): "truncated"})
    goals = {first: {one[0] for one in found} for first, found in rows(buffer_of(put, strategy="future")).items()}
    assert goals == {0: {1, 2, 3}, 1: {2, 3}, 2: {3}, 4: {5}}
    goals = {first: {one[0] for one in found} for first, found in rows(buffer_of(put, strategy="episode")).items()}
    assert goals == {0: {0, 1, 2, 3}, 1: {0, 1, 2, 3}, 2: {0, 1, 2, 3}, 4: {4, 5}}


def test_an_episode_that_terminated_by_its_own_goal_ends_the_window_as_a_limit_of_time_does():
    put = frames([0, 1, GOAL, 7, 8], {(2, 0): "terminated"})
    assert rows(buffer_of(put, strategy="final"))[1] == {(GOAL, (0,), YES, YES)}
    # With another goal than where it ended: what was terminated is done, and bootstraps.
    found = rows(buffer_of(put, strategy="episode"))
    assert found[1] == {(0, (-1,), NO, YES), (1, (-1,), NO, YES), (GOAL, (0,), YES, YES)}
    # An environment that does not say: as it is stored.
    assert rows(buffer_of(put, strategy="episode", ends=False))[1] == {
        (0, (-1,), YES, YES), (1, (-1,), YES, YES), (GOAL, (0,), YES, YES),
    }  # fmt: skip


def test_rewards_of_several_steps_are_summed_up_to_where_the_new_goal_is_reached():
    put = frames([0, 1, 1, 1, 4, 5, 6], {(4, 0): "truncated"})
    buffer = buffer_of(put, strategy="final")
    assert rows(buffer, window=4)[0] == {(4, (-1, -1, -1), (False,) * 3, (False,) * 3)}
    torch.manual_seed(1)
    batch = buffer_of(frames([0, 2, 3, 4, 5]), strategy="future").sample(400, 4)
    transitions = n_step_transitions(batch, 0.5)
    starts = {}
    for k in (batch[ACHIEVED][0, :, 0] == 0).nonzero().flatten().tolist():
        goal, reward = batch[DESIRED][0, k].item(), transitions.get("env/reward", 1)[k].item()
        found = (reward, transitions.get("discount", 1)[k].item(), transitions.get(ACHIEVED, 1)[k].item())
        starts.setdefault(goal, set()).add(found)
    # The goal reached at the first, second and third step: 0 there, and nothing after it; or not at all.
    assert starts == {2: {(0, 0, 2)}, 3: {(-1, 0, 3)}, 4: {(-1.5, 0, 4)}, 5: {(-1.75, 0.125, 4)}}


def test_two_environments_end_at_different_steps():
    put = frames([[0, 50], [1, 51], [2, 52], [3, 53], [4, 54]], {(1, 0): "truncated", (3, 1): "terminated"})
    goals = {first: {one[0] for one in found} for first, found in rows(buffer_of(put, strategy="future")).items()}
    assert goals == {0: {1}, 2: {3, 4}, 3: {4}, 50: {51, 52, 53}, 51: {52, 53}, 52: {53}}


@pytest.mark.parametrize("announced", [{"n_sources": 2, "n_steps": 2}, {}])
def test_episodes_go_on_in_other_blocks_of_their_source(announced):
    first, second = [frames([k, k + 1]) for k in (0, 2)], [frames([k, k + 1]) for k in (50, 52)]
    buffer = buffer_of((first[0], 0), (second[0], 1), (first[1], 0), (second[1], 1), strategy="future", **announced)
    goals = {number: {one[0] for one in found} for number, found in rows(buffer).items()}
    assert goals == {0: {1, 2, 3}, 1: {2, 3}, 2: {3}, 50: {51, 52, 53}, 51: {52, 53}, 52: {53}}
    # Cut off: what comes next is another episode.
    buffer.end_episodes(0)
    buffer.put(frames([4, 5]), source=0)
    goals = {number: {one[0] for one in found} for number, found in rows(buffer).items()}
    assert goals[0] == {1, 2, 3} and goals[4] == {5} and goals[50] == {51, 52, 53}


def test_nothing_of_what_was_overwritten_is_a_goal():
    hindsight = Hindsight(Sparse(), strategy="episode", n_goals=10**6)
    buffer = ReplayBuffer(4, VARIABLES, hindsight=hindsight)
    for k in range(0, 12, 3):
        buffer.put(frames([k, k + 1, k + 2]))
    goals = {number: {one[0] for one in found} for number, found in rows(buffer).items()}
    assert goals == {number: {7, 8, 9, 10, 11} for number in (7, 8, 9, 10)}


def test_later_frames_are_equally_likely():
    torch.manual_seed(2)
    buffer = buffer_of(frames(list(range(11))), strategy="future")
    batch = buffer.sample(30_000)
    for first in (0, 4):
        goals = batch[DESIRED][0, batch[ACHIEVED][0, :, 0] == first, 0].long()
        counts = torch.bincount(goals, minlength=11)[first + 1 :]
        assert counts.sum() == len(goals) and stats.chisquare(counts.numpy()).pvalue > 0.001


@pytest.mark.parametrize("n_goals", [1, 4])
def test_so_many_windows_have_another_goal(n_goals):
    torch.manual_seed(3)
    buffer = ReplayBuffer(100, VARIABLES, hindsight=Hindsight(Sparse(), n_goals=n_goals))
    buffer.put(frames(list(range(20))))
    batch = buffer.sample(20_000)
    kept = (batch[DESIRED][0, :, 0] == GOAL).sum().item()
    assert stats.binomtest(kept, 20_000, 1 / (n_goals + 1)).pvalue > 0.001
    same = batch[DESIRED][0, :, 0] == GOAL
    assert (batch["env/reward"][1, same] == -1).all() and not batch["env/terminated"][1, same].any()


@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_the_same_is_drawn_after_a_checkpoint(strategy):
    first, second = (buffer_of(strategy=strategy) for _ in range(2))
    first.put(frames([[0, 50], [1, 51], [2, 52], [3, 53]], {(1, 1): "terminated"}))
    first.end_episodes()
    second.restore(first.describe(), [(0, first.read_rows(0, 2)), (2, first.read_rows(2, 4))])
    for number in (4, 6):
        drawn = []
        for one in (first, second):
            one.put(frames([[number, number + 50], [number + 1, number + 51]]))
            torch.manual_seed(1)
            batch = one.sample(64)
            drawn.append([batch[name].tolist() for name in (*VARIABLES, "env/done")])
        assert drawn[0] == drawn[1]


def test_what_cannot_be_relabelled_is_refused():
    with pytest.raises(ReplayBufferError, match="strategy: one of future, final, episode expected, 'last' found"):
        Hindsight(Sparse(), strategy="last")
    with pytest.raises(ReplayBufferError, match="n_goals"):
        Hindsight(Sparse(), n_goals=0)
    with pytest.raises(ReplayBufferError, match="hindsight needs variable 'env/env_obs/achieved_goal'"):
        ReplayBuffer(10, VARIABLES[1:], hindsight=Hindsight(Sparse()))
    with pytest.raises(ReplayBufferError, match="stored whole expected, stacks of x found"):
        ReplayBuffer(10, [*VARIABLES, "x"], stacked={"x": 2}, hindsight=Hindsight(Sparse()))
    plain = ReplayBuffer(10, VARIABLES)
    plain.put(frames([0, 1]))
    with pytest.raises(ReplayBufferError, match="do not tell which episodes they are of"):
        buffer_of().restore(plain.describe(), [(0, plain.read_rows(0, 2))])
