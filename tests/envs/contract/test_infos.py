"""Infos, which matter to nobody."""

import functools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from tests.envs.odd_environments import WAYS, Odd, Returning, agent_of, play
from tests.toys import CountingEnv
from workspace_rl import GymAgent


def _odd_info(k):
    notes = [np.zeros(2), np.zeros(3), "crashed", {"x": 1}, None, Odd(), lambda: None, [1, [2, np.zeros(4)]]]
    return {"note": notes[k % len(notes)], 3: "a key", "final_obs": Odd(), "_note": 1, "_": {"_": np.zeros((2, 0))}}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("auto_reset", [True, False])
def test_whatever_stands_in_infos_matters_to_nobody(way, auto_reset):
    space = spaces.Box(0, 9, (1,), np.float32)
    make = functools.partial(Returning, space, np.ones(1, np.float32), info=_odd_info)
    workspace = play(agent_of(make, 2, way, auto_reset=auto_reset), 9)
    assert workspace["env/reward"].tolist() == [[k, k] for k in range(9)]


def test_infos_of_environments_in_processes_are_not_sent():
    made = CountingEnv(3)
    made.k = 0
    made.reset = lambda **options: (np.zeros(1, np.float32), {"large": np.zeros(2**28)})  # 2 GB
    workspace = play(GymAgent(lambda: made, 1, vectorization="async"), 3)
    assert workspace["env/timestep"].flatten().tolist() == [0, 1, 2]


def test_wrappers_of_vector_environments_go_on_reading_infos():
    class Payer(gym.vector.VectorWrapper):
        def step(self, actions):
            observation, reward, *rest, info = self.env.step(actions)
            return observation, reward + info["bonus"], *rest, info

    make = functools.partial(Returning, spaces.Box(0, 9, (1,)), np.ones(1, np.float32), info=lambda k: {"bonus": 10.0})
    workspace = play(GymAgent(Payer(gym.vector.SyncVectorEnv([make] * 2))), 3)
    assert workspace["env/reward"].tolist() == [[0, 0], [11, 11], [12, 12]]


def test_infos_that_do_not_fit_each_other_do_not_stop_wrapped_vector_environments():
    make = functools.partial(Returning, spaces.Box(0, 9, (1,)), np.ones(1, np.float32), info=_odd_info)
    infos = []

    class Reader(gym.vector.VectorWrapper):
        def step(self, actions):
            infos.append(self.env.step(actions))
            return infos[-1]

    numbers = iter(range(9))

    def make_other():
        n = next(numbers)
        return Returning(spaces.Box(0, 9, (1,)), np.ones(1, np.float32), info=lambda k: {"n": n, "array": np.zeros(n)})

    play(GymAgent(gym.wrappers.vector.NormalizeObservation(gym.vector.SyncVectorEnv([make] * 2))), 9)
    workspace = play(GymAgent(Reader(gym.vector.SyncVectorEnv([make_other] * 3))), 4)
    assert workspace["env/reward"].tolist() == [[k] * 3 for k in range(4)] and infos[0][4]["n"].tolist() == [0, 1, 2]


def test_a_reset_pays_nothing_whatever_wrappers_make_of_it():
    vector = gym.vector.SyncVectorEnv([lambda: CountingEnv(2)] * 2)
    workspace = play(GymAgent(gym.wrappers.vector.TransformReward(vector, lambda reward: reward - 1)), 6)
    assert workspace["env/reward"].T.tolist() == [[0, 0, 1, 0, 0, 1]] * 2


class Growing(CountingEnv):
    def __init__(self, notes):
        super().__init__(9)
        notes["all"].append(len(notes["all"]))
        self.notes = notes


gym.register("Growing-v0", entry_point=Growing)


def test_environments_do_not_share_their_arguments():
    arguments = {"notes": {"all": []}}
    agent = GymAgent("Growing-v0", 2, env_args=arguments)
    agent.renew()
    assert [env.unwrapped.notes for env in agent.vector_env.envs] == [{"all": [0]}] * 2
    assert arguments == {"notes": {"all": []}}
