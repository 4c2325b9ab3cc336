"""What crosses the boundary to environments: arrays, numbers, infos, and environments that are no longer apart."""

import functools
import json
import multiprocessing
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from tests.toys import ConstantAgent, CountingEnv, SpaceEnv
from workspace_rl import Agent, Agents, Collector, GymAgent, TemporalAgent, Workspace, evaluate
from workspace_rl.agents import RandomAgent
from workspace_rl.algos import DQN, SAC
from workspace_rl.envs.vector.make_vector_env import make_vector_env
from workspace_rl.errors import (
    CompositionError,
    EnvironmentContractError,
    EnvironmentFailedError,
    SharedEnvironmentError,
    UnsupportedSpaceError,
)

WAYS = ["sync", "async", "vector"]


def agent_of(make, n_envs=1, way="sync", **options):
    """Return environments made by `make`, also through gymnasium's own vector class, given as it is."""
    if way == "vector":
        return GymAgent(gym.vector.SyncVectorEnv([make] * n_envs), **options)
    return GymAgent(make, n_envs, vectorization=way, **options)


def play(agent, n_steps=6):
    workspace = Workspace()
    try:
        TemporalAgent(Agents(agent, RandomAgent(agent.action_space)))(workspace, t=0, n_steps=n_steps)
    finally:
        agent.close()
    return workspace


class Returning(gym.Env):
    """Returns the observations that it was given, one after the other, and pays their number."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, space, *observations, info=None):
        self.observation_space, self.observations, self.info = space, observations, info or (lambda k: {})

    def reset(self, *, seed=None, options=None):
        self.k = 0
        return self._observation(), self.info(0)

    def step(self, action):
        self.k += 1
        return self._observation(), float(self.k), False, False, self.info(self.k)

    def _observation(self):
        return self.observations[min(self.k, len(self.observations) - 1)]


# ---- one object in several places -----------------------------------------------------------------------------------


class InnerHolder(gym.Env):
    """A wrapper that is none of gymnasium's."""

    def __init__(self, env):
        self.env = env
        self.observation_space, self.action_space = env.observation_space, env.action_space


ONE = CountingEnv()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ONE,
        lambda: gym.wrappers.TimeLimit(ONE, 5),
        lambda: gym.wrappers.TimeLimit(InnerHolder(ONE), 5),
        lambda: gym.wrappers.RecordEpisodeStatistics(gym.wrappers.OrderEnforcing(ONE)),
    ],
)
@pytest.mark.parametrize("auto_reset", [True, False])
def test_the_same_object_behind_several_slots_is_refused_with_the_reason(make, auto_reset, monkeypatch):
    monkeypatch.setattr(CountingEnv, "close", lambda self: pytest.fail("somebody else's environment was closed"))
    with pytest.raises(SharedEnvironmentError, match=r"0 and 1 of 3 .* same object, a CountingEnv.*lambda: CountingE"):
        GymAgent(make, 3, auto_reset=auto_reset)
    with pytest.raises(SharedEnvironmentError, match="0 and 1 of 2"):
        GymAgent(gym.vector.SyncVectorEnv([make] * 2), auto_reset=auto_reset)


def test_the_place_of_a_shared_environment_is_told():
    envs = iter([CountingEnv(), ONE, CountingEnv(), ONE])
    with pytest.raises(SharedEnvironmentError, match="environments 1 and 3 of 4"):
        GymAgent(lambda: next(envs), 4)


@pytest.mark.parametrize("vector", [False, True])
def test_training_and_evaluation_with_one_object_are_told_where_they_disturb_each_other(vector):
    one = CountingEnv(50)
    make = (lambda: gym.vector.SyncVectorEnv([lambda: one])) if vector else (lambda: one)
    source = make() if vector else make
    training, evaluation = GymAgent(source), GymAgent(source, auto_reset=False)
    collector = Collector(training, ConstantAgent())
    collector.collect(5)
    assert evaluate(evaluation, ConstantAgent(), [1]).lengths == [50]
    with pytest.raises(SharedEnvironmentError, match="was reset by another agent in the middle of this one's"):
        collector.collect(5)
    collector.restart(0)  # from a reset of its own it may go on
    assert collector.collect(5)["env/timestep"].flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_one_object_may_be_used_by_one_agent_after_the_other():
    one = CountingEnv(3)
    for _ in range(2):
        assert evaluate(GymAgent(lambda: one, auto_reset=False), ConstantAgent(), [1, 2]).returns == [6, 6]
    first, second = GymAgent(CountingEnv), GymAgent(CountingEnv)
    first(Workspace(), t=0)
    second(Workspace(), t=0)
    workspace = Workspace()
    TemporalAgent(Agents(first, ConstantAgent()))(workspace, t=0, n_steps=3)


