"""Arrays that environments keep, change and use again, in both directions."""

import multiprocessing

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.envs.odd_environments import WAYS, agent_of
from tests.toys import ConstantAgent, CountingEnv
from workspace_rl import Agent, Agents, GymAgent, TemporalAgent, Workspace


class Reuser(gym.Env):
    """Uses all of its memory again, also for other environments, and changes whatever it is given or has returned."""

    memory = {"a": np.zeros(2, np.float32), "b": (np.zeros((), np.int64), np.zeros(2, np.uint8))}
    reward, flags, info = np.zeros(()), np.zeros((2,), bool), {}
    observation_space = spaces.Dict(
        a=spaces.Box(0, 99, (2,), np.float32), b=spaces.Tuple([spaces.Discrete(99), spaces.Box(0, 99, (2,), np.uint8)])
    )

    def __init__(self, number, action_space, nested=True):
        self.number, self.action_space, self.nested, self.kept = number, action_space, nested, []
        if not nested:
            self.observation_space = self.observation_space["a"]

    def reset(self, *, seed=None, options=None):
        self.k = 0
        return self._observe(), self.info

    def step(self, action):
        self.k += 1
        for one in [*self.kept, action]:
            if isinstance(one, np.ndarray):
                one[...] = one.dtype.type(0)
        self.kept.append(action)
        self.info["action"], self.info["own"] = action, self.memory
        self.reward[...] = self.k
        self.flags[...] = False
        # An array of no dimensions, which it goes on changing.
        return self._observe(), self.reward, self.flags[0:1].reshape(()), self.flags[1:2].reshape(()), self.info

    def _observe(self):
        value = 10 * self.k + self.number
        self.memory["a"][:] = value
        self.memory["b"][0][...] = value
        self.memory["b"][1][:] = value
        return self.memory if self.nested else self.memory["a"]


ACTIONS = [spaces.Box(-1, 1, (2,), np.float32), spaces.MultiDiscrete([9, 9]), spaces.Discrete(9)]


@pytest.mark.parametrize("action_space", ACTIONS, ids=str)
@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("auto_reset", [True, False])
def test_environments_may_keep_change_and_reuse_every_array(action_space, nested, way, auto_reset):
    numbers = iter(range(9))
    envs = [Reuser(next(numbers), action_space, nested) for _ in range(2)]
    if way == "async":
        make = lambda: envs[int(multiprocessing.current_process().name.rpartition("-")[2] == "1")]  # noqa: E731
    else:
        make = iter(envs).__next__
    agent = agent_of(make, 2, way, auto_reset=auto_reset, rescale_actions=False)
    given = []

    class Choose(Agent):
        def forward(self, t, **kwargs):
            shape = (2, *action_space.shape)
            continuous = isinstance(action_space, spaces.Box)
            action = torch.full(shape, 0.5) if continuous else torch.full(shape, 7, dtype=torch.int64)
            given.append(action.clone())
            self.set(("action", t), action)

    workspace = Workspace()
    TemporalAgent(Agents(agent, Choose()))(workspace, t=0, n_steps=5)
    agent.close()
    expected = torch.tensor([[10 * t + number for number in (0, 1)] for t in range(5)])
    for name in ("env/env_obs/a", "env/env_obs/b/0", "env/env_obs/b/1") if nested else ("env/env_obs",):
        written = workspace[name]
        assert torch.equal(written.reshape(5, 2, -1)[..., 0].long(), expected), name
    assert workspace["env/reward"].tolist() == [[t, t] for t in range(5)]
    assert torch.equal(workspace["action"], torch.stack(given))


def test_the_last_observation_of_an_episode_stays_what_it_was():
    class Overwriting(CountingEnv):
        memory = np.zeros(1, np.float32)

        def reset(self, **options):
            return self._shared(super().reset(**options))

        def step(self, action):
            return self._shared(super().step(action))

        def _shared(self, outcome):
            self.memory[:] = outcome[0]
            return self.memory, *outcome[1:]

    lengths = iter([2, 6])
    workspace = Workspace()
    agent = GymAgent(lambda: Overwriting(next(lengths)), 2, auto_reset=False)
    TemporalAgent(Agents(agent, ConstantAgent()))(workspace, t=0, stop_variable="env/done")
    assert workspace["env/env_obs"][..., 0].T.tolist() == [[0, 1, 2, 2, 2, 2, 2], [0, 1, 2, 3, 4, 5, 6]]
