"""Keys of infos that are asked for by name become variables."""

import functools
import operator
import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from tests.envs.odd_environments import WAYS, Odd, OwnVector, agent_of, play
from tests.toys import CountingEnv
from workspace_rl import GymAgent, Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.envs.contract.infos import InfoKeys
from workspace_rl.errors import ConfigError, EnvironmentContractError

KEYS = {
    "step": {"shape": [], "dtype": "int64"},
    "agent/steps": {"shape": [2], "dtype": "float32"},
    "even": {"shape": [1], "dtype": "bool"},
}


class Telling(CountingEnv):
    """Tells in its info what step it is, in memory that it uses again, beside what nobody can read."""

    def __init__(self, length=3, change=None, at=2):
        super().__init__(length)
        self.memory, self.change, self.at = np.zeros(2), change, at

    def _info(self):
        self.memory[:] = self.k
        even = np.array([self.k % 2 == 0], np.int8)
        info = {"step": self.k, "agent": {"steps": self.memory, "odd": Odd()}, "even": even, "_odd": Odd(), 3: Odd()}
        if self.change is not None and self.k == self.at:
            self.change(info)
        return info

    def reset(self, **options):
        return super().reset(**options)[0], self._info()

    def step(self, action):
        return *super().step(action)[:4], self._info()


def _told(workspace):
    steps = workspace["env/timestep"]
    assert workspace["env/info/step"].dtype == torch.int64 and workspace["env/info/step"].equal(steps)
    nested = workspace["env/info/agent/steps"]
    assert nested.dtype == torch.float32 and nested.equal(steps.float().unsqueeze(-1).expand(*steps.shape, 2))
    even = workspace["env/info/even"]
    assert even.dtype == torch.bool and even.squeeze(-1).equal(steps % 2 == 0)


@pytest.mark.parametrize("way", WAYS)
def test_they_stand_at_every_frame_resets_among_them(way):
    lengths = iter([3, 3, 4] if way == "async" else [3, 4])  # one is made for its spaces first
    agent = agent_of(lambda: Telling(next(lengths, 4)), 2, way, info_keys=KEYS)
    workspace = play(agent, 12)
    assert workspace["env/timestep"][:, 0].tolist() == [0, 1, 2, 3] * 3
    _told(workspace)
    names = ["env/info/agent/steps", "env/info/even", "env/info/step"]
    assert sorted(name for name in workspace.keys() if "info" in name) == names
    assert agent.layouts()["env/info/agent/steps"] == ((2,), np.float32)
    assert sorted(agent.layouts()) == ["env/env_obs", *names]


@pytest.mark.parametrize("way", WAYS)
def test_finished_environments_repeat_their_last_ones(way):
    agent = agent_of(Telling, 2, way, info_keys=KEYS, auto_reset=False)
    workspace = play(agent, 7)
    assert workspace["env/timestep"][:, 1].tolist() == [0, 1, 2, 3, 3, 3, 3]
    _told(workspace)


def test_a_second_reset_begins_anew():
    agent = GymAgent(Telling, 2, info_keys=KEYS, auto_reset=False)
    play(agent, 5)
    _told(play(agent, 5))


@pytest.mark.parametrize("keys", [{}, None])
def test_nothing_is_written_unless_it_is_asked_for(keys):
    agent = agent_of(Telling, 2, info_keys=keys)
    assert not [name for name in play(agent, 4).keys() if "info" in name] and list(agent.layouts()) == ["env/env_obs"]


# ---- vector environments ------------------------------------------------------------------------------------------


class TellingVector(OwnVector):
    """Infos as gymnasium's vector environments give them, made by the class itself."""

    def __init__(self, num_envs=2, **options):
        super().__init__(**options)
        self.memory = np.zeros(2, int)

    def _outcome(self, moment, *outcome):
        self.memory[:] = self.k
        info = {"step": self.memory, "_step": np.ones(2, bool), "agent": {"steps": np.full((2, 2), 1.0 * self.k)}}
        return super()._outcome(moment, *outcome[:-1], info | {"even": [[self.k % 2 == 0]] * 2, "odd": Odd()})