# ---- integers -------------------------------------------------------------------------------------------------------

INTEGERS = [
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, 300], np.uint16), "holds 300 at [1], but uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, -1], np.int64), "holds -1 at [1], but uint8"),
    (spaces.Box(0, 255, (2,), np.uint8), [7, 256], "holds 256 at [1], but uint8"),
    (spaces.Box(-128, 127, (1,), np.int8), np.array([200], np.uint8), "holds 200 at [0], but int8"),
    (spaces.Box(-1, 1, (1,), np.int64), np.array([2**63], np.uint64), "holds 9223372036854775808 at [0], but int64"),
    (spaces.Box(0, 9, (1,), np.uint64), np.array([-5]), "holds -5 at [0], but uint64"),
    (spaces.Box(0, 1, (1,), np.bool_), np.array([2]), "holds 2 at [0], but bool"),
    (spaces.Discrete(3, dtype=np.int8), 128, "holds 128, but int8"),
    (spaces.Discrete(3, dtype=np.int32), np.int64(2**31), "holds 2147483648, but int32"),
    (spaces.Discrete(3), 2**70, "must be int64 of shape []"),
    (spaces.MultiDiscrete([3, 3], dtype=np.int16), np.array([0, 40000]), "holds 40000 at [1], but int16"),
    (spaces.MultiBinary(2), np.array([0, 130], np.uint8), "holds 130 at [1], but int8"),
    (spaces.Box(0, 9, (1,), np.int32), np.array([1.5]), "must be int32 of shape [1]"),
    (spaces.Box(0, 9, (1,), np.int32), np.array([np.nan]), "must be int32 of shape [1]"),
    (spaces.Discrete(3), 1.5, "must be int64 of shape []"),
    (spaces.MultiDiscrete([3, 3]), np.array([0.0, np.nan]), "must be int64 of shape [2]"),
    (spaces.MultiBinary(2), np.array([0.0, 1.0]), "must be int8 of shape [2]"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([1]), "found. Correct the environment's observation_space, or its"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([1], np.uint8), "observation.astype(numpy.float32)"),
    (spaces.Box(0, 9, (1,), np.float32), np.array([True]), "must be float32 of shape [1]"),
]


def wrapped(space, value, inside):
    """Return a space and a value, or those of a dictionary that holds them, and how the leaf is called."""
    if not inside:
        return space, value, "'env_obs'"
    other = spaces.Box(-1, 1, (1,), np.float32)
    return (
        spaces.Dict(a=other, b=spaces.Tuple([other, space])),
        {"a": np.zeros(1, np.float32), "b": (np.zeros(1, np.float32), value)},
        "'env_obs/b/1'",
    )


#: The worker checks in all places as the other ways do.
PLACES = [
    (way, moment, inside) for way in ("sync", "vector") for moment in ("reset", "step") for inside in (False, True)
]
PLACES.append(("async", "step", True))


@pytest.mark.parametrize(("way", "moment", "inside"), PLACES)
@pytest.mark.parametrize(("space", "value", "message"), INTEGERS)
def test_numbers_that_do_not_fit_the_space_are_named(space, value, message, inside, moment, way):
    fitting = wrapped(space, np.zeros(space.shape, space.dtype), inside)[1]
    space, value, leaf = wrapped(space, value, inside)
    observations = [value] if moment == "reset" else [fitting, fitting, value]
    agent = agent_of(functools.partial(Returning, space, *observations), 2, way)
    with pytest.raises(EnvironmentContractError) as raised:
        play(agent)
    text = str(raised.value)
    assert f"its observation {leaf}" in text and message in text and "environment 0 of 2" in text


