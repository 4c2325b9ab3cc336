"""A rollout is what was collected last, with the frame that it goes on from, as a whole or in minibatches."""

import pytest
import torch

from tests.toys import CountingEnv
from workspace_rl import Agent, Agents, Collector, GymAgent, Workspace
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


def test_it_is_what_was_put_last():
    rollout = Rollout(3, ["x"])
    assert rollout.window == 4 and not list(rollout.batches())
    rollout.put(fragment(0, 1, 2, 3))
    assert numbers(rollout) == [0, 1, 2, 3] and not list(rollout.batches())
    rollout.put(fragment(3, 4, 5, 6, number=1, n_repeated=1))
    assert numbers(rollout) == [3, 4, 5, 6]


def test_it_holds_what_is_learned_from_and_where_episodes_end():
    rollout = Rollout(2, ("x",))
    rollout.put(fragment(2, 0, 1, done=[True, False, False]))
    batch = only(rollout)
    assert [*batch] == ["x", "env/done"]
    # The pair (0, 1) is no transition: frame 1 only carries a reset.
    assert batch["env/done"].squeeze(1).tolist() == [True, False, False]


def test_each_epoch_gets_a_workspace_of_its_own():
    rollout = Rollout(1, ["x"], n_epochs=3)
    rollout.put(fragment(0, 1))
    batches = list(rollout.batches())
    assert len(batches) == 3
    batches[0].set("x", 0, torch.tensor([9]))
    batches[0].set("value", 0, torch.zeros(1))
    assert [one["x"].squeeze(1).tolist() for one in batches[1:]] == [[0, 1], [0, 1]] and "value" not in batches[1]


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2, 3)])
def test_other_numbers_of_frames_are_refused(values):
    with pytest.raises(VariableMismatchError, match="a rollout of 2 steps has 3 frames.* found.*choose_anew=True"):
        Rollout(2, ["x"]).put(fragment(*values))


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


class Steps(Agent):
    """Writes how often it was run, as actions do not know it."""

    n = 0

    def forward(self, t, **kwargs):
        self.n += 1
        self.set(("n", t), torch.full_like(self.get(("env/done", t)), self.n, dtype=torch.int64))


def test_rollouts_of_a_collector_follow_each_other_and_each_is_of_one_version_of_the_policy():
    env_agent = GymAgent(CountingEnv, n_envs=2, auto_reset=True)
    collector = Collector(env_agent, Agents(RandomAgent(env_agent.action_space), Steps()), choose_anew=True)
    rollout = Rollout(4, ["env/env_obs", "env/reward", "n"])
    seen, n_transitions = [], 0
    for round in range(4):
        if round == 2:  # as after a checkpoint
            collector.renew(collector.n_transitions)
        one = collector.collect(4)
        assert (one.n_repeated, one.begins_anew) == ((0, True) if round in (0, 2) else (1, False))
        n_transitions += one.n_transitions
        rollout.put(one)
        seen.append(only(rollout))
    assert all(one.time_size() == 5 for one in seen)
    assert [one["n"][:, 0].tolist() for one in seen] == [[*range(n, n + 5)] for n in (1, 6, 11, 16)]
    for before, after in ((seen[0], seen[1]), (seen[2], seen[3])):
        for name in ("env/env_obs", "env/reward", "env/done"):
            assert before.get(name, -1).equal(after.get(name, 0))
    assert seen[2].get("env/env_obs", 0).tolist() == [[0], [0]]
    for one in seen:  # rewards of transitions count their steps
        transition = ~one["env/done"][:-1]
        assert one["env/reward"][1:][transition].equal(one["env/env_obs"][1:, :, 0][transition])
    # The action of the last frame is chosen again, not counted again.
    assert n_transitions == collector.n_transitions == sum(int((~one["env/done"][:-1]).sum()) for one in seen)


def test_what_was_handed_over_stays_as_it_was():
    env_agent = GymAgent(CountingEnv, n_envs=1, auto_reset=True)
    collector = Collector(env_agent, Agents(RandomAgent(env_agent.action_space), Steps()), choose_anew=True)
    first = collector.collect(2)
    before = first["n"].clone()
    collector.collect(2)
    assert first["n"].equal(before) and first.get("n", -1).equal(before[-1])


