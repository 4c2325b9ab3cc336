"""Values that are written over, and steps that nobody writes."""

import copy

import torch

from tests.inspection.pieces import actor, batch, critic, using
from tests.mistakes import expect
from workspace_rl import Agents, TemporalAgent, check


def test_3_a_target_critic_without_a_prefix_of_its_own(env):
    one = critic()
    twin = copy.deepcopy(one).set_name("target-critic")
    problems = check(TemporalAgent(Agents(env, actor(), one, twin)))
    expect(problems, 3, "written twice", "'critic/q_values'", "'target-critic'", "with_prefix")


def test_10_by_the_steps_of_a_whole_variable():
    judge = critic(name="target-critic").with_prefix("target-critic/")

    def error(batch, q_values):
        with torch.no_grad():
            judge(batch, t=1)
        return q_values[0] - batch["env/reward"][1].unsqueeze(-1) - batch["target-critic/q_values"][0]

    problem = check(using(error), inputs=batch())[-1]
    assert "uses step 0 of variable 'target-critic/q_values', which nobody writes: it is zeros" in problem.message
