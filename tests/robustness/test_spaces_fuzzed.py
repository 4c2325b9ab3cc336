import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import given
from hypothesis import strategies as st

from tests.robustness.fuzzing import examples
from tests.toys import SpaceEnv
from workspace_rl import Agents, GymAgent, TemporalAgent, Workspace
from workspace_rl.agents import RandomAgent
from workspace_rl.envs.spaces.actions import action_adapter
from workspace_rl.envs.spaces.observations import observation_leaves
from workspace_rl.errors import ActionError, EnvironmentContractError, UnsupportedSpaceError

SHAPES = st.sampled_from([(), (1,), (3,), (2, 2)])
INTEGERS = st.sampled_from([np.int64, np.int32, np.int8])
N_ENVS = 2


@st.composite
def float_boxes(draw, *, infinite=True, extreme=True):
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16]))
    largest = float(np.finfo(dtype).max) if extreme else 100.0
    numbers = st.floats(-largest, largest, allow_nan=False, width=np.dtype(dtype).itemsize * 8)
    if extreme:
        numbers = st.one_of(st.sampled_from([-largest, -1.0, 0.0, 1.0, largest]), numbers)
    if infinite and draw(st.integers(0, 3)) == 0:
        numbers = st.one_of(numbers, st.sampled_from([-np.inf, np.inf]))
    shape = draw(SHAPES)
    size = int(np.prod(shape))
    bounds = np.array(draw(st.lists(numbers, min_size=2 * size, max_size=2 * size)), dtype).reshape(2, *shape)
    low, high = np.asarray(bounds.min(0)), np.asarray(bounds.max(0))
    low[np.isposinf(low)], high[np.isneginf(high)] = 0, 0
    return spaces.Box(low, high, shape, dtype)


@st.composite
def other_boxes(draw):
    dtype = draw(st.sampled_from([np.uint8, np.int32, np.int64, np.bool_]))
    return spaces.Box(0, 1, draw(SHAPES), dtype)


@st.composite
def discretes(draw):
    return spaces.Discrete(draw(st.integers(1, 9)), start=draw(st.integers(-5, 5)), dtype=draw(INTEGERS))


@st.composite
def multi_discretes(draw):
    shape = draw(st.sampled_from([(1,), (3,), (2, 2)]))
    numbers = st.lists(st.integers(1, 9), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))
    counts, start = (np.array(draw(numbers)).reshape(shape) for _ in range(2))
    return spaces.MultiDiscrete(counts, dtype=draw(INTEGERS), start=start - 5)


MULTI_BINARIES = st.sampled_from([1, 4, [2, 3]]).map(spaces.MultiBinary)
UNSUPPORTED = st.sampled_from(
    [
        spaces.Text(3),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Box(0, 1), spaces.Discrete(2)),
        spaces.OneOf([spaces.Discrete(2), spaces.Box(0, 1)]),
    ]
)
SUPPORTED_LEAVES = st.one_of(
    float_boxes(infinite=False, extreme=False), other_boxes(), discretes(), multi_discretes(), MULTI_BINARIES
)


def nested(leaves):
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.dictionaries(st.sampled_from(["a", "b", "a/b", "0"]), parts, min_size=1, max_size=3).map(spaces.Dict),
            st.lists(parts, min_size=1, max_size=3).map(spaces.Tuple),
        ),
        max_leaves=6,
    )


