"""A collector by itself: frames in a row, their origin, and what it counts, against a count by hand."""

import math

import pytest
import torch

from tests.toys import ConstantAgent, CountingEnv, SummingAgent
from workspace_rl import Agent, Agents, GymAgent, Workspace
from workspace_rl.agent import before
from workspace_rl.agents import DeterministicActor, RandomAgent
from workspace_rl.errors import CompositionError, ConfigError
from workspace_rl.experience import Collector, Fragment


def counting(*lengths, ending="terminated", **options):
    """Return a collector of environments whose episodes have these lengths; step k of an episode pays k."""
    lengths_left = iter(lengths)
    env_agent = GymAgent(lambda: CountingEnv(next(lengths_left), ending), n_envs=len(lengths), seed=1)
    return Collector(env_agent, ConstantAgent(), **options)


def steps_of(fragment):
    return fragment["env/timestep"].T.tolist()


@pytest.mark.parametrize("ending", ["terminated", "truncated", "both"])
def test_fragments_follow_each_other_and_count_their_transitions(ending):
    collector = counting(2, 5, ending=ending)
    first, second, third = (collector.collect(n) for n in (3, 2, 4))
    # The first has the frame of the reset, too; frames that only carry a reset (step 0) are no transition's end.
    assert steps_of(first) == [[0, 1, 2, 0], [0, 1, 2, 3]] and first.n_transitions == 2 + 3
    assert steps_of(second) == [[1, 2], [4, 5]] and second.n_transitions == 2 + 2
    assert steps_of(third) == [[0, 1, 2, 0], [0, 1, 2, 3]] and third.n_transitions == 2 + 3
    assert [one.number for one in (first, second, third)] == [0, 1, 2] and collector.n_transitions == 14
    assert [one.begins_anew for one in (first, second, third)] == [True, False, False]
    assert first["env/reward"].T.tolist() == [[0, 1, 2, 0], [0, 1, 2, 3]]


def test_a_fragment_of_resets_alone_holds_no_transition():
    collector = counting(1, 1)
    assert [collector.collect(1).n_transitions for _ in range(4)] == [2, 0, 2, 0]


def test_episodes_that_ended_are_summed_up():
    collector = counting(2, 5)
    first, second = collector.collect(3), collector.collect(2)
    assert [one.tolist() for one in first.episodes] == [[3.0], [2.0]]
    assert [one.tolist() for one in second.episodes] == [[3.0, 15.0], [2.0, 5.0]]
    assert second.episodes.returns.dtype == torch.float64
    assert not len(counting(9).collect(3).episodes.returns)


def test_episodes_are_those_of_their_fragment_whenever_somebody_asks():
    collector = counting(2)
    first = collector.collect(2)
    collector.collect(3)
    assert first.episodes.returns.tolist() == [3.0]


def test_weights_are_a_copy_and_fragments_carry_their_version():
    policy = DeterministicActor(1, [4], 1)
    collector = Collector(GymAgent(CountingEnv, seed=1), policy)
    assert collector.collect(1).version == 0
    with torch.no_grad():
        for one in policy.parameters():
            one.fill_(0.3)
    before = collector.collect(1)["action"]
    collector.load_policy(policy, 7)
    fragment = collector.collect(1)
    assert fragment.version == 7 and not torch.equal(fragment["action"], before)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), collector.policy.parameters(), strict=True))
    with pytest.raises(CompositionError):
        collector.load_policy(DeterministicActor(1, [5], 1), 8)


def test_agents_are_told_the_step_their_own_or_that_of_the_run():
    told = []

    class Telling(ConstantAgent):
        def forward(self, t, step, **kwargs):
            told.append(step)
            super().forward(t, **kwargs)

    collector = Collector(GymAgent(lambda: CountingEnv(99), n_envs=2, seed=1), Telling())
    collector.collect(1)
    collector.collect(2)
    collector.collect(1, step=100)
    collector.collect(1)
    assert told == [0, 0, 2, 2, 100, 102] and collector.n_transitions == 104