FITTING = [
    (spaces.Box(0, 255, (2,), np.uint8), np.array([7, 255], np.int64)),
    (spaces.Box(0, 255, (2,), np.uint8), [7, 255]),
    (spaces.Box(-128, 127, (1,), np.int8), np.array([100], np.uint8)),
    (spaces.Box(0, 1, (2,), np.bool_), np.array([1, 0], np.int64)),
    (spaces.Discrete(3, start=-4), np.int8(-3)),
    (spaces.Discrete(3, dtype=np.int32), 2),
    (spaces.Discrete(3), np.array(2)),
    (spaces.MultiDiscrete([3, 3], dtype=np.int16), np.array([0, 2], np.uint64)),
    (spaces.MultiBinary(2), np.array([False, True])),
    (spaces.Box(0, 9, (2,), np.float32), np.array([1.5, 2.5])),
    (spaces.Box(0, 9, (2,), np.float32), [1, 2]),
    (spaces.Box(0, 9, (2,), np.float64), np.array([1, 2], np.float32)),
    (spaces.Box(0, 9, (2,), np.float16), np.array([1, 2], np.float64)),
    (spaces.Box(0, 9, (), np.float32), 2.5),
    (spaces.Box(0, 9, (2,), np.float32), torch.tensor([1.5, 2.5])),
    (spaces.Box(0, 9, (2,), np.float32), np.array([1.5, 2.5], ">f4")),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("space", "value"), FITTING)
def test_numbers_that_fit_arrive_in_the_dtype_of_the_space(space, value, way):
    for inside in (False, True) if way != "async" else (True,):
        whole, observation, leaf = wrapped(space, value, inside)
        written = play(agent_of(functools.partial(Returning, whole, observation), 2, way), 3)[f"env/{leaf[1:-1]}"]
        expected = torch.from_numpy(np.array(np.asarray(value), space.dtype))
        assert written.dtype == (torch.float32 if space.dtype == np.float64 else expected.dtype)
        assert written.shape == (3, 2, *space.shape) and (written == expected).all()


# ---- infos ----------------------------------------------------------------------------------------------------------


class Odd:
    def __reduce__(self):
        raise TypeError("not between processes")

    def __eq__(self, other):
        raise RuntimeError("nobody asks for this")

    __hash__ = None


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


# ---- arrays in both directions --------------------------------------------------------------------------------------


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


# ---- vector environments of the user's own --------------------------------------------------------------------------


