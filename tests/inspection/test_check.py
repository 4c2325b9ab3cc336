"""The mistakes of docs/composition-mistakes.md: each is built, and `check` says what it is before anything runs."""

import copy
import types
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch

from tests.mistakes import expect
from workspace_rl import (
    Agent,
    Agents,
    GymAgent,
    TemporalAgent,
    Workspace,
    check,
    minimise,
    setup_optimizer,
    soft_update,
)
from workspace_rl.agents import ContinuousQAgent, GreedyAgent, SquashedGaussianActor
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import SAC
from workspace_rl.algos.ddpg import critic_loss as ddpg_loss
from workspace_rl.algos.sac import actor_loss, critic_loss
from workspace_rl.composition import KWAgentWrapper
from workspace_rl.errors import CompositionError
from workspace_rl.experience.returns import n_step_transitions

FAST = {"compile": False, "matmul_precision": "highest"}


@pytest.fixture(scope="module")
def env():
    agent = GymAgent("Pendulum-v1", 2)
    yield agent
    agent.close()


@pytest.fixture(scope="module")
def cartpole():
    agent = GymAgent("CartPole-v1", 2)
    yield agent
    agent.close()


def actor(observation_size=3, action_size=1):
    return SquashedGaussianActor(observation_size, [8], action_size, name="actor")


def critic(observation_size=3, action_size=1, name="critic"):
    return ContinuousQAgent(observation_size, [8], action_size, name=name)


class Reads(Agent):
    """Reads one variable and writes the action."""

    def __init__(self, variable, name="policy"):
        super().__init__(name)
        self.variable = variable

    def forward(self, t, **kwargs):
        self.set(("action", t), self.get((self.variable, t))[:, :1])


def test_1_a_misspelled_variable(env):
    problems = check(TemporalAgent(Agents(env, Reads("env/obs"))))
    expect(problems, 1, "never written", "agent 'policy' (Reads)", "'env/obs'", "Did you mean 'env/env_obs'?")


def test_2_agents_in_the_wrong_order(env):
    problems = check(TemporalAgent(Agents(actor(), env)))
    expect(problems, 2, "order", "'actor'", "'env/env_obs' at step 0 before agent 'GymAgent' writes it")


def test_3_a_target_critic_without_a_prefix_of_its_own(env):
    one = critic()
    twin = copy.deepcopy(one).set_name("target-critic")
    problems = check(TemporalAgent(Agents(env, actor(), one, twin)))
    expect(problems, 3, "written twice", "'critic/q_values'", "'target-critic'", "with_prefix")


def test_4_an_actor_for_other_observations(env):
    problems = check(TemporalAgent(Agents(env, actor(observation_size=4))))
    expect(problems, 4, "shape or dtype", "'actor'", "'env/env_obs' [B, 3] float32")


def test_5_a_critic_for_other_actions(env):
    problems = check(TemporalAgent(Agents(env, actor(), critic(action_size=2))))
    expect(problems, 5, "shape or dtype", "'critic'", "'action' [B, 1] float32 from actor")


def test_6_actions_that_do_not_fit_the_environment(env):
    problems = check(TemporalAgent(Agents(env, actor(action_size=2))))
    expect(problems, 6, "mismatch", "'GymAgent'", "floats of shape [2, 1]", "found torch.float32 of shape [2, 2]")


def test_7_values_instead_of_a_choice(cartpole):
    class Values(Agent):
        def forward(self, t, **kwargs):
            self.set(("action", t), self.get(("env/env_obs", t))[:, :2])

    problems = check(TemporalAgent(Agents(cartpole, Values("values"))))
    expect(problems, 7, "mismatch", "integers of shape [2]", "argmax(-1)")


class StaleLogProbs(SAC):
    """Stores the policy's log-probabilities, and forgets to compute those of the fresh actions."""

    stored_variables = (*SAC.stored_variables, "action_logprobs")

    def build(self):
        super().build()
        self.policy = self.actor
        self.target_actor = KWAgentWrapper(self.actor, log_prob=False)

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.target_actor(workspace, t=1)
        self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        return {"loss": minimise(critic_loss(workspace, self.entropy_coef().detach()), self.critic_optimizer)}


def test_8_the_replayed_log_probabilities_of_fresh_actions(tiny_sac):
    problems = check(StaleLogProbs(tiny_sac))
    expect(problems, 8, "stale", "function 'critic_loss'", "'action_logprobs' at step 1", "fresh one of agent 'actor'")