def test_actions_are_random_when_they_are_asked_for():
    env_agent = GymAgent("Pendulum-v1", n_envs=2, seed=1)
    actor = DeterministicActor(3, [4], 1)
    collector = Collector(env_agent, actor, RandomAgent(env_agent.action_space))
    drawn = collector.collect(20, random=True)["action"]
    assert drawn.abs().mean() > 0.2 and drawn.std() > 0.2
    chosen = collector.collect(3)
    workspace = Workspace(chosen)
    with torch.no_grad():
        actor(workspace, t=2)
    assert torch.equal(workspace.get("action", 2), chosen.get("action", 2))


def test_new_episodes_are_the_same_ones_at_the_same_number():
    def renewed(at, collected):
        collector = Collector(GymAgent("Pendulum-v1", n_envs=2, seed=1), ConstantAgent(0.5), seed=3)
        for _ in range(collected):
            collector.collect(4)
        collector.renew(at)
        fragment = collector.collect(5)
        assert collector.n_transitions == at + 10 and fragment.n_transitions == 10
        return fragment["env/env_obs"]

    assert torch.equal(renewed(40, 0), renewed(40, 3))
    assert not torch.equal(renewed(40, 1), renewed(41, 1))


def test_new_episodes_begin_with_a_frame_of_their_own():
    collector = counting(9, 9)
    collector.collect(4)
    collector.restart(8)
    fragment = collector.collect(2)
    assert steps_of(fragment) == [[0, 1, 2], [0, 1, 2]] and fragment.n_transitions == 4 and fragment.number == 1
    assert fragment.begins_anew and not collector.collect(2).begins_anew


def test_acting_is_in_evaluation_mode_unless_modes_are_kept():
    modes = []

    class Watching(Agent):
        def forward(self, t, **kwargs):
            modes.append(self.training)
            self.set(("action", t), torch.zeros(1, 1))

    policy = Watching()
    for keep_modes in (False, True):
        Collector(GymAgent(CountingEnv, seed=1), policy, policy, keep_modes=keep_modes).collect(1)
        Collector(GymAgent(CountingEnv, seed=1), policy, policy, keep_modes=keep_modes).collect(1, random=True)
    assert modes == [False] * 4 + [True] * 4 and policy.training


@pytest.mark.parametrize("n_steps", [0, -1, 1.5, math.inf, "2", None])
def test_a_number_of_steps_that_is_none_is_told(n_steps):
    with pytest.raises(ConfigError, match="n_steps: a whole number of at least 1 expected"):
        counting(3).collect(n_steps)


