"""What `check` takes and gives, and that right compositions have no problem."""

from pathlib import Path

import pytest
import torch

from tests.inspection.pieces import FAST, Reads, actor, critic
from tests.inspection.problems.test_stored import NoNextAction
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, Workspace, check
from workspace_rl.agents import GreedyAgent
from workspace_rl.algorithm.names import find_algorithm
from workspace_rl.algos import DQN, SAC, TD3
from workspace_rl.config.sources import load_config, shipped_configs
from workspace_rl.errors import CompositionError, MissingDependencyError


@pytest.fixture(scope="module")
def cartpole():
    agent = GymAgent("CartPole-v1", 2)
    yield agent
    agent.close()


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


@pytest.mark.parametrize("algorithm", ["sac", "dqn", "td3", "ddpg", "tqc", "sac_discrete"])
def test_returns_over_several_steps_have_no_problems(algorithm):
    environment = "CartPole-v1" if algorithm in ("dqn", "sac_discrete") else "Pendulum-v1"
    settings = {"n_step_return": 3, "random_steps": 10, "total_steps": 100_000}
    found = check(find_algorithm(algorithm)({"gym_env": {"env_name": environment}, "algorithm": settings, **FAST}))
    assert not found and not found.notes


@pytest.mark.parametrize("algorithm", [SAC, TD3, DQN])
def test_the_library_makes_none_of_them(algorithm, tiny_sac):
    if algorithm is DQN:
        tiny_sac["gym_env"]["env_name"] = "CartPole-v1"
        tiny_sac["algorithm"] |= {"double": True, "reward_clip": 1.0, "n_step_return": 3}
        del tiny_sac["algorithm"]["architecture"]
    one = algorithm(tiny_sac)
    found = check(one)
    one.train_env.close()
    assert not found and not found.notes


@pytest.mark.parametrize("name", shipped_configs())
def test_no_shipped_composition_has_a_problem(name):
    config = load_config(name)
    config.compile, config.matmul_precision = False, "highest"
    if "freeze_features" in config.algorithm.get("architecture", {}):  # those of a run that the user has
        config.algorithm.architecture.freeze_features = False
    try:
        algorithm = find_algorithm(config.algo)(config)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    problems = check(algorithm)
    algorithm.train_env.close()
    assert not problems and not problems.notes


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