def leaves_of(space, name, path=()):
    """Return (name, space, path) of all leaves of a space."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        return [leaf for key, part in parts for leaf in leaves_of(part, f"{name}/{key}", (*path, key))]
    return [(name, space, path)]


def at(sample, path):
    for key in path:
        sample = sample[key]
    return sample


@examples(quick=200, full=3000)
@given(nested(st.one_of(*[SUPPORTED_LEAVES] * 9, UNSUPPORTED)))
def test_observations_become_one_array_for_each_leaf(space):
    expected = leaves_of(space, "obs")
    names = [name for name, _, _ in expected]
    unsupported = [
        name
        for name, leaf, _ in expected
        if isinstance(leaf, spaces.Text | spaces.Sequence | spaces.Graph | spaces.OneOf)
    ]
    if unsupported or len(set(names)) < len(names):
        with pytest.raises(
            UnsupportedSpaceError, match=f"'{unsupported[0]}'" if unsupported else "two .*'obs/"
        ) as info:
            observation_leaves(space, "obs")
        assert "Wrap the environment" in str(info.value)
        return
    found = observation_leaves(space, "obs")
    assert sorted(found) == sorted(names)
    space.seed(0)
    samples = [space.sample() for _ in range(N_ENVS)]
    batch = concatenate(space, samples, create_empty_array(space, N_ENVS))
    for name, leaf, path in expected:
        array = found[name](batch)
        assert array.dtype == (np.float32 if leaf.dtype == np.float64 else leaf.dtype)
        values = np.stack([np.asarray(at(sample, path)) for sample in samples])
        assert np.array_equal(array, values.astype(array.dtype))
        torch.from_numpy(array)


@examples(quick=200, full=3000)
@given(st.one_of(discretes(), multi_discretes(), MULTI_BINARIES), st.data())
def test_choices_arrive_as_members_of_their_space(space, data):
    if isinstance(space, spaces.MultiBinary):
        counts, start = np.full(space.shape, 2), np.zeros(space.shape, np.int64)
    else:
        counts = np.asarray(space.nvec if isinstance(space, spaces.MultiDiscrete) else space.n)
        start = np.asarray(space.start)
    adapt = action_adapter(space, N_ENVS, rescale=True, clip=False)
    fractions = data.draw(st.lists(st.floats(0, 0.999), min_size=N_ENVS * counts.size, max_size=N_ENVS * counts.size))
    choices = (np.array(fractions).reshape(N_ENVS, *counts.shape) * counts).astype(np.int64)
    dtype = data.draw(st.sampled_from([torch.int64, torch.int32, torch.uint8]))
    actions = adapt(torch.as_tensor(choices).to(dtype), "action", 3)
    assert np.array_equal(actions, choices + start) and all(space.contains(action) for action in actions)
    wrong = [
        torch.as_tensor(choices) + torch.as_tensor(counts),
        torch.as_tensor(choices) - torch.as_tensor(counts),
        torch.as_tensor(choices).float(),
        torch.as_tensor(choices).to(torch.bfloat16),
        torch.as_tensor(choices)[:1],
        torch.as_tensor(choices).unsqueeze(-1),
    ]
    for action in wrong:
        with pytest.raises(ActionError, match="'action' at step 3"):
            adapt(action, "action", 3)


@examples(quick=300, full=3000)
@given(float_boxes(), st.booleans(), st.booleans(), st.data())
def test_continuous_actions_arrive_within_their_bounds(space, rescale, clip, data):
    finite = np.isfinite(space.low).all() and np.isfinite(space.high).all()
    if rescale and not finite:
        with pytest.raises(UnsupportedSpaceError, match="infinite bounds"):
            action_adapter(space, N_ENVS, rescale, clip)
        return
    adapt = action_adapter(space, N_ENVS, rescale, clip)
    size = N_ENVS * int(np.prod(space.shape))
    fractions = np.array(data.draw(st.lists(st.floats(-1, 1, width=32), min_size=size, max_size=size)))
    fractions = fractions.reshape(N_ENVS, *space.shape)
    low, high = space.low.astype(np.longdouble), space.high.astype(np.longdouble)
    if rescale:
        given_dtype = data.draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
        action = torch.as_tensor(fractions).to(given_dtype)
        expected = low + (action.double().numpy().astype(np.longdouble) + 1) / 2 * (high - low)
    else:
        expected = np.clip((100 * fractions).astype(space.dtype), space.low, space.high)
        action = torch.from_numpy(expected)
    actions = adapt(action, "action", 3)
    assert actions.dtype == space.dtype and all(space.contains(np.asarray(one)) for one in actions)
    if rescale:
        assert (abs(actions - expected) <= rounding(space)).all()
    else:
        assert np.array_equal(actions, expected)
    check_refused_actions(space, adapt, action, rescale, clip)


def rounding(space):
    scale = np.maximum(abs(space.low.astype(np.longdouble)), abs(space.high.astype(np.longdouble)))
    return 4 * np.finfo(space.dtype).eps * np.maximum(scale, np.finfo(space.dtype).tiny)


def check_refused_actions(space, adapt, action, rescale, clip):
    for wrong in (action[:1], action.unsqueeze(0), action.long(), torch.full_like(action, torch.nan)):
        with pytest.raises(ActionError, match="'action' at step 3"):
            adapt(wrong, "action", 3)
    if not rescale:
        return
    beyond = torch.full_like(action, 1.5)
    if clip:
        assert (abs(adapt(beyond, "action", 3) - space.high.astype(np.longdouble)) <= rounding(space)).all()
    else:
        with pytest.raises(ActionError, match="'action' at step 3 is out of bounds"):
            adapt(beyond, "action", 3)


@pytest.mark.parametrize("space", [spaces.Box(0, 5, (2,), np.uint8), spaces.Text(3)])
def test_other_actions_are_refused_with_a_way_out(space):
    with pytest.raises(UnsupportedSpaceError, match="Wrap the environment"):
        action_adapter(space, N_ENVS, True, False)


@examples(quick=40, full=500)
@given(nested(SUPPORTED_LEAVES), st.one_of(discretes(), multi_discretes(), float_boxes(infinite=False)))
def test_environments_run_whatever_their_spaces(observation_space, action_space):
    """What is written has the samples' values; what arrives are members of the action space."""
    names = [name for name, _, _ in leaves_of(observation_space, "env/env_obs")]
    if len(set(names)) < len(names):
        return
    envs = [SpaceEnv(observation_space, action_space) for _ in range(N_ENVS)]
    members = iter(envs)
    agent = GymAgent(gym.vector.SyncVectorEnv([lambda: next(members)] * N_ENVS), N_ENVS)
    workspace = Workspace()
    TemporalAgent(Agents(agent, RandomAgent(action_space)))(workspace, t=0, n_steps=4)
    assert sorted(agent.observation_names) == sorted(names)
    for name, leaf, _ in leaves_of(observation_space, "env/env_obs"):
        assert workspace[name].shape == (4, N_ENVS, *leaf.shape)
    for env in envs:
        assert len(env.actions) == 3 and all(action_space.contains(action) for action in env.actions)


