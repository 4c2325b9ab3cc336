"""A rollout is what was collected last, with the frame that it goes on from."""

import pytest
import torch

from tests.toys import CountingEnv
from workspace_rl import Collector, GymAgent, Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.errors import ConfigError, UnknownVariableError, VariableMismatchError
from workspace_rl.experience import Fragment, Rollout


def fragment(*values, done=None, **others):
    """Return a fragment of one environment, whose `x` counts frames."""
    frames = Workspace()
    frames["x"] = torch.tensor(values).unsqueeze(1)
    frames["unused"] = torch.zeros(len(values), 1)
    frames["env/done"] = torch.tensor(done or [False] * len(values)).unsqueeze(1)
    return Fragment(frames, **others)


def only(rollout):
    (batch,) = rollout.batches()
    return batch


def numbers(rollout):
    return only(rollout)["x"].squeeze(1).tolist()


def test_it_begins_with_the_last_frame_of_the_one_before():
    rollout = Rollout(3, ["x"])
    assert rollout.window == 4 and not list(rollout.batches())
    rollout.put(fragment(0, 1, 2, 3))  # with the frame of the reset
    assert numbers(rollout) == [0, 1, 2, 3]
    rollout.put(fragment(4, 5, 6, number=1, done=[False, True, False]))
    assert numbers(rollout) == [3, 4, 5, 6]
    rollout.put(fragment(7, 8, 9, number=2))
    assert numbers(rollout) == [6, 7, 8, 9]


def test_it_holds_what_is_learned_from_and_where_episodes_end():
    rollout = Rollout(2, ("x",))
    rollout.put(fragment(0, 1, 2, done=[False, False, True]))
    rollout.put(fragment(0, 1))
    batch = only(rollout)
    assert [*batch] == ["x", "env/done"]
    # The pair (0, 1) is no transition: frame 1 only carries a reset.
    assert batch["env/done"].squeeze(1).tolist() == [True, False, False]


def test_new_episodes_begin_with_a_frame_of_their_own():
    rollout = Rollout(2, ["x"])
    rollout.put(fragment(0, 1, 2))
    rollout.end_episodes()
    rollout.put(fragment(10, 11, 12))
    assert numbers(rollout) == [10, 11, 12]
    rollout.put(fragment(20, 21, 22))  # also where nobody has said so
    assert numbers(rollout) == [20, 21, 22]


def test_each_epoch_gets_a_workspace_of_its_own():
    rollout = Rollout(1, ["x"], n_epochs=3)
    rollout.put(fragment(0, 1))
    batches = list(rollout.batches())
    assert len(batches) == 3
    batches[0].set("x", 0, torch.tensor([9]))
    batches[0].set("value", 0, torch.zeros(1))
    assert [one["x"].squeeze(1).tolist() for one in batches[1:]] == [[0, 1], [0, 1]] and "value" not in batches[1]


@pytest.mark.parametrize(
    "first, second", [((0, 1), ()), ((0, 1, 2, 3), ()), ((0, 1, 2), (3,)), ((0, 1, 2), (3, 4, 5, 6))]
)
def test_other_numbers_of_frames_are_refused(first, second):
    rollout = Rollout(2, ["x"])
    with pytest.raises(VariableMismatchError, match="a rollout of 2 steps has 3 frames.* found"):
        rollout.put(fragment(*first))
        rollout.put(fragment(*second))


def test_what_collecting_did_not_write_is_named():
    with pytest.raises(UnknownVariableError, match=r"did not write 'unsued', which is learned from\. Did you mean"):
        Rollout(1, ["unsued"]).put(fragment(0, 1))


def test_impossible_numbers_are_refused():
    for arguments, named in (({"n_steps": 0}, {}), ({"n_steps": 3}, {"n_epochs": 0})):
        with pytest.raises(ConfigError, match="at least 1"):
            Rollout(**arguments, variables=["x"], **named)