class NoNextAction(SAC):
    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.target_critic(workspace, t=1)
        self.critic(workspace, t=0)
        target = workspace.get("env/reward", 1) + workspace.get("target-critic/q_values", 1).amin(-1)
        loss = (workspace.get("critic/q_values", 0) - target.unsqueeze(-1)).square().mean()
        return {"loss": minimise(loss, self.critic_optimizer)}


@pytest.mark.parametrize("n_steps", [1, 3])
def test_9_a_target_of_the_replayed_next_action(tiny_sac, n_steps):
    tiny_sac["algorithm"]["n_step_return"] = n_steps
    problems = check(NoNextAction(tiny_sac))
    expect(problems, 9, "stale", "'target-critic'", "'action' at step 1", "run it in the update at t=1 first")


def batch(n_steps=1):
    shape = (n_steps + 1, 5)
    actions = {"action": torch.zeros(*shape, 1), "action_logprobs": torch.zeros(shape)}
    flags = {f"env/{name}": torch.zeros(shape, dtype=torch.bool) for name in ("terminated", "done")}
    return {"env/env_obs": torch.zeros(*shape, 3), "env/reward": torch.zeros(shape), **actions, **flags}


def learning(*at_the_next_step, needs_log_probabilities=True):
    """Return an update that runs these agents at t=1, all of them in its closure."""
    judge = critic()
    target = judge.clone().with_prefix("target-critic/").set_name("target-critic")
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, judge)

    def update(batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            for agent in (*at_the_next_step, target):
                agent(workspace, t=1)
        judge(workspace, t=0)
        loss = critic_loss(workspace, torch.tensor(0.1)) if needs_log_probabilities else ddpg_loss(workspace)
        return {"loss": minimise(loss, optimizer)}

    return update


def test_8_in_a_function_of_a_batch():
    problems = check(learning(KWAgentWrapper(actor(), log_prob=False)), inputs=batch())
    expect(problems, 8, "stale", "function 'critic_loss'", "'action_logprobs' at step 1", "fresh one of agent 'actor'")
    assert not check(learning(KWAgentWrapper(actor(), log_prob=True)), inputs=batch())


@pytest.mark.parametrize("n_steps", [1, 3])
def test_9_in_a_function_of_a_batch(n_steps):
    problems = check(learning(needs_log_probabilities=False), inputs=batch(n_steps))
    expect(problems, 9, "stale", "'target-critic'", "'action' at step 1", "what the policy chose")


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


class NoActor(SAC):
    """Judges the stored action instead of the actor's."""

    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        with torch.no_grad():
            self.actor(workspace, t=0)
        self.critic(workspace, t=0)
        return {"loss": minimise(actor_loss(workspace, torch.tensor(1.0)), self.actor_optimizer)}


def test_11_a_loss_that_does_not_depend_on_what_it_trains(tiny_sac):
    expect(check(NoActor(tiny_sac)), 11, "no gradient", "'actor_optimizer'", "torch.no_grad()")


def test_12_a_batch_that_meets_a_column():
    q = torch.nn.Linear(3, 1)
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, q)

    def update(batch):
        error = q(batch.get("env/env_obs", 0)) - batch.get("env/reward", 1)
        return {"loss": minimise(error.square().mean(), optimizer)}

    batch = {"env/env_obs": torch.zeros(2, 5, 3), "env/reward": torch.zeros(2, 5)}
    expect(check(update, inputs=batch), 12, "broadcast", "[B, 1]", "function", "update", "squeeze(-1)")


class EarlyReward(SAC):
    def update(self, batch):
        workspace = n_step_transitions(batch, 0.99)
        self.critic(workspace, t=0)
        errors = workspace.get("critic/q_values", 0) - workspace.get("env/reward", 0).unsqueeze(-1)
        return {"loss": minimise(errors.square().mean(), self.critic_optimizer)}


def test_13_the_reward_of_the_action_before(tiny_sac):
    expect(check(EarlyReward(tiny_sac)), 13, "time", "'env/reward' at step 0", "read step 1")


