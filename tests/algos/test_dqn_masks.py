"""DQN where environments allow some actions and not others; what is not allowed raises in them."""

import re

import pytest
import torch

from tests.choices_env import ChoicesEnv
from workspace_rl import GymAgent, Run, Workspace, policy_function
from workspace_rl.agents import DiscreteQAgent
from workspace_rl.algos import DQN, SAC
from workspace_rl.algos.dqn import critic_target
from workspace_rl.errors import ActionError, ConfigError, UnknownVariableError, UnsupportedSpaceError
from workspace_rl.inspection import check, diagram

KEY = {"action_mask": {"shape": [4], "dtype": "bool"}}
VARIABLES = {"info": "env/info/action_mask", "observation": "env/env_obs/action_mask"}


def config(where, tmp_path, env_args=None, **algorithm):
    algorithm = {
        "n_envs": 2,
        "n_steps": 4,
        "total_steps": 1600,
        "learning_starts": 100,
        "random_steps": 100,
        "updates_per_collect": 4,
        "batch_size": 64,
        "epsilon_steps": 800,
        "nb_evals": 4,
        "eval_interval": 800,
        "final_episodes": 20,
        "target_update_interval": 50,
        "discount_factor": 0.5,
        "architecture": {"hidden_size": [32]},
        "action_mask": VARIABLES[where],
    } | algorithm
    environment = {"env_name": "tests.choices_env:Choices-v0", "env_args": {"masked": where} | (env_args or {})}
    return {
        "gym_env": environment | ({"info_keys": KEY} if where == "info" else {}),
        "algorithm": algorithm,
        "optimizer": {"classname": "torch.optim.Adam", "lr": 3e-3},
        "base_dir": str(tmp_path / "run"),
        "compile": False,
        "record_best": False,
    }


@pytest.mark.parametrize("where", ["info", "observation"])
def test_it_learns_without_ever_taking_what_is_not_allowed(where, tmp_path):
    given = config(where, tmp_path, double=where == "info", n_step_return=2 if where == "info" else 1)
    result = DQN(given | {"record_best": where == "info"}).train(progress=False)
    assert result.final.mean > 2.5
    stored = DQN(given).make_experience().variables
    act, env = policy_function(tmp_path / "run"), ChoicesEnv(masked=where)
    observation, info = env.reset(seed=0)
    for _ in range(3):
        observation, *_, info = env.step(act(observation, info))  # without infos' keys, they are of no interest
    assert VARIABLES[where] in stored and ("env/env_obs/vector" in stored) is (where == "observation")
    if where == "info":  # films and scores of a saved policy are of environments that tell their masks, too
        assert (tmp_path / "run" / "best" / "best_agent.mp4").exists()
        assert Run(tmp_path / "run").evaluate(5).mean > 2.5


def test_collectors_in_other_processes_tell_masks(tmp_path):
    given = config("info", tmp_path, total_steps=64, learning_starts=32, random_steps=16, final_episodes=0)
    assert DQN(given | {"collectors": {"n": 1, "where": "local"}}).train(progress=False).steps >= 64


@pytest.mark.parametrize("where", ["info", "observation"])
def test_it_can_be_looked_at_before_anything_runs(where, tmp_path):
    algorithm = DQN(config(where, tmp_path))
    problems = check(algorithm)
    assert not problems, problems
    assert VARIABLES[where] in str(diagram(algorithm))


# ---- targets ------------------------------------------------------------------------------------------------------


def _transitions(mask_of_next):
    workspace = Workspace()
    workspace.set_full("env/env_obs", torch.zeros(2, 3, 4))
    workspace.set_full("action", torch.zeros(2, 3, dtype=torch.int64))
    workspace.set_full("env/reward", torch.tensor([[0.0] * 3, [1.0, 2.0, 3.0]]))
    workspace.set_full("env/terminated", torch.tensor([[False] * 3, [False, False, True]]))
    allowed = torch.tensor(mask_of_next, dtype=torch.bool)
    workspace.set_full("env/info/action_mask", torch.stack((torch.ones_like(allowed), allowed)))
    workspace.set_full("discount", torch.tensor([[0.5, 0.5, 0.0]] * 2))
    return workspace


def _constant(agent, values):
    with torch.no_grad():
        agent.head[-1].weight.zero_()
        agent.head[-1].bias.copy_(torch.tensor(values))


