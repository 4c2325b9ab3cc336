"""Mistakes of docs/composition-mistakes.md with memory: where it is kept, read and forgotten, and right ones."""

import pytest
import torch
from torch import nn

from tests.inspection.pieces import ADAM
from tests.inspection.remembering import SIZE, Acts, Hides, Remembers, RemembersCell, RunsAgain, Wrong
from tests.mistakes import expect
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, check, minimise, setup_optimizer
from workspace_rl.agents import GaussianNoiseAgent, SquashedGaussianActor
from workspace_rl.agents.memory import GRUAgent, LSTMAgent, MemoryAgent, TransformerAgent
from workspace_rl.composition import CopyTAgent


def look(env, *agents, **kwargs):
    return check(TemporalAgent(Agents(env, *agents)), **kwargs)


@pytest.mark.parametrize("where", ["never", "at t = 0", "the first environment alone", "after terminated"])
def test_31_memory_that_is_not_reset(env, where):
    problems = look(env, Remembers(where), Acts())
    assert [one.kind for one in problems] == ["not reset"] and "'h'" in problems[0].message
    if where == "never":
        expect(problems, 31, "not reset", "agent 'memory' (Remembers)", "'env/timestep' is 0 at t")
    if where == "after terminated":
        assert "but not after an episode that was truncated" in problems[0].message


@pytest.mark.parametrize("parts", [("h",), ("c",), ()])
def test_31_a_part_of_it(env, parts):
    problems = look(env, RemembersCell(parts), Acts())
    assert [one.kind for one in problems] == ["not reset"] * (2 - len(parts))
    for part in {"h", "c"} - {*parts}:
        assert any(f"its memory '{part}'" in one.message for one in problems)


@pytest.mark.parametrize("where", ["a step early", "early and where it begins"])
def test_32_memory_that_is_reset_a_step_early(env, where):
    expect(look(env, Remembers(where), Acts()), 32, "reset early", "'h'", "'env/timestep' is 0 at t")


@pytest.mark.parametrize("where", ["a step late", "a step late, by the step before", "late and where it begins"])
def test_33_memory_that_is_reset_a_step_late(env, where):
    expect(look(env, Remembers(where), Acts()), 33, "reset late", "'h'", "'env/timestep' is 0 at t")


@pytest.mark.parametrize("how", ["at t", "at t, but for the first", "zeros at t"])
def test_34_state_that_is_read_at_t(env, how):
    problems = look(env, Wrong(how), Acts())
    assert [one.kind for one in problems] == ["state at t"] and problems[0].fatal == (how != "zeros at t")
    if how == "at t":
        expect(problems, 34, "state at t", "agent 'memory' (Wrong)", "'h' at step 0")


def test_34_before_the_first_step(env):
    (problem,) = look(env, Wrong("without a beginning"), Acts())
    assert "at step -1: at t = 0 there is no step before" in problem.message and problem.fatal


def test_34_in_what_runs_again(env):
    problems = look(env, Wrong("the last one"), Acts())
    assert [one.kind for one in problems] == ["memory"] and "writes another 'h' when it runs again" in str(problems)


@pytest.mark.parametrize("where", ["elsewhere", "times done", "all together"])
def test_35_memory_that_is_reset_elsewhere(env, where):
    problems = look(env, Remembers(where), Acts())
    assert [one.kind for one in problems] == ["wrong reset"]
    if where == "all together":
        expect(problems, 35, "wrong reset", "agent 'memory' (Remembers)", "'h'")


@pytest.mark.parametrize("how", ["other rows", "batch as time"])
def test_36_environments_that_share_a_memory(env, how):
    expect(look(env, Wrong(how), Acts()), 36, "neighbours", "agent 'memory' (Wrong)", "'h'")


@pytest.mark.parametrize("resets", [True, False])
@pytest.mark.parametrize("keep", ["attribute", "list", "buffer"])
def test_37_memory_outside_of_the_workspace(env, keep, resets):
    names = {"attribute": "self.h", "list": "self.seen", "buffer": "self.state"}
    expect(look(env, Hides(keep, resets), Acts()), 37, "hidden memory", "agent 'memory' (Hides)", names[keep])


@pytest.mark.parametrize("how", ["goes on", "begins with what is stored"])
def test_38_memory_that_is_another_over_all_of_time(env, how):
    problems = look(env, RunsAgain(how), Acts())
    assert [one.kind for one in problems] == ["memory"] and "at once (t=None)" in problems[0].message
    if how == "goes on":
        expect(problems, 38, "memory", "agent 'memory' (RunsAgain)", "'h'")


class Own(MemoryAgent):
    """A memory as users derive one, with a mistake."""

    def __init__(self, mistake="", **kwargs):
        super().__init__(3, SIZE, {"h": [SIZE]}, **kwargs)
        self.cell, self.mistake = nn.GRUCell(3, SIZE), mistake

    def step(self, inputs, state):
        before = state["h"] * 0 if self.mistake == "state at t" else state["h"]
        hidden = self.cell(inputs, before.roll(1, 0) if self.mistake == "neighbours" else before)
        return hidden, {"h": hidden}

    def sequence(self, inputs, begins, state):
        return super().sequence(inputs, begins & (self.mistake != "memory"), state)

    def _state_at(self, t, begins):
        match self.mistake:
            case "not reset":
                begins = begins & False
            case "reset early":
                begins = self.get(("env/done", t))
            case "reset late":
                begins = self.get(("env/timestep", t)) == 1
        return super()._state_at(t, begins)