@pytest.mark.parametrize(
    ("reward", "kinds", "noted"),
    [
        (lambda reward: reward[1], [], []),
        (lambda reward: reward[1:].squeeze(0), [], []),
        (lambda reward: reward[0, :5], ["time"], []),
        (lambda reward: reward[-2], ["time"], []),
        (lambda reward: reward.clamp(-1, 1)[0], [], ["'env/reward'"]),
    ],
)
def test_13_by_the_steps_of_a_whole_variable(reward, kinds, noted):
    problems = check(using(lambda batch, q_values: q_values[0].amin(-1) - reward(batch["env/reward"])), inputs=batch())
    assert [one.kind for one in problems] == kinds
    assert len(problems.notes) == len(noted) and all(map(str.__contains__, problems.notes, noted))


def using(loss):
    """Return an update that minimises a function of the batch and of the critic's whole variable."""
    judge = critic()
    optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, judge)

    def update(batch):
        judge(batch, t=0)
        return {"loss": minimise(loss(batch, batch["critic/q_values"]).mean(), optimizer)}

    return update


def test_10_by_the_steps_of_a_whole_variable():
    judge = critic(name="target-critic").with_prefix("target-critic/")

    def error(batch, q_values):
        with torch.no_grad():
            judge(batch, t=1)
        return q_values[0] - batch["env/reward"][1].unsqueeze(-1) - batch["target-critic/q_values"][0]

    problem = check(using(error), inputs=batch())[-1]
    assert "uses step 0 of variable 'target-critic/q_values', which nobody writes: it is zeros" in problem.message


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


# ---- right compositions, and what cannot be traced ----------------------------------------------------------------


def test_a_right_composition_has_no_problems(env, cartpole):
    assert not check(TemporalAgent(Agents(env, actor())), n_steps=3)
    q_agent = torch.nn.Linear(4, 2)

    class Q(Agent):
        def __init__(self):
            super().__init__()
            self.model = q_agent

        def forward(self, t, **kwargs):
            self.set(("q/q_values", t), self.model(self.get(("env/env_obs", t))))

    problems = check(TemporalAgent(Agents(cartpole, Q(), GreedyAgent())))
    assert not problems and str(problems) == "TemporalAgent: no problems found"


@pytest.mark.parametrize("algorithm", ["sac", "dqn", "td3", "ddpg"])
def test_returns_over_several_steps_have_no_problems(algorithm):
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    settings = {"n_step_return": 3, "random_steps": 10, "total_steps": 100_000}
    found = check(find_algorithm(algorithm)({"gym_env": {"env_name": environment}, "algorithm": settings, **FAST}))
    assert not found and not found.notes


class Recurrent(Agent):
    """State in the agent, statistics in its buffers, and torch's distributions, which check their parameters."""

    def __init__(self):
        super().__init__("recurrent")
        self.cell, self.norm, self.mean = torch.nn.GRUCell(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1)
        self.state = None

    def forward(self, t, **kwargs):
        self.state = self.cell(self.get(("env/env_obs", t)), None if t == 0 else self.state)
        distribution = torch.distributions.Normal(self.mean(self.norm(self.state)), 1.0)
        action = distribution.sample().clamp(-1, 1)
        self.set(("action", t), action)
        self.set(("action_logprobs", t), distribution.log_prob(action).sum(-1))


def test_agents_with_state_are_traced_and_keep_it(env):
    agent = Recurrent()
    problems = check(TemporalAgent(Agents(env, agent)))
    assert not problems and not problems.notes
    assert agent.state is None and agent.norm.num_batches_tracked == 0


def test_what_was_replaced_on_an_object_is_not_run(tiny_sac):
    algorithm, calls = SAC(tiny_sac), []
    algorithm.update = lambda batch: calls.append(batch)
    problems = check(algorithm)
    assert not problems and not calls and "replaced on the object" in problems.notes[0]


class DependsOnValues(Agent):
    """Its program depends on what a tensor holds; it must not be refused."""

    def forward(self, t, **kwargs):
        observation = self.get(("env/env_obs", t))
        if observation[:, 0].mean() > 0:
            self.set(("action", t), observation[:, :1].clamp(-1, 1))
        else:
            self.set(("action", t), torch.from_numpy(observation.numpy()[:, :1].clip(-1, 1)))


def test_what_cannot_be_traced_is_said_and_not_refused(env):
    problems = check(TemporalAgent(Agents(env, DependsOnValues("wilful"))))
    assert not problems
    assert "agent 'wilful' (DependsOnValues) was not traced to its end" in problems.notes[0]


