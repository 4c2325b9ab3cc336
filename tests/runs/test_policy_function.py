"""A policy as a function of an observation."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from tests.algorithm.test_made_by import trained
from tests.choices_env import ChoicesEnv
from tests.toys import CountingEnv, SpaceEnv, SummingAgent
from workspace_rl import (
    Agent,
    Agents,
    GymAgent,
    KWAgentWrapper,
    Run,
    evaluate,
    load_policy,
    policy_function,
    save_policy,
)
from workspace_rl.agents import DeterministicActor, DiscreteQAgent, GreedyAgent, GRUAgent, SquashedGaussianActor
from workspace_rl.algos import SAC
from workspace_rl.errors import ActionError, CompositionError, ObservationError, PolicyFileError
from workspace_rl.policies.spaces import PolicySpaces

PENDULUM = gym.make("Pendulum-v1")


def pendulum_policy():
    torch.manual_seed(0)
    return KWAgentWrapper(SquashedGaussianActor(3, [16], 1), stochastic=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(SAC, tmp_path_factory.mktemp("acting") / "run")


def test_its_actions_go_into_the_environment_as_they_are(run):
    """The score of a gymnasium loop is that of `evaluate`: actions are in the environment's own units."""
    seeds = [3, 4]
    env_agent = GymAgent("Pendulum-v1", 2, auto_reset=False)
    expected = evaluate(env_agent, load_policy(run), seeds).returns
    env_agent.close()
    act, returns = policy_function(run), []
    for seed in seeds:
        observation, _ = PENDULUM.reset(seed=seed)
        returns.append(0.0)
        for _ in range(200):
            action = act(observation)
            assert PENDULUM.action_space.contains(action)
            observation, reward, *_ = PENDULUM.step(action)
            returns[-1] += float(reward)
    assert returns == pytest.approx(expected, rel=1e-5)
    largest = max(abs(act(PENDULUM.observation_space.sample() * 0 + [1, 0, k])[0]) for k in (-8, 8))
    assert policy_function(load_policy(run), PENDULUM)._rescale and largest <= 2


def test_folders_runs_and_policies_are_the_same(run):
    observation = np.array([0.1, 0.2, 0.3], np.float32)
    given = [str(run), run, run / "best", Run(run), load_policy(run), Run(run).policy()]
    actions = [policy_function(one)(observation) for one in given]
    assert all(np.array_equal(one, actions[0]) for one in actions)


def test_a_batch_is_its_observations():
    act = policy_function(pendulum_policy(), PENDULUM)
    batch = np.stack([PENDULUM.observation_space.sample() for _ in range(5)])
    actions = act(batch)
    assert actions.shape == (5, 1) and actions.dtype == np.float32
    for observation, action in zip(batch, actions, strict=True):
        assert act(observation).shape == (1,) and act(observation) == pytest.approx(action, abs=1e-6)
    assert np.allclose(act(batch.astype(np.float64)), actions) and np.allclose(act(batch[0].tolist()), actions[0])
    assert act(batch[:1]).shape == (1, 1)


@pytest.mark.parametrize(
    "where",
    [
        PENDULUM,
        (PENDULUM.observation_space, PENDULUM.action_space),
        GymAgent("Pendulum-v1", 2),
        gym.make_vec("Pendulum-v1", 2),
        PolicySpaces(PENDULUM.observation_space, PENDULUM.action_space),
    ],
    ids=["env", "spaces", "agent", "vector", "policy spaces"],
)
def test_spaces_come_from_anything_that_has_them(where):
    observation = np.ones(3, np.float32)
    assert policy_function(pendulum_policy(), where)(observation) == policy_function(pendulum_policy(), PENDULUM)(
        observation
    )


def test_choices_are_whole_numbers():
    env = SpaceEnv(spaces.Box(-1, 1, (2,)), spaces.Discrete(3, start=5))
    act = policy_function(Agents(DiscreteQAgent([2], [4], 3), GreedyAgent()), env)
    action, actions = act(env.observation_space.sample()), act(np.zeros((4, 2), np.float32))
    assert type(action) is int and env.action_space.contains(action)
    assert actions.shape == (4,) and actions.dtype == np.int64 and 5 <= actions.min() and actions.max() <= 7