DTYPES = st.sampled_from([np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])


@st.composite
def integers_of(draw, dtype):
    if dtype == np.bool_:
        return draw(st.booleans())
    information = np.iinfo(dtype)
    least, most = int(information.min), int(information.max)
    return draw(st.one_of(st.integers(least, most), st.sampled_from([least, most, 0, min(most, 300)])))


@examples(quick=150, full=2000)
@given(st.data(), DTYPES, DTYPES, st.booleans(), st.booleans())
def test_integers_arrive_as_they_are_or_are_named(data, declared, returned, as_array, vector):
    """Whatever integers an environment returns, and whatever its space declares."""
    least, most = (0, 1) if declared == np.bool_ else (np.iinfo(declared).min, np.iinfo(declared).max)
    space = spaces.Box(least, most, (2,), declared)
    values = [data.draw(integers_of(returned)) for _ in range(2)]
    observation = np.array(values, returned) if as_array else values

    class Raw(gym.Env):
        observation_space, action_space = space, spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return observation, {}

    agent = GymAgent(gym.vector.SyncVectorEnv([Raw] * 2)) if vector else GymAgent(Raw, 2)
    workspace = Workspace()
    outside = [value for value in values if not least <= value <= most]
    if outside:
        with pytest.raises(
            EnvironmentContractError, match=rf"'env_obs' holds {int(outside[0])} at .*but {np.dtype(declared)}"
        ):
            agent(workspace, t=0)
    else:
        agent(workspace, t=0)
        assert workspace["env/env_obs"].tolist() == [[[*map(space.dtype.type, values)]] * 2]