class OwnVector(VectorEnv):
    """Two environments that count, in whatever kind of values it is told to return."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, change=None, at=2, length=4, observation_space=None, action_space=None):
        self.num_envs, self.change, self.at, self.length = 2, change, at, length
        default = spaces.Box(0, 99, (1,), np.float32)
        self.single_observation_space = default if observation_space is None else observation_space
        self.single_action_space = action_space or spaces.Box(-1, 1, (1,), np.float32)
        self.observations, self.rewards = np.zeros((2, 1), np.float32), np.zeros(2)
        self.terminated, self.truncated = np.zeros(2, bool), np.zeros(2, bool)
        self.seeds = []

    def reset(self, *, seed=None, options=None):
        self.seeds.append(seed)
        self.t, self.k = 0, 0
        return self._outcome("reset", self._observe(), {"odd": Odd()})

    def step(self, actions):
        self.t += 1
        self.k = 0 if self.terminated[0] else self.k + 1
        actions[...] = 0
        self.rewards[:] = self.k
        self.terminated[:] = self.k == self.length
        return self._outcome(self.t, self._observe(), self.rewards, self.terminated, self.truncated, {"odd": Odd()})

    def _observe(self):
        self.observations[:] = self.k
        return self.observations

    def _outcome(self, moment, *outcome):
        return self.change(*outcome) if self.change is not None and moment == self.at else outcome


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


# ---- resets and seeds -----------------------------------------------------------------------------------------------


class OldReset(CountingEnv):
    def reset(self):
        return np.zeros(1, np.float32)


class NoOptions(CountingEnv):
    def reset(self, seed=None):
        return super().reset(seed=seed)


class NeedsSeed(CountingEnv):
    def reset(self, seed, options=None):
        return super().reset(seed=seed)


class OldVector(OwnVector):
    def reset(self):
        return super().reset()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("make", [OldReset, NoOptions, lambda: gym.wrappers.TimeLimit(OldReset(), 3)])
def test_a_reset_without_seed_or_options_gets_the_hint(make, way):
    with pytest.raises(EnvironmentContractError, match=r"environment 0 of 1 .*write reset\(self, \*, seed=None, opti"):
        play(agent_of(make, 1, way))


def test_other_resets_that_do_not_take_their_arguments_get_the_hint():
    with pytest.raises(EnvironmentContractError, match="at the reset after its episode.*write reset"):
        play(GymAgent(NeedsSeed))
    with pytest.raises(EnvironmentContractError, match="at its reset with seed.*write reset.*old package gym"):
        play(GymAgent(OldVector()))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "must return a gymnasium.Env, None"),
        (CountingEnv, "must return a gymnasium.Env, .*(type|EnvMeta|ABCMeta)"),
        (gym.make_vec("CartPole-v1", 2), "must return a gymnasium.Env, .*vector environment is given itself"),
        (SpaceEnv("Box"), r"its observation_space must be one of gymnasium.spaces, 'Box' \(str\) found.*import gymn"),
        (SpaceEnv(None, 3), r"its action_space must be one of gymnasium.spaces, 3 \(int\) found"),
    ],
)
@pytest.mark.parametrize("auto_reset", [True, False])
def test_what_a_function_must_return(made, message, auto_reset):
    with pytest.raises(EnvironmentContractError, match=f"environment 0 of 1 .* while it was made: .*{message}"):
        GymAgent(lambda: made, auto_reset=auto_reset)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_all_environments_have_the_same_spaces(way):
    def make():
        made.append(1)
        in_second_worker = multiprocessing.current_process().name.endswith("-1")
        other = in_second_worker if way == "async" else len(made) == 2
        return CountingEnv(dtype=np.float64 if other else np.float32)

    made = []
    with pytest.raises(EnvironmentContractError, match=r"(environment 1 of 2|the spaces of some).*must have the same"):
        GymAgent(make, 2, vectorization=way)


@pytest.mark.parametrize("env", [None, 3, ["CartPole-v1"]])
def test_what_is_no_environment_is_refused(env):
    with pytest.raises(CompositionError, match=r"env must be an environment's id, a function"):
        GymAgent(env)


@pytest.mark.parametrize("n_envs", [np.int64(2), np.uint8(2), torch.tensor(2)])
def test_whole_numbers_of_others_are_whole_numbers(n_envs):
    assert GymAgent("CartPole-v1", n_envs).n_envs == 2
    assert GymAgent("CartPole-v1", 2, seed=n_envs)(Workspace(), t=0) is None


@pytest.mark.parametrize("n_envs", [2.5, "2", True, np.float32(0), None, -1])
def test_what_is_no_number_of_environments(n_envs):
    with pytest.raises(CompositionError, match="n_envs: "):
        GymAgent("CartPole-v1", n_envs)


@pytest.mark.parametrize("seeds", [np.arange(1, 4), torch.arange(1, 4), range(1, 4), (np.uint8(1), 2, torch.tensor(3))])
def test_seeds_may_be_whole_numbers_of_any_kind(seeds):
    score = evaluate(GymAgent("CartPole-v1", 2, auto_reset=False), _idle(), seeds)
    assert score.seeds == [1, 2, 3] and json.loads(json.dumps(score.as_dict()))["seeds"] == [1, 2, 3]


def _idle():
    class Idle(Agent):
        def forward(self, t, **kwargs):
            self.set(("action", t), torch.zeros(len(self.get(("env/done", t))), dtype=torch.int64))

    return Idle()


@pytest.mark.parametrize("seeds", [[-(2**31) - 1], [1.5], ["1"], 5, None, np.array([[1, 2]]), [None], torch.tensor(3)])
def test_what_is_no_seed_is_refused(seeds):
    agent = GymAgent("CartPole-v1", 1, auto_reset=False)
    with pytest.raises(CompositionError, match="seeds: "):
        evaluate(agent, _idle(), seeds)
    with pytest.raises(CompositionError, match="seeds: "):
        agent.seed_episodes(seeds)
    for seed in (-1, 1.5, "1", None):
        with pytest.raises(CompositionError, match="seed: a whole number"):
            GymAgent("CartPole-v1", seed=seed)


def test_negative_seeds_are_those_that_simulators_take():
    agent = GymAgent("CartPole-v1", 2, auto_reset=False)
    evaluation = evaluate(agent, _idle(), [-1, 2**31 - 1])
    assert evaluation.seeds == [2**31 - 1] * 2 and evaluation.returns[0] == evaluation.returns[1]


def test_episodes_of_vector_classes_have_the_seeds_that_are_reported_or_are_refused():
    together = GymAgent("CartPole-v1", 2, vectorization="vector_entry_point", auto_reset=False)
    with pytest.raises(CompositionError, match="2 environments of CartPoleVectorEnv are reset by one seed.*'sync'"):
        evaluate(together, _idle(), [1, 2])
    alone = GymAgent("CartPole-v1", 1, vectorization="vector_entry_point", auto_reset=False)
    scores = evaluate(alone, _idle(), [1, 2, 1])
    assert scores.returns[0] == scores.returns[2] and scores.seeds == [1, 2, 1]
    vector = OwnVector()
    vector.num_envs = 1
    for name in ("observations", "rewards", "terminated", "truncated"):
        setattr(vector, name, getattr(vector, name)[:1])
    evaluate(GymAgent(vector, auto_reset=False), ConstantAgent(), [7, 8])
    assert vector.seeds == [7, 8]
    with pytest.raises(CompositionError, match="OwnVector are reset by one seed"):
        GymAgent(OwnVector(), auto_reset=False).seed_episodes([1, 2])


def test_training_with_one_seed_for_all_goes_on_after_a_checkpoint(tmp_path):
    config = {
        "base_dir": str(tmp_path / "run"),
        "gym_env": {"env_name": "CartPole-v1", "vectorization": "vector_entry_point"},
        "record_best": False,
        "compile": False,
        "logger": {"save_tensorboard": False},
        "algorithm": {
            "n_envs": 2,
            "total_steps": 150,
            "learning_starts": 50,
            "batch_size": 8,
            "eval_interval": 100,
            "nb_evals": 2,
            "checkpoint_interval": 60,
            "final_episodes": 0,
            "architecture": {"hidden_size": [8]},
        },
    }
    assert DQN(config).train(progress=False).steps >= 150
    resumed = DQN.restore(config["base_dir"], ["algorithm.total_steps=200"])
    assert resumed.train(progress=False).steps >= 200


# ---- closing --------------------------------------------------------------------------------------------------------


class Stuck(CountingEnv):
    def close(self):
        raise ConnectionError("not connected")


class OwnStuck(OwnVector):
    def close_extras(self, **options):
        raise ConnectionError("not connected")


@pytest.mark.parametrize("way", WAYS)
def test_an_environment_that_raises_when_it_is_closed_is_warned_of_and_all_are_closed(way):
    agent = agent_of(Stuck, 2, way)
    agent(Workspace(), t=0)
    with pytest.warns(RuntimeWarning, match="closed: it raised ConnectionError: not connected") as warned:
        agent.close()
    texts = sorted(str(one.message) for one in warned)
    name = "SyncVectorEnv" if way == "vector" else "Stuck"
    if way == "vector":  # which stops at the first one
        assert len(texts) == 1 and f"one of 2 environments '{name}', while it was closed" in texts[0]
    else:
        assert [f"environment {k} of 2 (from 0) '{name}', while it was" in text for k, text in enumerate(texts)] == [
            True,
            True,
        ]
    assert not [one for one in multiprocessing.active_children() if "AsyncEnvs" in one.name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if way != "vector":
            agent.close()


def test_renewing_and_vector_environments_warn_as_well():
    agent = GymAgent(Stuck)
    with pytest.warns(RuntimeWarning, match="environment 0 of 1 .*not connected"):
        agent.renew()
    agent(Workspace(), t=0)
    with pytest.warns(RuntimeWarning, match="one of 2 environments 'OwnStuck', while it was closed: .*not connected"):
        GymAgent(OwnStuck()).close()


def test_making_environments_fails_with_its_own_reason_not_with_that_of_closing():
    class Third(Stuck):
        def __init__(self):
            super().__init__()
            made.append(self)
            if len(made) == 3:
                raise RuntimeError("no third one")

    made = []
    with pytest.raises(EnvironmentFailedError, match="environment 2 of 3 .*no third one"):
        GymAgent(Third, 3)


gym.register("Stuck-v0", entry_point=Stuck)


@pytest.mark.filterwarnings("ignore:.*while it was closed.*not connected:RuntimeWarning")
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_run_goes_on_where_environments_raise_when_they_are_closed(tiny_sac, vectorization):
    tiny_sac["gym_env"] = {"env_name": "Stuck-v0", "vectorization": vectorization, "env_args": {"length": 5}}
    tiny_sac["algorithm"] |= {"checkpoint_interval": 100, "final_episodes": 2}
    result = SAC(tiny_sac).train(progress=False)
    assert result.steps >= tiny_sac["algorithm"]["total_steps"] and result.final is not None


# ---- spaces ---------------------------------------------------------------------------------------------------------

BOX = spaces.Box(-1, 1, (2,), np.float32)


class OwnSpace(gym.Space):
    def __repr__(self):
        return "OwnSpace()"

    def sample(self, mask=None):
        return 0


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(
    ("space", "leaf", "wrapper"),
    [
        (spaces.Text(3), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, mission=spaces.Text(3)), "env_obs/mission", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Tuple([BOX, spaces.Text(3), BOX]), "env_obs/1", r"FilterObservation\(env, \[0, 2\]\)"),
        (spaces.Dict(a=spaces.Dict(b=spaces.Text(3)), c=BOX), "env_obs/a/b", r"FilterObservation\(env, \['c'\]\)"),
        (spaces.Dict(a=spaces.Text(3)), "env_obs/a", "TransformObservation"),
        (spaces.Sequence(BOX), "env_obs", "TransformObservation"),
        (spaces.Graph(BOX, None), "env_obs", "TransformObservation"),
        (spaces.OneOf([BOX, spaces.Discrete(2)]), "env_obs", "TransformObservation"),
        (OwnSpace((), np.float32), "env_obs", "TransformObservation"),
        (spaces.Dict(), "env_obs", "TransformObservation"),
        (spaces.Tuple([]), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, b=spaces.Dict()), "env_obs/b", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Box(-1, 1, (0,)), "env_obs", "TransformObservation"),
        (spaces.Dict(a=BOX, b=spaces.Box(-1, 1, (3, 0))), "env_obs/b", r"FilterObservation\(env, \['a'\]\)"),
        (spaces.Box(-1, 1, (2,), np.longdouble), "env_obs", "DtypeObservation"),
    ],
    ids=str,
)
def test_observations_that_cannot_be_written_name_the_leaf_and_the_wrapper_that_removes_it(space, leaf, wrapper, way):
    with pytest.raises(UnsupportedSpaceError, match=f"at '{leaf}'.*Wrap the environment .*{wrapper}"):
        GymAgent(lambda: SpaceEnv(space), 2, vectorization=way)
    if way == "sync":
        with pytest.raises(UnsupportedSpaceError, match=f"at '{leaf}'.*{wrapper}"):
            GymAgent(OwnVector(observation_space=space))


def test_the_wrapper_that_is_named_helps():
    space = spaces.Dict(a=BOX, mission=spaces.Text(3))
    agent = GymAgent(lambda: gym.wrappers.FilterObservation(SpaceEnv(space), ["a"]), 2)
    assert next(iter(play(agent))) == "env/env_obs/a"


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary(3),
        spaces.Box(0, 5, (2,), np.uint8),
        spaces.Text(3),
        spaces.Dict(a=BOX),
        spaces.Tuple([BOX]),
        spaces.Graph(BOX, None),
        spaces.Sequence(BOX),
        spaces.OneOf([BOX]),
        spaces.Box(-1, 1, (0,)),
        spaces.Box(-np.inf, np.inf, (1,)),
        spaces.Box(0, np.inf, (1,)),
        OwnSpace((), np.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_actions_that_are_not_supported_name_the_way_out(space, way):
    with pytest.raises(UnsupportedSpaceError, match=r"gymnasium.wrappers.\w*Action"):
        GymAgent(lambda: SpaceEnv(BOX, space), 2, vectorization=way)
    with pytest.raises(UnsupportedSpaceError, match=r"gymnasium.wrappers.\w*Action"):
        GymAgent(OwnVector(action_space=space))


@pytest.mark.parametrize("start", [-5, 3])
def test_choices_that_start_elsewhere(start):
    env = SpaceEnv(spaces.Discrete(3, start=start), spaces.Discrete(2, start=start))
    assert make_vector_env(lambda: env, 1, True, None, (), {}) is not None
    workspace = play(GymAgent(lambda: env), 9)
    assert {int(one) for one in workspace["env/env_obs"].flatten()} <= set(range(start, start + 3))
    assert {int(one) for one in env.actions} <= {start, start + 1}
    assert {int(one) for one in workspace["action"].flatten()} <= {0, 1}
