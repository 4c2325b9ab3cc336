"""Environments as they are: whatever they give, whatever their spaces say, the variables are BBRL's, bit for bit."""

from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.compat.conftest import OURS, REAL
from tests.compat.test_parity import assert_same
from workspace_rl.compat.bbrl.agents.gymnasium import ParallelGymAgent
from workspace_rl.compat.bbrl.workspace import Workspace
from workspace_rl.errors import EnvironmentContractError, UnknownVariableError

# Both turn lists of arrays into tensors, and read-only arrays.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")]

BOX = spaces.Box(-1, 1, (2,), np.float32)


class Strange(gym.Env):
    """Observes what a function makes of the step's number; episodes of 3 steps that terminate, or of 4 that are cut."""

    made = 0

    def __init__(self, observe, space=BOX, action_space=None, reward=float, flag=bool):
        self.observe, self.reward, self.flag = observe, reward, flag
        self.observation_space, self.action_space = space, action_space or spaces.Discrete(2)
        self.actions, self.number = [], Strange.made % 2
        Strange.made += 1

    def reset(self, *, seed=None, options=None):
        self.k = 0
        return self.observe(0), None  # nobody looks at the info

    def step(self, action):
        self.actions.append(action)
        self.k += 1
        over = self.k == 3 + self.number
        flags = self.flag(over and self.number == 0), self.flag(over and self.number == 1)
        return self.observe(self.k), self.reward(self.k + 0.1), *flags, object()


class Lazy:
    """A frame that is put together when it is read."""

    def __init__(self, k):
        self.k = k

    def __array__(self, dtype=None, copy=None):
        return np.full((2, 2), self.k, np.uint8)


def play(package, auto_reset, options, actions=None, **arguments):
    """Return the workspace of some steps, and what reached the environments."""
    Strange.made = 0
    make = partial(Strange, **options)
    env_agent = package.gym.ParallelGymAgent(
        (lambda: gym.wrappers.Autoreset(make())) if auto_reset else make, 2, **arguments
    )

    class Acts(package.agents.Agent):
        def forward(self, t, **kwargs):
            for name, value in (actions or {"action": torch.tensor([0, 1])}).items():
                self.set((name, t), value + t)

    workspace = package.Workspace()
    package.agents.TemporalAgent(package.agents.Agents(env_agent, Acts()))(workspace, t=0, n_steps=7)
    return workspace, [env.unwrapped.actions for env in env_agent.envs]


OBSERVATIONS = {
    "other dtype": lambda k: np.array([k, 0.3], np.float64),
    "integers for floats": lambda k: np.array([k, 1]),
    "half precision": lambda k: np.array([k, 1.5], np.float16),
    "bytes": lambda k: np.full((2, 3), 250 + k, np.uint8),
    "wide bytes": lambda k: np.full((2, 3), 65000 + k, np.uint16),
    "bools": lambda k: np.array([k % 2 == 0, True]),
    "other shape": lambda k: np.full((3, 1, 2), k / 3, np.float32),
    "no shape": lambda k: np.array(k / 3),
    "a float": lambda k: k / 3,
    "an int": lambda k: k,
    "a bool": lambda k: k % 2 == 0,
    "NumPy's float": lambda k: np.float64(k / 3),
    "NumPy's single": lambda k: np.float32(k / 3),
    "NumPy's int": lambda k: np.int64(k),
    "NumPy's bool": lambda k: np.bool_(k % 2),
    "a list": lambda k: [k / 3, 1],
    "a list of ints": lambda k: [[k], [k + 1]],
    "a tensor": lambda k: torch.full((2, 2), k / 3, dtype=torch.float64),
    "a tensor of bytes": lambda k: torch.full((2,), k, dtype=torch.uint8),
    "a lazy frame": Lazy,
    "a read-only array": lambda k: np.broadcast_to(np.float32(k), (2,)),
    "another byte order": lambda k: np.arange(3, dtype=np.float32)[1:] + k,
    "a dictionary": lambda k: {"a": np.array([k / 3]), "b": {"c": k, "d": [k / 7]}},
    "numbers as keys": lambda k: {0: np.float32(k), "b": {3: k}},
    "nothing": lambda k: {},
}
SPACES = {
    "box": BOX,
    "one number": spaces.Box(-1, 1, (1,)),
    "choice": spaces.Discrete(3),
    "dictionary": spaces.Dict({"a": BOX, "missing": BOX}),
    "none": None,
    "text": spaces.Text(5),
}


@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_observations_are_written_as_they_are(observation, auto_reset):
    for space in SPACES.values():
        options = {"observe": OBSERVATIONS[observation], "space": space}
        (theirs, _), (mine, _) = (play(package, auto_reset, options) for package in (REAL, OURS))
        assert_same(theirs, mine)


@pytest.mark.parametrize("auto_reset", [True, False])
def test_keys_that_nobody_declared(auto_reset):
    """BBRL's keys are those of the first environment."""
    options = {
        "space": spaces.Dict({"declared": BOX}),
        "observe": lambda k: {"declared": np.ones(2), "extra": np.full(3, k), "deep": {"one": k / 3}},
    }
    (theirs, _), (mine, _) = (play(package, auto_reset, options) for package in (REAL, OURS))
    assert {"env/env_obs/declared", "env/env_obs/extra", "env/env_obs/deep/one"} <= set(mine.keys())
    assert_same(theirs, mine)