def test_choices_may_be_observed():
    env = gym.make("FrozenLake-v1")
    q_agent = DiscreteQAgent([16], [4], 4, observation_choices=[[0, 16]])
    act = policy_function(Agents(q_agent, GreedyAgent()), env)
    assert [act(np.int64(k)) for k in range(16)] == act(np.arange(16)).tolist()
    for wrong in (16, -1, np.array([3, 99])):
        with pytest.raises(ObservationError, match="from 0 to 15"):
            act(wrong)
    with pytest.raises(ObservationError, match="int64 expected, float64 found"):
        act(1.5)


class TwoParts(Agent):
    """Reads two leaves of a dictionary."""

    def forward(self, t, **kwargs):
        picture, speed = self.get(("env/env_obs/picture", t)), self.get(("env/env_obs/speed", t))
        assert picture.dtype is torch.uint8 and speed.dtype is torch.float32
        self.set(("action", t), torch.tanh(picture.float().mean((1, 2)) / 255 + speed.sum(1))[:, None])


def test_dictionaries_are_read_by_their_parts(tmp_path):
    space = spaces.Dict(
        {"picture": spaces.Box(0, 255, (4, 4), np.uint8), "speed": spaces.Box(-np.inf, np.inf, (2,), np.float64)}
    )
    env = SpaceEnv(space, spaces.Box(-3, 3, (1,), np.float64))
    save_policy(TwoParts(), tmp_path, env)
    act = policy_function(tmp_path, allow=[TwoParts])
    one = space.sample()
    batch = {key: np.stack([value] * 3) for key, value in one.items()}
    assert act(one).dtype == np.float64 and np.allclose(act(batch), act(one))
    with pytest.raises(ObservationError, match="env/env_obs/speed: .* nothing found there in dict"):
        act({"picture": one["picture"]})
    with pytest.raises(ObservationError, match="env/env_obs/speed: a batch of 3 expected.*a single observation found"):
        act(batch | {"speed": one["speed"]})
    with pytest.raises(ObservationError, match="nothing found there in ndarray"):
        act(np.zeros(3))


def test_stacked_pictures_are_taken_as_the_environment_gives_them():
    env = SpaceEnv(spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6))
    policy = Agents(DiscreteQAgent([4, 84, 84], [8], 6, network="nature_cnn"), GreedyAgent())
    policy.policy_spaces = PolicySpaces(env.observation_space, env.action_space)
    act = policy_function(policy)
    pictures = np.stack([env.observation_space.sample() for _ in range(2)])
    assert [act(one) for one in pictures] == act(pictures).tolist() == act(pictures.astype(np.int64)).tolist()
    with pytest.raises(ObservationError, match="numbers from 0 to 255"):
        act(pictures.astype(np.int64) + 1)
    with pytest.raises(ObservationError, match="uint8 expected, float64 found"):
        act(pictures / 255)


@pytest.mark.parametrize(
    ("observation", "message"),
    [
        (np.zeros(4), r"env/env_obs: shape \[3\], or a batch \[B, 3\], expected, \[4\] found"),
        (np.zeros((0, 3)), r"\[0, 3\] found"),
        (np.zeros((2, 2, 3)), r"\[2, 2, 3\] found"),
        (1.0, r"\[\] found"),
        (["a", "b", "c"], "float32 expected, <U1 found"),
        (None, r"\[\] found"),
        ([[1, 2], [3]], "env/env_obs: .*nothing found there in list"),
        (torch.zeros(3, requires_grad=True), "env/env_obs: .*nothing found there in Tensor"),
        ([0.0, np.nan, 0.0], "env/env_obs: finite numbers expected"),
    ],
)
def test_what_is_no_observation_is_told(observation, message):
    with pytest.raises(ObservationError, match=message):
        policy_function(pendulum_policy(), PENDULUM)(observation)


class Wild(Agent):
    """Writes an action that is out of bounds, or no action."""

    def __init__(self, value=3.0, name="action"):
        super().__init__()
        self.value, self.variable = value, name

    def forward(self, t, **kwargs):
        self.set((self.variable, t), self.value * torch.ones_like(self.get(("env/env_obs", t))[:, :1]))


def test_actions_are_those_of_the_space():
    with pytest.raises(ActionError, match="out of bounds"):
        policy_function(Wild(), PENDULUM)
    with pytest.raises(CompositionError, match="'Wild' writes no variable 'action'"):
        policy_function(Wild(name="actoin"), PENDULUM)
    clipping = GymAgent("Pendulum-v1", clip_actions=True)
    assert policy_function(Wild(), clipping)(np.zeros(3)) == [2.0]
    own_units = GymAgent("Pendulum-v1", rescale_actions=False)
    assert policy_function(Wild(1.5), own_units)(np.zeros(3)) == [1.5]


