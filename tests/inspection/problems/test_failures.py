"""Mistakes of docs/composition-mistakes.md that would make a program fail."""

import pytest
import torch

from tests.inspection.pieces import Reads, actor, critic
from tests.mistakes import expect
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, check, minimise
from workspace_rl.algos import SAC
from workspace_rl.algos.sac import critic_loss
from workspace_rl.experience.returns import n_step_transitions


def test_1_a_misspelled_variable(env):
    problems = check(TemporalAgent(Agents(env, Reads("env/obs"))))
    expect(problems, 1, "never written", "agent 'policy' (Reads)", "'env/obs'", "Did you mean 'env/env_obs'?")


def test_2_agents_in_the_wrong_order(env):
    problems = check(TemporalAgent(Agents(actor(), env)))
    expect(problems, 2, "order", "'actor'", "'env/env_obs' at step 0 before agent 'GymAgent' writes it")


def test_4_an_actor_for_other_observations(env):
    problems = check(TemporalAgent(Agents(env, actor(observation_size=4))))
    expect(problems, 4, "shape or dtype", "'actor'", "'env/env_obs' [B, 3] float32")


def test_5_a_critic_for_other_actions(env):
    problems = check(TemporalAgent(Agents(env, actor(), critic(action_size=2))))
    expect(problems, 5, "shape or dtype", "'critic'", "'action' [B, 1] float32 from actor")


def test_6_actions_that_do_not_fit_the_environment(env):
    problems = check(TemporalAgent(Agents(env, actor(action_size=2))))
    expect(problems, 6, "mismatch", "'GymAgent'", "floats of shape [2, 1]", "found torch.float32 of shape [2, 2]")


@pytest.fixture(scope="module")
def cartpole():
    agent = GymAgent("CartPole-v1", 2)
    yield agent
    agent.close()


def test_7_values_instead_of_a_choice(cartpole):
    class Values(Agent):
        def forward(self, t, **kwargs):
            self.set(("action", t), self.get(("env/env_obs", t))[:, :2])

    problems = check(TemporalAgent(Agents(cartpole, Values("values"))))
    expect(problems, 7, "mismatch", "integers of shape [2]", "argmax(-1)")


class WrongStep(SAC):
    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.actor(workspace, t=1)
        self.target_critic(workspace, t=0)
        self.critic(workspace, t=0)
        return {"loss": minimise(critic_loss(workspace, self.entropy_coef().detach()), self.critic_optimizer)}


def test_10_a_target_critic_at_the_wrong_step(tiny_sac):
    problems = check(WrongStep(tiny_sac))
    expect(problems, 10, "unwritten step", "'target-critic/q_values' at step 1", "writes it only at step 0")


def test_14_forward_without_further_arguments(tiny_sac):
    class Strict(Agent):
        def forward(self, t):
            self.set(("action", t), self.get(("env/env_obs", t))[:, :1])

    algorithm = SAC(tiny_sac)
    algorithm.policy = Strict("strict")
    problems = check(algorithm)
    expect(problems, 14, "arguments", "'strict'", "forward(self, t, **kwargs)")


def test_15_a_stop_variable_that_nobody_writes(env):
    problems = check(TemporalAgent(Agents(env, actor())), stop_variable="env/stop")
    expect(problems, 15, "never written", "'TemporalAgent'", "'env/stop'")


def test_16_an_update_that_needs_what_is_not_stored(tiny_sac):
    class Forgetful(SAC):
        stored_variables = ("env/env_obs", "action", "env/reward")

    expect(check(Forgetful(tiny_sac)), 16, "never written", "'env/terminated'", "stored_variables has env/env_obs")


def test_17_a_policy_that_is_missing(env):
    expect(check(TemporalAgent(env)), 17, "never written", "'GymAgent'", "'action'")


def test_18_a_variable_that_changes_between_steps(env):
    class Changing(Agent):
        def forward(self, t, **kwargs):
            self.set(("flag", t), torch.zeros(2, dtype=torch.float32 if t else torch.int64))

    problems = check(TemporalAgent(Agents(env, actor(), Changing())))
    expect(problems, 18, "mismatch", "'Changing'", "variable 'flag' changes at step 1")