def test_fragments_of_several_collectors_stand_side_by_side():
    parts = [counting(2).collect(3), counting(5, 5).collect(3)]
    whole = Fragment.side_by_side(parts)
    assert steps_of(whole) == [[0, 1, 2, 0], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert whole.n_transitions == 2 + 6 and [one.tolist() for one in whole.episodes] == [[3.0], [2.0]]
    with pytest.raises(CompositionError, match="there is none"):
        Fragment.side_by_side([])


class Last(Agent):
    """Writes the observation's double, and notes the steps at which it was asked."""

    looks_afterwards = True

    def __init__(self, asked):
        super().__init__()
        self.asked = asked

    def forward(self, t=None, **kwargs):
        self.asked.append(t)
        self.set("double", t, 2 * self.get("env/env_obs", t))


class LastInAnotherWay(Last):
    """What is said of a class need not be so in what others make of it."""


@pytest.mark.parametrize("choose_anew", [False, True])
@pytest.mark.parametrize(
    ("kind", "asked"), [(Last, [None, None]), (LastInAnotherWay, [0, 1, 2, 0, 1, 2])], ids=["afterwards", "each step"]
)
def test_who_looks_afterwards_is_run_once_for_all_steps(kind, asked, choose_anew):
    env_agent, calls = GymAgent(CountingEnv, n_envs=2, auto_reset=True), []
    policy = Agents(RandomAgent(env_agent.action_space), kind(calls))
    policy.clone = lambda: policy
    collector = Collector(env_agent, policy, choose_anew=choose_anew)
    for fragment in (collector.collect(2), collector.collect(2)):
        assert fragment["double"].equal(2 * fragment["env/env_obs"])
    assert calls == (asked if choose_anew or kind is Last else [0, 1, 2, 1, 2])


def remembering(*lengths, **options):
    """Return a collector like that of `counting` whose policy sums up what it has seen: 0, 1, 3, 6, 10, ..."""
    collector = counting(*lengths)
    return Collector(collector.env_agent, SummingAgent(), **options)


@pytest.mark.parametrize("choose_anew", [False, True])
def test_memory_goes_on_and_fragments_say_what_it_was_before_them(choose_anew):
    collector = remembering(2, 5, choose_anew=choose_anew)
    first, second, third = (collector.collect(n) for n in (3, 2, 4))
    assert first["sum"].squeeze(-1).T.tolist() == [[0, 1, 3, 0], [0, 1, 3, 6]]
    assert first.state["sum"].T.tolist() == [[0, 0]]
    begin = 0 if choose_anew else 1
    assert second["sum"].squeeze(-1).T.tolist() == [[0, 1, 3][begin:], [6, 10, 15][begin:]]
    assert second.state["sum"].T.tolist() == [[[3, 3], [0, 6]][begin]]
    assert third["sum"].squeeze(-1).T.tolist() == [[3, 0, 1, 3, 0][begin:], [15, 0, 1, 3, 6][begin:]]
    assert third.state["sum"].T.tolist() == [[[1, 10], [3, 15]][begin]]
    assert not [name for one in (first, second, third) for name in one if name == before("sum")]


@pytest.mark.parametrize("choose_anew", [False, True])
def test_a_fragment_can_be_run_again_from_its_state(choose_anew):
    collector = remembering(2, 5, choose_anew=choose_anew)
    for fragment in (collector.collect(n) for n in (3, 2, 4)):
        again = Workspace()
        for name in ("env/env_obs", "env/timestep"):
            again[name] = fragment[name]
        again.set(before("sum"), 0, fragment.state["sum"])
        SummingAgent()(again)
        assert torch.equal(again["sum"], fragment["sum"]) and torch.equal(again["action"], fragment["action"])


def test_memory_goes_on_while_actions_are_random():
    collector = remembering(9, 3, random_policy=ConstantAgent(0.7))
    first, second = collector.collect(2, random=True), collector.collect(2)
    assert first["sum"].squeeze(-1).T.tolist() == [[0, 1, 3], [0, 1, 3]] and first["action"].unique().numel() == 1
    assert second.state["sum"].T.tolist() == [[3, 3]]
    assert second["sum"].squeeze(-1).T.tolist() == [[6, 10], [6, 0]]
    assert torch.equal(second["action"], SummingAgent().share * second["sum"])


def test_memory_begins_anew_where_environments_do():
    collector = Collector(GymAgent(lambda: CountingEnv(9), seed=1), SummingAgent())
    collector.collect(4)
    collector.renew(4)
    fragment = collector.collect(2)
    assert fragment.state["sum"].tolist() == [[0]] and fragment["sum"].flatten().tolist() == [0, 1, 3]


def test_what_looks_afterwards_may_remember_too():
    class Afterwards(SummingAgent):
        looks_afterwards = True
        state_variables = ("sum",)

    for choose_anew in (False, True):
        collector = Collector(counting(2, 5).env_agent, Agents(ConstantAgent(), Afterwards()), choose_anew=choose_anew)
        first, second = collector.collect(3), collector.collect(2)
        assert first["sum"][-1].T.tolist() == [[0, 6]]
        assert second["sum"][-2:].squeeze(-1).T.tolist() == [[1, 3], [10, 15]]


def test_environments_repeat_what_they_did_and_memory_is_put_back():
    collector, other = (remembering(5, 3, choose_anew=True) for _ in range(2))
    done = [collector.collect(2) for _ in range(2)]
    for fragment in done:
        assert not other.repeat(fragment["action"]).state
    other.carry_on(collector.carried())
    mine, same = collector.collect(3), other.collect(3)
    assert all(torch.equal(mine[name], same[name]) for name in mine) and {*mine} == {*same}
    assert torch.equal(mine.state["sum"], same.state["sum"])