# ---- what cannot be a function --------------------------------------------------------------------------------------


class Reading(DeterministicActor):
    """Reads something else besides, `back` steps before."""

    def __init__(self, variable="memory", back=1):
        super().__init__(3, [4], 1)
        self.variable, self.back = variable, back

    def forward(self, t, **kwargs):
        super().forward(t)
        if t >= self.back:
            self.get((self.variable, t - self.back))


@pytest.mark.parametrize(
    ("variable", "back"), [("memory", 1), ("env/env_obs", 1), ("env/reward", 0), ("action", 1), ("env/timestep", 0)]
)
def test_policies_with_other_inputs_are_refused(variable, back):
    with pytest.raises(CompositionError, match=f"'Reading' is no function of an observation: it reads '{variable}'"):
        policy_function(Reading(variable, back), PENDULUM)


def test_policies_for_other_spaces_are_refused():
    with pytest.raises(CompositionError, match="does not fit the observation space"):
        policy_function(DeterministicActor(4, [4], 1), PENDULUM)
    with pytest.raises(ActionError, match="must hold floats of shape"):
        policy_function(DeterministicActor(3, [4], 2), PENDULUM)


@pytest.mark.parametrize("wrong", [3, "Pendulum-v1", (PENDULUM.action_space,), [1, 2]])
def test_what_has_no_spaces_is_told(wrong):
    with pytest.raises(CompositionError, match="env_or_spaces: an environment.* expected"):
        policy_function(pendulum_policy(), wrong)


def test_what_is_no_policy_is_told(tmp_path):
    with pytest.raises(CompositionError, match="run_or_policy: a folder, a Run or a policy"):
        policy_function(nn.Linear(1, 1), PENDULUM)
    with pytest.raises(PolicyFileError, match="holds no policy"):
        policy_function(tmp_path)


# ---- no effects -----------------------------------------------------------------------------------------------------


