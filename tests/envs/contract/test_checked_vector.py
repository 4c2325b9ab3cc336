"""Vector environments of the user's own."""

import functools

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from tests.envs.odd_environments import OwnVector, Returning, play
from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.errors import CompositionError, EnvironmentContractError, EnvironmentFailedError


def test_a_vector_environment_may_use_its_arrays_again_and_change_its_actions():
    vector = OwnVector()
    agent = GymAgent(vector)
    workspace = Workspace()
    TemporalAgent(Agents(agent, ConstantAgent(0.5)))(workspace, t=0, n_steps=8)
    assert workspace["env/env_obs"][..., 0].T.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]] * 2
    assert workspace["env/reward"].T.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]] * 2
    assert workspace["env/done"].T.tolist() == [[False] * 4 + [True] + [False] * 3] * 2
    assert (workspace["action"] == 0.5).all()
    vector = OwnVector(action_space=spaces.Discrete(5))
    workspace = Workspace()
    agent = GymAgent(vector)
    agent(workspace, t=0)
    workspace.set("action", 0, torch.tensor([3, 4]))
    agent(workspace, t=1)
    assert workspace["action"].tolist() == [[3, 4]]


LIBERTIES = {
    "lists": lambda o, r, te, tr, i: (o.tolist(), r.tolist(), te.tolist(), tr.tolist(), i),
    "float64, int8": lambda o, r, te, tr, i: (o.astype(np.float64), r.astype(np.float32), te.astype(np.int8), tr, i),
    "tensors": lambda o, r, te, tr, i: (*map(torch.tensor, (o, r, te, tr)), i),
    "integers": lambda o, r, te, tr, i: (o, r.astype(np.int64), te, tr.astype(float), i),
    "infos of other kinds": lambda o, r, te, tr, i: (o, r, te, tr, [i, None]),
}


@pytest.mark.parametrize("change", LIBERTIES)
def test_usual_liberties_of_vector_environments_are_taken(change):
    workspace = Workspace()
    TemporalAgent(Agents(GymAgent(OwnVector(LIBERTIES[change])), ConstantAgent()))(workspace, t=0, n_steps=6)
    kinds = {"env_obs": torch.float32, "reward": torch.float32, "terminated": torch.bool, "truncated": torch.bool}
    assert {name: workspace[f"env/{name}"].dtype for name in kinds} == kinds
    assert workspace["env/env_obs"][..., 0].T.tolist() == [[0, 1, 2, 3, 4, 0]] * 2


BROKEN = {
    r"its observation 'env_obs' must be float32 of shape \[2, 1\].*ndarray float32 of shape \[2\] found": (
        lambda o, *rest: (o[:, 0], *rest)
    ),
    r"its observation 'env_obs' must be float32 of shape \[2, 1\].*ndarray float32 of shape \[3, 1\] found": (
        lambda o, *rest: (np.zeros((3, 1), np.float32), *rest)
    ),
    r"its observation 'env_obs' must be float32 of shape \[2, 1\].*ndarray int64 of shape \[2, 1\] found": (
        lambda o, *rest: (o.astype(np.int64), *rest)
    ),
    r"its rewards must be real numbers of shape \[2\].*ndarray float64 of shape \[1\] found": (
        lambda o, r, *rest: (o, r[:1], *rest)
    ),
    r"its rewards must be real numbers of shape \[2\].*None \(NoneType\) found": lambda o, r, *rest: (o, None, *rest),
    r"its rewards must be real numbers of shape \[2\].*complex": lambda o, r, *rest: (o, r * 1j, *rest),
    r"its 'terminated' must be True or False for each environment, of shape \[2\].*\[1\]": (
        lambda o, r, te, *rest: (o, r, te[:1], *rest)
    ),
    r"its 'truncated' must be True or False for each.*int64": lambda o, r, te, tr, i: (o, r, te, np.array([0, 2]), i),
    r"its 'terminated' must be True or False for each.*False \(bool\) found": (
        lambda o, r, te, *rest: (o, r, False, *rest)
    ),
    r"its step must return \(observation, reward.*tuple of 4 found.*old package gym": lambda o, r, *rest: (o, *rest),
    r"raised ValueError: it broke": lambda *outcome: (_ for _ in ()).throw(ValueError("it broke")),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_vector_environment_that_breaks_the_interface_is_told_as_single_ones_are(message):
    with pytest.raises(EnvironmentFailedError, match=rf"of 2 environments 'OwnVector', step 2 since .*: .*{message}"):
        play(GymAgent(OwnVector(BROKEN[message])))


def test_numbers_of_vector_environments_are_looked_at():
    space = spaces.Dict(a=spaces.Box(0, 255, (1,), np.uint8))
    wide = lambda o, *rest: ({"a": np.array([[7], [300]])}, *rest)  # noqa: E731
    with pytest.raises(EnvironmentContractError, match=r"environment 1 of 2 .*'env_obs/a' holds 300 at \[0\], but uin"):
        play(GymAgent(OwnVector(wide, "reset", observation_space=space)))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, "SameStep", AutoresetMode.DISABLED])