@pytest.mark.parametrize(
    "mistake", ["", "not reset", "reset early", "reset late", "state at t", "memory", "neighbours"]
)
def test_they_are_found_in_what_derives_from_the_library(env, mistake):
    problems = look(env, Own(mistake), Acts("memory"))
    assert [one.kind for one in problems] == ([mistake] if mistake else [])


class Last(Own):
    """A state that is what was seen last: what it will be does not depend on what it was, and features do."""

    def step(self, inputs, state):
        hidden = self.cell(inputs, state["h"] * 0 if self.mistake == "state at t" else state["h"])
        return hidden, {"h": torch.cat([inputs, inputs], -1)[:, :SIZE]}


@pytest.mark.parametrize("mistake", ["", "not reset", "state at t"])
def test_a_state_that_is_what_was_seen_last_is_a_memory(env, mistake):
    assert [one.kind for one in look(env, Last(mistake), Acts("memory"))] == ([mistake] if mistake else [])


def test_state_that_is_declared_has_to_go_on(env):
    agent = Remembers()
    agent.state_variables = ("h",)
    problems = look(env, agent, Acts())
    assert [one.kind for one in problems] == ["memory"] and "does not go on from 'h/before' at step 0" in str(problems)


@pytest.mark.parametrize("forgets", [True, False])
def test_40_a_stored_state_that_nobody_reads(forgets):
    class Forgets(GRUAgent):
        def _state_before(self, n_envs):
            return {"hidden": torch.zeros(n_envs, 8)}

    memory = (Forgets if forgets else GRUAgent)(3, 8, name="remembers")
    optimizer = setup_optimizer(ADAM, memory)

    def update(batch):
        memory(batch)
        weight = ~batch["env/done"][:-1]
        return {"loss": minimise((batch["memory"][:-1].sum(-1) * weight).mean(), optimizer)}

    shape = (4, 5)
    inputs = {"env/env_obs": torch.zeros(*shape, 3), "env/timestep": torch.zeros(shape, dtype=torch.int64)}
    inputs |= {"env/done": torch.zeros(shape, dtype=torch.bool), "memory/hidden/before": torch.zeros(1, 5, 8)}
    problems = check(update, inputs=inputs)
    if forgets:
        expect(problems, 40, "memory", "agent 'remembers' (Forgets)", "'memory/hidden/before'")
    else:
        assert not problems and not problems.notes


class PreviousAction(Agent):
    """Looks at the action before, and counts; neither is reset."""

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        before = self.get(("action", t - 1)) if t else torch.zeros(len(observation), 1)
        counted = self.get(("counted", t - 1)) if t else torch.zeros(len(observation), 1)
        self.set(("counted", t), counted + 1)
        self.set(("inputs", t), torch.cat([observation, before, counted], -1))


class Traces(Agent):
    """Eligibility traces, which nothing acts by and nothing resets."""

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        before = self.get(("traces", t - 1)) if t else torch.zeros_like(observation)
        self.set(("traces", t), 0.9 * before + observation)


class Stack(Agent):
    """Puts three observations side by side, whatever the episode."""

    def forward(self, t, **kwargs):
        frames = [self.get(("env/env_obs", max(t - n, 0))) for n in range(3)]
        self.set(("stack", t), torch.cat(frames, -1))


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize(
    "agents",
    [
        lambda: [Remembers(), Acts()],
        lambda: [Remembers("by done of the step before"), Acts()],
        lambda: [Remembers("when written"), Acts()],
        lambda: [RemembersCell(), Acts()],
        lambda: [RunsAgain(), Acts()],
        lambda: [Wrong("written ahead"), Acts()],
        lambda: [Remembers(), SquashedGaussianActor(SIZE, [8], 1, observation_variable="features")],
        lambda: [GRUAgent(3, 8), Acts("memory", 8), GaussianNoiseAgent(0.1)],
        lambda: [LSTMAgent(3, 8, 2), Acts("memory", 8)],
        lambda: [TransformerAgent(3, 8, n_heads=2, window=3), Acts("memory", 8)],
        lambda: [PreviousAction("previous"), Acts("inputs", 5)],
        lambda: [PreviousAction("previous"), GRUAgent(5, 8, observation_variable="inputs"), Acts("memory", 8)],
        lambda: [PreviousAction("previous"), Acts("inputs", 5), Traces("traces")],
        lambda: [Stack("stack"), Acts("stack", 9)],
        lambda: [Remembers(), CopyTAgent("features", "copied"), Acts("copied")],
    ],
)
def test_no_mistakes(agents, n_envs):
    env = GymAgent("Pendulum-v1", n_envs)
    problems = look(env, *agents())
    env.close()
    assert not problems and not problems.notes


def test_one_episode_in_each_environment_needs_no_reset():
    env = GymAgent("Pendulum-v1", 2, auto_reset=False)
    assert not look(env, Remembers("never"), Acts(), stop_variable="env/done")
    env.close()