gym.register("TellingVector-v0", Telling, vector_entry_point=TellingVector)


def test_vector_classes_of_ones_own_tell_them():
    _told(play(GymAgent(TellingVector(), info_keys=KEYS), 12))
    _told(play(GymAgent("TellingVector-v0", 2, vectorization="vector_entry_point", info_keys=KEYS), 12))


@pytest.mark.parametrize("wrapper", [gym.wrappers.vector.RecordEpisodeStatistics, gym.wrappers.vector.DictInfoToList])
def test_wrappers_of_vector_environments_pass_them_on(wrapper):
    if wrapper is gym.wrappers.vector.DictInfoToList:  # which takes no keys that are no texts
        vector, keys = gym.vector.SyncVectorEnv([_Plain] * 2), {"step": KEYS["step"]}
    else:
        vector, keys = gym.vector.SyncVectorEnv([Telling] * 2), KEYS
    workspace = play(GymAgent(wrapper(vector), info_keys=keys), 9)
    assert workspace["env/info/step"].equal(workspace["env/timestep"])


def test_processes_of_gymnasiums_own_tell_them():
    make = functools.partial(_Plain, 3)
    workspace = play(GymAgent(gym.vector.AsyncVectorEnv([make] * 2), info_keys={"step": KEYS["step"]}), 6)
    assert workspace["env/info/step"].equal(workspace["env/timestep"])


class _Plain(CountingEnv):
    def reset(self, **options):
        return super().reset(**options)[0], {"step": self.k}

    def step(self, action):
        return *super().step(action)[:4], {"step": self.k, "last": [1]}


def test_taxis_own_masks_are_booleans_if_asked_for_as_such():
    agent = GymAgent("Taxi-v4", 3, info_keys={"action_mask": {"shape": (np.int64(6),), "dtype": "bool"}})
    workspace = play(agent, 20)
    mask = workspace["env/info/action_mask"]
    assert mask.shape == (20, 3, 6) and mask.dtype == torch.bool and 0 < mask.float().mean() < 1


# ---- what does not fit --------------------------------------------------------------------------------------------


def _one_of_two(change):
    """Make environment 1 of 2 change its info at step 2."""
    numbers = iter(range(9))
    return lambda: Telling(5, change if next(numbers) % 2 else None)