def test_other_modes_of_resets_are_refused(mode):
    vector = OwnVector()
    vector.metadata = {"autoreset_mode": mode}
    with pytest.raises(CompositionError, match="build it with NEXT_STEP"):
        GymAgent(vector)
    vector.metadata = {"autoreset_mode": "now and then"}
    with pytest.raises(CompositionError, match="mode 'now and then'"):
        GymAgent(vector)
    vector.metadata = {"autoreset_mode": "NextStep"}
    GymAgent(vector)


def test_a_vector_environment_that_resets_at_another_time_than_it_says_is_told():
    class SameStep(OwnVector):
        metadata = {}

        def step(self, actions):
            outcome = super().step(actions)
            if self.terminated[0]:
                self.k, self.observations[:] = 0, 0
                return *outcome[:2], self.terminated.copy(), *outcome[3:]
            return outcome

    class Never(OwnVector):
        def step(self, actions):
            observations, rewards, _, truncated, infos = super().step(actions)
            return observations, rewards, np.array([False, self.t >= 4]), truncated, infos

    same_step = SameStep()
    same_step.terminated = np.zeros(2, bool)
    with pytest.raises(EnvironmentContractError, match=r"environment 1 of 2 .* must only reset it .*terminated True"):
        play(GymAgent(Never(length=99)), 8)
    step = same_step.step

    def resets_at_once(actions):
        outcome = step(actions)
        same_step.terminated = np.zeros(2, bool)
        return outcome

    same_step.step = resets_at_once
    with pytest.raises(EnvironmentContractError, match=r"environment 0 of 2 .* must only reset it .* reward 1"):
        play(GymAgent(same_step), 8)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("num_envs", None), ("num_envs", 0), ("single_observation_space", None), ("single_action_space", "Box")],
)
def test_what_a_vector_environment_must_say_of_itself(attribute, value):
    vector = OwnVector()
    setattr(vector, attribute, value)
    with pytest.raises(CompositionError, match=f"the vector environment OwnVector .*{attribute}"):
        GymAgent(vector)


def test_a_vector_environment_is_left_as_its_owner_made_it():
    vector = gym.vector.SyncVectorEnv([CountingEnv] * 2)
    envs, attributes = list(vector.envs), set(vars(vector))
    agent = GymAgent(vector)
    agent(Workspace(), t=0)
    assert list(vector.envs) == envs and set(vars(vector)) == attributes
    assert "ending" not in vector.reset()[1]


def test_gymnasium_s_asynchronous_environments_are_checked_as_well():
    make = functools.partial(Returning, spaces.Box(0, 9, (1,)), np.ones(1, np.float32), info=lambda k: {k: np.zeros(k)})
    assert play(GymAgent(gym.vector.AsyncVectorEnv([make] * 2)), 4)["env/reward"].tolist() == [[k, k] for k in range(4)]