def test_nothing_is_kept_in_checkpoints():
    rollout = Rollout(1, ["x"])
    rollout.put(fragment(0, 1))
    assert len(rollout.rows) == 0 and rollout.describe() == {} and rollout.read_rows(0, 0) == {}
    rollout.restore({}, [])


def test_rollouts_of_a_collector_follow_each_other_and_actions_are_kept():
    env_agent = GymAgent(CountingEnv, n_envs=2, auto_reset=True)
    collector = Collector(env_agent, RandomAgent(env_agent.action_space))
    rollout = Rollout(4, ["env/env_obs", "action", "env/reward"])
    seen = []
    for round in range(4):
        if round == 2:  # as after a checkpoint
            rollout.end_episodes()
            collector.renew(collector.n_transitions)
        rollout.put(collector.collect(4))
        seen.append(only(rollout))
    assert all(one.time_size() == 5 for one in seen)
    for before, after in ((seen[0], seen[1]), (seen[2], seen[3])):
        for name in before:
            assert before.get(name, -1).equal(after.get(name, 0))
    assert seen[2].get("env/env_obs", 0).tolist() == [[0], [0]]
    for one in seen:  # rewards of transitions count their steps
        transition = ~one["env/done"][:-1]
        assert one["env/reward"][1:][transition].equal(one["env/env_obs"][1:, :, 0][transition])


def round_of(*values, number, done=None, collectors=(1, 0, 10)):
    """Return the fragments of three collectors, whose `x` are apart by their numbers, as they come."""
    return [fragment(*(100 * k + value for value in values), number=number, collector=k, done=done) for k in collectors]


def test_fragments_of_a_round_stand_side_by_side_in_the_order_of_collectors():
    rollout = Rollout(2, ["x"], n_epochs=2)
    for number, values, expected in ((0, (0, 1, 2), (0, 1, 2)), (1, (3, 4), (2, 3, 4)), (2, (5, 6), (4, 5, 6))):
        for one in round_of(*values, number=number, collectors=((1, 0, 10), (10, 1, 0))[number % 2]):
            rollout.put(one)
        # The loop asks once for each fragment: the first time it is given, for all of them.
        first, *others = [list(rollout.batches()) for _ in range(3)]
        assert len(first) == 2 and others == [[], []]
        for batch in first:
            assert batch["x"].T.tolist() == [[100 * k + x for x in expected] for k in (0, 1, 10)]
            assert batch["env/done"].shape == (3, 3)


def test_each_collector_goes_on_from_its_own_last_frame_or_begins_anew():
    rollout = Rollout(2, ["x"])
    rollout.put(fragment(0, 1, 2, number=0))
    rollout.put(fragment(100, 101, 102, number=0, collector=1))
    assert only(rollout)["x"].T.tolist() == [[0, 1, 2], [100, 101, 102]]
    rollout.put(fragment(3, 4, number=1))
    rollout.put(fragment(110, 111, 112, number=1, collector=1, begins_anew=True))
    assert only(rollout)["x"].T.tolist() == [[2, 3, 4], [110, 111, 112]]
    rollout.end_episodes()
    for one in round_of(20, 21, 22, number=2, collectors=(0, 1)):
        rollout.put(one)
    assert only(rollout)["x"].T.tolist() == [[20, 21, 22], [120, 121, 122]]


def test_what_comes_twice_is_taken_once_and_nothing_is_joined_where_one_was_lost():
    rollout = Rollout(2, ["x"])
    with pytest.warns(UserWarning, match="fragment 1 of collector 0 is dropped"):
        for one in (fragment(0, 1, 2, number=0), fragment(3, 4, number=1), fragment(3, 4, number=1)):
            rollout.put(one)
    assert numbers(rollout) == [2, 3, 4]
    with pytest.raises(VariableMismatchError, match="3 frames, the first one from the rollout before.*; 2 found"):
        rollout.put(fragment(7, 8, number=3))