def round_of(*values, number, done=None, collectors=(1, 0, 10)):
    """Return the fragments of three collectors, whose `x` are apart by their numbers, as they come."""
    return [fragment(*(100 * k + value for value in values), number=number, collector=k, done=done) for k in collectors]


def test_fragments_of_a_round_stand_side_by_side_in_the_order_of_collectors():
    rollout = Rollout(2, ["x"], n_epochs=2)
    for number, values in ((0, (0, 1, 2)), (1, (2, 3, 4)), (2, (4, 5, 6))):
        for one in round_of(*values, number=number, collectors=((1, 0, 10), (10, 1, 0))[number % 2]):
            rollout.put(one)
        # The loop asks once for each fragment: the first time it is given, for all of them.
        first, *others = [list(rollout.batches()) for _ in range(3)]
        assert len(first) == 2 and others == [[], []]
        for batch in first:
            assert batch["x"].T.tolist() == [[100 * k + x for x in values] for k in (0, 1, 10)]
            assert batch["env/done"].shape == (3, 3)


def rows_of(rollout, epoch=0):
    """Leave out the last frame, and write what is twice as much."""
    rows = rollout.subtime(0, -1)
    rows.set_full("twice", 2 * rows["x"])
    return rows


def test_minibatches_are_all_rows_once_in_each_epoch_and_in_another_order():
    rollout = Rollout(4, ["x"], n_epochs=3, batch_size=6, prepare=rows_of)
    for one in round_of(0, 1, 2, 3, 4, number=0):
        rollout.put(one)
    torch.manual_seed(1)
    batches = list(rollout.batches())
    assert len(batches) == 6 and all(batch["x"].shape == (1, 6) for batch in batches)
    assert all(batch["twice"].equal(2 * batch["x"]) for batch in batches)
    epochs = [
        torch.cat((one["x"], two["x"]), 1)[0].tolist() for one, two in zip(batches[::2], batches[1::2], strict=True)
    ]
    assert all(sorted(epoch) == sorted(100 * k + x for k in (0, 1, 10) for x in range(4)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    example = rollout.as_batch(round_of(0, 1, 2, 3, 4, number=0)[0])
    assert example["twice"].shape == (1, 4) and sorted(example["x"][0].tolist()) == [100, 101, 102, 103]


def test_what_is_prepared_has_no_gradients():
    weight = torch.nn.Parameter(torch.ones(1))

    def prepare(rollout, epoch):
        rows = rollout.subtime(0, -1)
        rows.set_full("weighted", rows["x"] * weight)
        return rows

    rollout = Rollout(2, ["x"], prepare=prepare)
    rollout.put(fragment(0, 1, 2))
    assert not only(rollout)["weighted"].requires_grad


def test_rows_that_make_no_minibatches_are_refused():
    with pytest.raises(ConfigError, match="batch_size: None expected without prepare"):
        Rollout(2, ["x"], batch_size=2)
    rollout = Rollout(4, ["x"], batch_size=3, prepare=rows_of)
    rollout.put(fragment(0, 1, 2, 3, 4))
    with pytest.raises(VariableMismatchError, match="of 3 rows cannot be made of 4 x 1 = 4"):
        list(rollout.batches())


def test_what_comes_twice_is_taken_once():
    rollout = Rollout(2, ["x"])
    with pytest.warns(UserWarning, match="fragment 1 of collector 0 is dropped"):
        for number in (0, 1, 1):
            rollout.put(fragment(*(number + x for x in range(3)), number=number))
    assert numbers(rollout) == [1, 2, 3]


@pytest.mark.parametrize(("each", "expected"), [(False, [0]), (True, [0, 1, 2])])
def test_rows_are_prepared_once_or_before_each_epoch(each, expected):
    epochs = []

    def prepare(rollout, epoch):
        epochs.append(epoch)
        return rollout

    rollout = Rollout(2, ["x"], n_epochs=3, prepare=prepare, prepare_each_epoch=each)
    rollout.put(fragment(0, 1, 2))
    assert len(list(rollout.batches())) == 3 and epochs == expected


def with_state(*values, collector=0, n_envs=4, **others):
    """Return a fragment of several environments, whose `x` are apart by hundreds, and its state."""
    column = 100 * torch.arange(n_envs) + 1000 * collector
    frames = Workspace()
    frames["x"] = torch.tensor(values).unsqueeze(1) + column
    frames["env/done"] = torch.zeros(len(values), n_envs, dtype=torch.bool)
    return Fragment(
        frames, collector=collector, state={"memory": column.unsqueeze(1) + torch.tensor([-1, -2])}, **others
    )


def rows_with_state(rollout, epoch=0):
    rows = rows_of(rollout.select_batch(torch.arange(rollout.batch_size())), epoch)
    rows.set_full("memory/before", rollout["memory/before"])
    return rows


def test_the_state_before_a_rollout_belongs_to_it():
    rollout = Rollout(2, ["x"], state_variables=["memory"])
    for number in range(2):
        rollout.put(with_state(number, number + 1, number + 2, n_envs=2, number=number))
        batch = only(rollout)
        assert [*batch] == ["x", "env/done", "memory/before"]
        assert batch["memory/before"].tolist() == [[[-1, -2], [99, 98]]]


def test_states_of_several_collectors_stand_side_by_side():
    rollout = Rollout(2, ["x"], state_variables=["memory"])
    for collector in (1, 0):
        rollout.put(with_state(0, 1, 2, collector=collector, n_envs=2, number=0))
    batch = only(rollout)
    assert batch["x"][0].tolist() == [0, 100, 1000, 1100]
    assert batch["memory/before"][0, :, 0].tolist() == [-1, 99, 999, 1099]


def test_minibatches_with_memory_are_whole_environments_each_with_its_state():
    rollout = Rollout(3, ["x"], n_epochs=3, batch_size=6, prepare=rows_with_state, state_variables=["memory"])
    torch.manual_seed(1)
    rollout.put(with_state(0, 1, 2, 3))
    batches = list(rollout.batches())
    assert len(batches) == 6
    orders = []
    for batch in batches:
        assert batch["x"].shape == (3, 2) and batch["memory/before"].shape == (1, 2, 2)
        assert batch["x"].equal(batch["x"][0] + torch.arange(3).unsqueeze(1))  # one environment from its first step on
        assert batch["memory/before"][0].equal(batch["x"][0].unsqueeze(1) + torch.tensor([-1, -2]))
        assert batch["twice"].equal(2 * batch["x"])
        orders += batch["x"][0].tolist()
    assert all(sorted(orders[i : i + 4]) == [0, 100, 200, 300] for i in (0, 4, 8))
    assert len({tuple(orders[i : i + 4]) for i in (0, 4, 8)}) == 3
    frames = with_state(0, 1, 2, 3)
    frames.set_full("memory/before", frames.state["memory"].unsqueeze(0))
    example = rollout.as_batch(frames)
    assert example["x"].shape == (3, 4) and example["memory/before"].shape == (1, 4, 2)


def test_what_memory_cannot_begin_from_is_refused():
    with pytest.raises(ConfigError, match="a multiple of the 4 steps.*'memory'.*10 found; 8 is the nearest"):
        Rollout(4, ["x"], batch_size=10, prepare=rows_with_state, state_variables=["memory"])
    rollout = Rollout(2, ["x"], prepare=rows_with_state, state_variables=["memory"])
    with pytest.raises(UnknownVariableError, match="does not tell the state 'memory' before its first frame"):
        rollout.put(fragment(0, 1, 2))
    rollout = Rollout(2, ["x"], prepare=rows_of, state_variables=["memory"])
    rollout.put(with_state(0, 1, 2))
    with pytest.raises(UnknownVariableError, match="that prepare has returned lack 'memory/before'"):
        list(rollout.batches())
    rollout = Rollout(2, ["x"], batch_size=6, prepare=rows_with_state, state_variables=["memory"])
    rollout.put(with_state(0, 1, 2))
    with pytest.raises(VariableMismatchError, match="of 3 whole environments cannot be made of 4"):
        list(rollout.batches())