def test_nothing_happens_to_agents_environments_or_random_numbers():
    class Remembers(Agent):
        def __init__(self):
            super().__init__("remembers")
            self.seen, self.last = [], None

        def forward(self, t, **kwargs):
            self.last = self.get(("env/env_obs", t))
            self.seen.append(self.last)
            self.set(("action", t), torch.rand(2, 1))

    env, memory = GymAgent("Pendulum-v1", 2), Remembers()
    before, state = dict(vars(env)), torch.get_rng_state()
    assert not check(TemporalAgent(Agents(env, memory)))
    assert memory.seen == [] and memory.last is None and memory.workspace is None
    assert vars(env) == before and env._episodes is None
    assert torch.equal(torch.get_rng_state(), state)
    assert type(Workspace()._new_variable("x", torch.ones(1))).__name__ == "Variable"
    env.close()


class Learner:
    """Holds what it trains, and changes it by itself."""

    def __init__(self):
        self.critic, self.target = critic(), critic(name="target-critic")
        self.optimizer = setup_optimizer({"classname": "torch.optim.Adam", "lr": 1e-3}, self.critic)

    def update(self, batch):
        soft_update(self.target, self.critic, 0.5)
        self.critic(batch, t=0)
        return minimise(batch.get("critic/q_values", 0).square().mean(), self.optimizer)

    def fail(self, batch):
        soft_update(self.target, self.critic, 0.5)
        return batch.get("action", 0) @ torch.zeros(7, 7)


@pytest.mark.parametrize("reached_by", ["object", "method", "partial", "default", "closure", "module"])
def test_what_a_function_trains_is_not_changed_however_it_is_reached(reached_by, env):
    learner, module = Learner(), types.ModuleType("module")
    module.learner = learner
    inner = lambda batch: learner.update(batch)  # noqa: E731
    part = partial(Learner.update, learner)
    update = {
        "object": lambda batch: Learner.update(learner, batch),
        "method": learner.update,
        "partial": lambda batch: part(batch),
        "default": lambda batch, learner=learner: learner.update(batch),
        "closure": lambda batch: inner(batch),
        "module": lambda batch: module.learner.update(batch),
    }[reached_by]
    before = copy.deepcopy([*learner.critic.parameters(), *learner.target.parameters()])
    problems = check(update, inputs={"env/env_obs": env.observation_space, "action": env.action_space})
    after = [*learner.critic.parameters(), *learner.target.parameters()]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, after, strict=True))
    assert not learner.optimizer.state and not problems
    assert not problems.notes


def test_what_is_out_of_reach_is_not_changed_to_see_whether_an_error_is_real(env):
    learner = Learner()
    reference = weakref.ref(learner)
    before = copy.deepcopy([*learner.target.parameters()])
    assert check(lambda batch: reference().fail(batch), inputs={"action": env.action_space}).notes
    assert all(map(torch.equal, before, learner.target.parameters()))


def test_strict_raises_and_names_all(env):
    with pytest.raises(CompositionError, match=r"(?s)1 problem found.*'env/obs'"):
        check(TemporalAgent(Agents(env, Reads("env/obs"))), strict=True)


def test_inputs_may_be_spaces_tensors_workspaces_and_environments(env):
    spaces = {"env/env_obs": env.observation_space, "action": env.action_space}
    assert not check(critic(), inputs=spaces)
    assert not check(critic(), inputs=spaces | {"action": torch.zeros(2, 5, 1)})  # of the tensors' batch size
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.zeros(4, 3))
    assert not check(actor(), inputs=workspace) and not check(actor(), inputs=env)
    assert [one.kind for one in check(critic())] == ["never written"]
    with pytest.raises(CompositionError, match="inputs must be"):
        check(critic(), inputs=3)
    with pytest.raises(CompositionError, match="can be looked at"):
        check(3)


def test_training_refuses_what_would_fail_and_warns_of_the_rest(tiny_sac):
    with pytest.raises(CompositionError, match="'env/terminated'"):

        class Forgetful(SAC):
            stored_variables = ("env/env_obs", "action", "env/reward")

        Forgetful(tiny_sac).train(progress=False)
    assert not Path(tiny_sac["base_dir"]).exists()
    with pytest.warns(UserWarning, match="replayed"):
        NoNextAction(tiny_sac).train(progress=False)