WRONG = {
    "missing": (lambda info: info.pop("step"), "must hold 'step', int64 of shape [], at every step and reset"),
    "missing part": (lambda info: info["agent"].pop("steps"), "must hold 'agent/steps', float32 of shape [2]"),
    "no dictionary": (lambda info: info.update(agent=3), "must hold 'agent/steps'"),
    "shape": (lambda info: info.update(even=np.zeros(3, bool)), "'even' must be bool of shape [1], as info_keys says"),
    "dtype": (lambda info: info.update(step=1.5), "'step' must be int64 of shape []"),
    "no array": (lambda info: info.update(even=Odd()), "'even' must be bool of shape [1]"),
    "range": (lambda info: info.update(even=np.array([2])), "'even' holds 2"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("auto_reset", [True, False])
@pytest.mark.parametrize("way", ["sync", "vector"])
def test_what_is_missing_or_does_not_fit_is_told(way, auto_reset, wrong):
    change, message = WRONG[wrong]
    agent = agent_of(_one_of_two(change), 2, way, info_keys=KEYS, auto_reset=auto_reset, seed=7)
    with pytest.raises(EnvironmentContractError, match=re.escape(message)) as caught:
        play(agent)
    told = str(caught.value)
    assert "environment 1 of 2" in told and "at step 2 of its episode" in told
    assert caught.value.seed is not None and "info_keys (gym_env.info_keys in a configuration)" in told


def test_the_same_is_told_of_processes():
    with pytest.raises(EnvironmentContractError, match=r"environment \d of 2.*at step 2 of its epis.*must hold 'step'"):
        play(agent_of(functools.partial(Telling, 5, operator.methodcaller("pop", "step")), 2, "async", info_keys=KEYS))


def test_the_same_is_told_of_resets_and_the_key_that_was_meant():
    with pytest.raises(
        EnvironmentContractError, match=r"environment 0 of 2.*, at its reset with seed .*must hold 'ste"
    ):
        play(agent_of(lambda: Telling(5, lambda info: info.pop("step"), at=0), 2, info_keys=KEYS))
    with pytest.raises(EnvironmentContractError, match="must hold 'stepp'.*Did you mean 'step'"):
        play(agent_of(Telling, 2, info_keys={"stepp": KEYS["step"]}))


def test_the_same_is_told_of_vector_classes_of_ones_own():
    def hides_one(observation, reward, ends, cut, info):
        return observation, reward, ends, cut, info | {"_step": np.array([True, False])}

    with pytest.raises(EnvironmentContractError, match=r"environment 1 of 2.*at step 2 of its episode.*hold 'step'"):
        play(GymAgent(TellingVector(change=hides_one), info_keys=KEYS))
    with pytest.raises(EnvironmentContractError, match=r"'step' must be float32 of shape \[2, 3\].*ndarray int64 of"):
        play(GymAgent(TellingVector(), info_keys={"step": {"shape": [3], "dtype": "float32"}}))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": [4]}, "info_keys.a: {shape: [4], dtype: bool} or the like expected, [4] (list) found"),
        ({"a": {"shape": [4], "dtyp": "bool"}}, "unknown key 'info_keys.a.dtyp'. Did you mean 'dtype'?"),
        ({"a": {"dtype": "bool"}}, "info_keys.a.shape: a list of whole numbers of at least 1 expected"),
        ({"a": {"shape": 4, "dtype": "bool"}}, "4 (int) found"),
        ({"a": {"shape": [0], "dtype": "bool"}}, "[0] (list) found"),
        ({"a": {"shape": [True], "dtype": "bool"}}, "[True] (list) found"),
        ({"a": {"shape": [4]}}, "info_keys.a.dtype: one of bool, uint8"),
        ({"a": {"shape": [4], "dtype": "flaot32"}}, "'flaot32' (str) found. Did you mean 'float32'?"),
        ({"a": {"shape": [4], "dtype": "U3"}}, "'U3' (str) found"),
        ({"_a": {"shape": [4], "dtype": "bool"}}, "info_keys._a: a key of info"),
        ({"a//b": {"shape": [4], "dtype": "bool"}}, "a key of info"),
        ({3: {"shape": [4], "dtype": "bool"}}, "a key of info"),
    ],
    ids=str,
)
def test_what_is_asked_for_is_checked_before_anything_is_made(given, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        GymAgent("NoSuchEnv-v0", info_keys=given)


def test_what_is_asked_for_can_be_told_and_asked_for_again():
    keys = InfoKeys.of({"a": {"shape": (2, 3), "dtype": "uint8"}})
    assert keys.describe() == {"a": {"shape": [2, 3], "dtype": "uint8"}}
    assert len(keys) == 1 and InfoKeys.of(keys.describe()).describe() == keys.describe()


def test_memory_that_is_used_again_does_not_change_what_was_written():
    agent = GymAgent(Telling, 1, info_keys=KEYS)
    workspace = Workspace()
    agent(workspace, t=0)
    first = workspace.get("env/info/agent/steps", 0)
    RandomAgent(spaces.Box(-1, 1, (1,)))(workspace, t=0)
    agent(workspace, t=1)
    assert first.tolist() == [[0, 0]]


@pytest.mark.parametrize("vectorization", [None, "sync"])
@pytest.mark.filterwarnings("ignore:.*is out of date:UserWarning", "ignore:.*is out of date:DeprecationWarning")
def test_games_tell_how_many_lives_are_left(vectorization):
    pytest.importorskip("ale_py")
    keys = {"lives": {"shape": [], "dtype": "int64"}}
    agent = GymAgent(
        "BreakoutNoFrameskip-v4", 2, env_args={"atari": {}}, vectorization=vectorization, info_keys=keys, seed=1
    )
    lives = play(agent, 60)["env/info/lives"]
    assert lives.shape == (60, 2) and lives[0].tolist() == [5, 5] and 0 < lives[-1].min() < 5