@pytest.mark.parametrize(("double", "expected"), [(False, [1 + 15.0, 2 + 20.0, 3.0]), (True, [1 + 5.0, 2 + 20.0, 3.0])])
def test_targets_are_of_the_best_action_that_is_allowed_next(double, expected, tmp_path):
    algorithm = DQN(config("info", tmp_path, double=double))
    _constant(algorithm.target_q_agent, [10.0, 20.0, 30.0, 40.0])
    _constant(algorithm.q_agent, [4.0, 3.0, 2.0, 1.0])
    # Everything but the last two actions; the last one alone; nothing, where the episode is over.
    workspace = _transitions([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    algorithm.target_policy(workspace, t=1)
    assert critic_target(workspace).tolist() == expected
    # The same in one graph.
    workspace = _transitions([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    torch.compile(lambda one: algorithm.target_policy(one, t=1), fullgraph=True, backend="eager")(workspace)
    assert critic_target(workspace).tolist() == expected


# ---- what does not fit --------------------------------------------------------------------------------------------


def test_where_nothing_is_allowed_the_run_stops_and_names_the_place(tmp_path):
    message = r"'env/info/action_mask' at step \d+ allows no action in environment 0, at step 1 of its episode"
    with pytest.raises(ActionError, match=message):
        DQN(config("info", tmp_path, {"none_at": 1})).train(progress=False)
    with pytest.raises(ActionError, match=message):
        DQN(config("info", tmp_path / "greedy", {"none_at": 1}, random_steps=0, epsilon_start=0)).train(progress=False)


def test_where_an_episode_is_over_nothing_need_be_allowed(tmp_path):
    given = config("info", tmp_path, {"none_at": 3}, total_steps=200, final_episodes=2)
    assert DQN(given).train(progress=False).steps >= 200


@pytest.mark.parametrize(
    ("variable", "gym_env", "message"),
    [
        ("env/info/action_mask", {"info_keys": {}}, "gym_env.info_keys={action_mask: {shape: [4], dtype: bool}} writ"),
        ("action_mask", {"info_keys": {}}, "'action_mask' found, which nobody writes"),
        ("env/info/acton_mask", {}, "Did you mean 'env/info/action_mask'?"),
        ("env/info/action_mask", {"info_keys": {"action_mask": {"shape": [3], "dtype": "bool"}}}, "shape [3]"),
        ("env/info/action_mask", {"info_keys": {"action_mask": {"shape": [4], "dtype": "float32"}}}, "float32 of sha"),
    ],
)
def test_a_mask_that_nobody_writes_or_that_does_not_fit_is_refused(variable, gym_env, message, tmp_path):
    given = config("info", tmp_path, action_mask=variable)
    given["gym_env"] |= gym_env
    with pytest.raises(ConfigError, match=r"^algorithm.action_mask: .*" + re.escape(message)):
        DQN(given)


def test_one_other_part_of_an_observation_is_read_and_not_several():
    agent = GymAgent(lambda: ChoicesEnv(masked="observation"))
    read = agent.observed("env/env_obs/action_mask")
    assert (read.variable, read.size, read.choices) == ("env/env_obs/vector", 4, None)
    assert agent.observed() == ("env/env_obs", agent.observation_space)
    with pytest.raises(UnsupportedSpaceError, match=r"holds 'env/env_obs/x', 'env/env_obs/y' beside the mask"):
        GymAgent(lambda: _Parts("x", "y")).observed("env/env_obs/action_mask")
    with pytest.raises(UnsupportedSpaceError, match=r"holds nothing beside the mask"):
        GymAgent(_Parts).observed("env/env_obs/action_mask")


class _Parts(ChoicesEnv):
    def __init__(self, *names):
        super().__init__(masked="observation")
        parts = {name: self.observation_space["vector"] for name in names}
        self.observation_space = type(self.observation_space)(
            action_mask=self.observation_space["action_mask"], **parts
        )


def test_other_algorithms_have_no_masks_and_q_networks_read_what_they_are_told(tmp_path):
    with pytest.raises(ConfigError, match="unknown key 'algorithm.action_mask'"):
        SAC({"gym_env": {"env_name": "Pendulum-v1"}, "algorithm": {"total_steps": 9, "action_mask": "x"}})
    workspace = Workspace()
    agent = DiscreteQAgent([2], [], 3, observation_variable="mine")
    workspace.set("mine", 0, torch.zeros(5, 2))
    agent(workspace, t=0)
    assert workspace.get("q/q_values", 0).shape == (5, 3)
    with pytest.raises(UnknownVariableError, match="env_obs"):
        DiscreteQAgent([2], [], 3)(workspace, t=0)