@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("reward", [int, float, np.float32, np.float64, np.float16, bool, np.int32])
@pytest.mark.parametrize("flag", [bool, np.bool_])
def test_rewards_and_flags_of_other_types(auto_reset, reward, flag):
    options = {"observe": float, "reward": reward, "flag": flag}
    (theirs, _), (mine, _) = (play(package, auto_reset, options) for package in (REAL, OURS))
    assert_same(theirs, mine)


def test_arrays_that_are_used_again():
    class Reusing(Strange):
        def __init__(self):
            super().__init__(self.write)
            self.buffer = np.zeros(2, np.float32)

        def write(self, k):
            self.buffer[:] = k
            return self.buffer

    Strange.made = 0
    agent, workspace = ParallelGymAgent(Reusing, 2), Workspace()
    for t in range(6):
        agent(workspace, t=t)
        for env in agent.envs:
            env.buffer[:] = -1  # also in an episode that is over
        workspace.set("action", t, torch.zeros(2, dtype=torch.int64))
    assert workspace["env/env_obs"][:, :, 0].T.tolist() == [[0, 1, 2, 3, 3, 3], [0, 1, 2, 3, 4, 4]]


ACTIONS = {
    "choices": {"action": torch.tensor([1, 0])},
    "vectors": {"action": torch.tensor([[0.1], [0.2]])},
    "integers": {"action": torch.tensor([[1, 2], [3, 4]])},
    "narrow": {"action": torch.tensor([[1], [3]], dtype=torch.uint8)},
    "wide": {"action": torch.rand(2, 3, dtype=torch.float64)},
    "short": {"action": torch.rand(2, 3, dtype=torch.bfloat16)},
    "pictures": {"action": torch.rand(2, 3, 4)},
    "parts": {"action/a": torch.tensor([1, 0]), "action/b/c": torch.rand(2, 3), "action/b/d": torch.tensor([0, 1])},
    "both": {"action": torch.tensor([1, 0]), "action/a": torch.tensor([1, 0])},
    "neither": {"move": torch.tensor([1, 0])},
}
ACTION_SPACES = [spaces.Discrete(2), BOX, spaces.Dict({"a": spaces.Discrete(2), "z": BOX}), None]


@pytest.mark.parametrize("space", ACTION_SPACES, ids=str)
@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_what_was_written(action, space):
    options = {"observe": float, "action_space": space}
    (theirs, their_actions), (mine, my_actions) = (
        play(package, True, options, ACTIONS[action]) for package in (REAL, OURS)
    )
    assert_same(theirs, mine)
    assert as_told(my_actions) == as_told(their_actions)


def as_told(actions):
    if isinstance(actions, list):
        return [as_told(one) for one in actions]
    if isinstance(actions, dict):
        return {key: as_told(one) for key, one in actions.items()}
    return type(actions), getattr(actions, "dtype", None), np.asarray(actions).tolist()


def test_actions_are_the_environments_own_to_change():
    class Changing(Strange):
        def step(self, action):
            action *= 0
            return super().step(action)

    for dtype in (torch.float64, torch.float32, torch.int64):
        agent, workspace = ParallelGymAgent(lambda: Changing(float), 2), Workspace()
        agent(workspace, t=0)
        workspace.set("action", 0, torch.ones(2, 3, dtype=dtype))
        agent(workspace, t=1)
        assert (workspace["action"] == 1).all()


def test_an_action_that_nobody_wrote_is_named():
    agent, workspace = ParallelGymAgent(partial(gym.make, "CartPole-v1"), 1), Workspace()
    agent(workspace, t=0)
    with pytest.raises(UnknownVariableError, match="'action'"):
        agent(workspace, t=1)


def test_what_cannot_be_written_is_named():
    with pytest.raises(EnvironmentContractError, match=r"'env_obs/a', of an observation, is a str"):
        ParallelGymAgent(lambda: Strange(lambda k: {"a": "text"}), 1)(Workspace(), t=0)


def test_tuples_are_parts_or_vectors():
    """BBRL takes none."""
    for space, expected in (
        (spaces.Tuple((spaces.Discrete(3), BOX)), {"env/env_obs/0", "env/env_obs/1"}),
        (BOX, {"env/env_obs"}),
    ):
        observe = (lambda k: (k, np.ones(2))) if len(expected) == 2 else (lambda k: (0.5, 1.0))
        workspace = Workspace()
        ParallelGymAgent(lambda observe=observe, space=space: Strange(observe, space), 2)(workspace, t=0)
        assert {name for name in workspace.keys() if "env_obs" in name} == expected


def test_environments_without_spaces_have_no_sizes():
    class Bare:
        """No gymnasium environment at all."""

        def reset(self, seed=None):
            return np.zeros(2), {}

        def step(self, action):
            return np.ones(2), 1, True, False, {}

    agent, workspace = ParallelGymAgent(Bare, 2), Workspace()
    agent(workspace, t=0)
    workspace.set("action", 0, torch.zeros(2, 1))
    agent(workspace, t=1)
    assert workspace["env/done"].tolist() == [[False, False], [True, True]]
    with pytest.raises(ValueError, match="observation space"):
        agent.get_obs_and_actions_sizes()