class Dropping(Agent):
    """Has modes, and statistics that change in training."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 64), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 1), nn.Tanh())

    def forward(self, t, **kwargs):
        self.set(("action", t), self.layers(self.get(("env/env_obs", t))))


def test_it_acts_in_evaluation_mode_and_changes_nothing():
    policy = Dropping().train()
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    random = torch.get_rng_state()
    act = policy_function(policy, PENDULUM)
    observation = np.ones(3)
    action = act(observation)
    assert all(act(observation) == action for _ in range(5)) and observation.tolist() == [1, 1, 1]
    assert torch.equal(random, torch.get_rng_state())
    assert policy.training and all(one.requires_grad for one in policy.parameters())
    assert all(torch.equal(before[name], value) for name, value in policy.state_dict().items())
    with torch.no_grad():
        policy.layers[3].weight.add_(1)
    assert act(observation) == action  # a copy


# ---- infos ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked():
    """A policy that takes the greatest of 4, 3, 2, 1 that is allowed, saved with what is asked for of infos."""
    q_agent = DiscreteQAgent([4], [], 4)
    with torch.no_grad():
        q_agent.head[0].weight.zero_()
        q_agent.head[0].bias.copy_(torch.tensor([4.0, 3.0, 2.0, 1.0]))
    env = GymAgent(lambda: ChoicesEnv(masked="info"), info_keys={"action_mask": {"shape": [4], "dtype": "bool"}})
    return Agents(q_agent, GreedyAgent(mask_variable="env/info/action_mask")), env


def test_infos_are_given_as_environments_give_them(masked, tmp_path):
    save_policy(masked[0], tmp_path / "saved", masked[1])
    for act in (
        policy_function(*masked),
        policy_function(tmp_path / "saved"),
        policy_function(tmp_path / "saved", PAIR),
    ):
        assert act(np.zeros(4), {"action_mask": [False, True, True, False], "more": None}) == 1
        infos = {"action_mask": np.array([[0, 1, 1, 1], [0, 0, 0, 1]]), "_action_mask": np.ones(2, bool)}
        assert act(np.zeros((2, 4)), infos).tolist() == [1, 3]
        listed = [{"action_mask": one} for one in infos["action_mask"]]
        assert act(np.zeros((2, 4)), listed).tolist() == [1, 3]


PAIR = (spaces.Box(0, 1, (4,), np.float32), spaces.Discrete(4))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            (np.zeros(4),),
            "env/info/action_mask: the policy reads it, and nothing was given. Call act.observation, info",
        ),
        ((np.zeros(4), {}), "the info does not fit: its info must hold 'action_mask', bool of shape .4."),
        ((np.zeros(4), {"action_mask": [1, 0]}), "does not fit: its info 'action_mask' must be bool of shape .4."),
        ((np.zeros((2, 4)), [{"action_mask": [1] * 4}, {}]), "the info of environment 1 does not fit"),
        ((np.zeros((2, 4)), [{"action_mask": [1] * 4}]), "its infos must be of 2 environments, 1 found"),
    ],
)
def test_infos_that_lack_what_is_read_are_refused(masked, given, message):
    with pytest.raises(ObservationError, match=message):
        policy_function(*masked)(*given)


def test_a_policy_whose_infos_are_not_known_is_refused(masked):
    with pytest.raises(CompositionError, match="is no function of an observation: it reads 'env/info/action_mask'"):
        policy_function(masked[0], PAIR)


def policy_with_memory():
    torch.manual_seed(0)
    return Agents(GRUAgent(1, 8), DeterministicActor(8, [8], 1, observation_variable="memory"))


def test_a_policy_with_memory_acts_as_in_an_evaluation():
    env, policy = CountingEnv(5), policy_with_memory()
    evaluate(GymAgent(lambda: env, auto_reset=False), policy, [1, 2])
    expected, env.actions = np.stack(env.actions), []
    act = policy_function(policy, env)
    for seed in (1, 2):
        observation, over = env.reset(seed=seed)[0], False
        while not over:
            observation, _, over, *_ = env.step(act(observation))
        act.reset()
    assert len(expected) == 10 and np.array_equal(np.stack(env.actions), expected)
    assert len(np.unique(expected)) == 5  # it is no constant, and both episodes are the same


def test_it_remembers_until_it_is_told_of_a_new_episode():
    env, policy = CountingEnv(), SummingAgent(0.01)
    act, other = policy_function(policy, env), policy_function(policy, env)
    sums = [round(100 * float(act(np.array([k], np.float32))[0])) for k in (1, 2, 4)]
    assert sums == [1, 3, 7]
    assert other(np.ones(1, np.float32)) == act.policy.share  # each has a memory of its own
    act.reset()
    assert act(np.ones(1, np.float32)) == act.policy.share


def test_episodes_of_a_batch_begin_one_by_one():
    act = policy_function(SummingAgent(0.01), CountingEnv())

    def sums(*observations):
        return (100 * act(np.array(observations, np.float32)[:, None])).round().flatten().tolist()

    act.reset([False, True])  # before anything was remembered, nothing is forgotten
    assert sums(1, 2) == [1, 2] and sums(1, 2) == [2, 4]
    act.reset(np.array([False, True]))
    assert sums(1, 2) == [3, 2] and sums(1, 2) == [4, 4]
    for wrong in ([True], [0, 1], True, [[True], [False]], ["yes", "no"]):
        with pytest.raises(ObservationError, match=r"truth values of shape \[2\] expected"):
            act.reset(wrong)
    with pytest.raises(ObservationError, match=r"2 observations at a time expected, 1 found: the policy remembers"):
        act(np.ones(1, np.float32))
    assert sums(1, 2) == [5, 6]  # what was refused has changed nothing
    act.reset()
    assert sums(1, 2, 3) == [1, 2, 3]


def test_what_a_policy_with_memory_may_not_read_is_still_refused():
    class LastAction(Agent):
        def forward(self, t, **kwargs):
            self.set(("action", t), self.get(("action", t - 1)))

    with pytest.raises(CompositionError, match="is no function of an observation: it reads 'action'"):
        policy_function(Agents(GRUAgent(1, 4), LastAction()), CountingEnv())


def test_a_policy_without_memory_has_nothing_to_forget():
    act = policy_function(pendulum_policy(), PENDULUM)
    before = act(np.ones(3, np.float32))
    act.reset()
    assert act(np.ones(3, np.float32)) == before and act(np.ones((2, 3), np.float32)).shape == (2, 1)
