"""Rewards of goals without a step: what environments are asked, how, and which are refused."""

import gymnasium as gym
import numpy as np
import pytest

from workspace_rl import make_env
from workspace_rl.envs.goals import GoalRewards
from workspace_rl.errors import ConfigError


class Line(gym.Env):
    """A place on a line, which a step moves by at most 1, and a goal."""

    def __init__(self):
        goal = gym.spaces.Box(-100, 100, (1,), np.float64)
        self.observation_space = gym.spaces.Dict(observation=goal, achieved_goal=goal, desired_goal=goal)
        self.action_space = gym.spaces.Box(-1, 1, (1,))
        self.asked = []

    def seen(self):
        return {"observation": self.place, "achieved_goal": self.place, "desired_goal": self.goal}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-1, 1, (2, 1))
        return self.seen(), {}

    def step(self, action):
        self.place = self.place + action
        info = {"bonus": 1.0}
        reward = self.compute_reward(self.place, self.goal, info)
        return self.seen(), float(reward), False, False, info

    def compute_reward(self, achieved_goal, desired_goal, info):
        self.asked.append((np.shape(achieved_goal), info))
        return -(np.abs(achieved_goal - desired_goal)[..., 0] > 0.3).astype(float)


class OneByOne(Line):
    """As someone writes it who thinks of one goal."""

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -float(np.linalg.norm(achieved_goal - desired_goal) > 0.3)

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return False


class NeedsInfo(Line):
    def compute_reward(self, achieved_goal, desired_goal, info):
        return info["bonus"]


class Unlike(Line):
    """Ends where it says that it does not."""

    def compute_terminated(self, achieved_goal, desired_goal, info):
        return np.ones(np.shape(achieved_goal)[:-1], bool)


class Shaped(gym.RewardWrapper):
    def reward(self, reward):
        return reward + 1


class Bare(Line):
    compute_reward = None

    def step(self, action):
        return self.seen(), 0.0, False, False, {}

    def __getattribute__(self, name):
        if name == "compute_reward":
            raise AttributeError(name)
        return super().__getattribute__(name)


PAIRS = np.float32([[0], [0], [1]]), np.float32([[0.2], [0.5], [0.9]])


def test_many_goals_are_asked_at_once_with_empty_infos():
    env = Line()
    rewards = GoalRewards(env, "'Line'")
    del env.asked[:]
    assert rewards.rewards(*PAIRS).tolist() == [0, -1, 0] and rewards.terminated(*PAIRS) is None
    assert env.asked == [((3, 1), [{}, {}, {}])]


def test_an_environment_that_takes_one_goal_is_asked_one_by_one_and_warned_of():
    with pytest.warns(UserWarning, match="does not take many goals at once, .* that took [0-9]+ microseconds a goal"):
        rewards = GoalRewards(OneByOne(), "'OneByOne'")
    assert rewards.rewards(*PAIRS).tolist() == [0, -1, 0]
    assert rewards.terminated(*PAIRS).tolist() == [False] * 3 and rewards.terminated(*PAIRS).dtype == bool


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            NeedsInfo,
            r"cannot tell rewards .*compute_reward\(.*, \{\}\) raises KeyError: 'bonus'.*do without",
        ),
        (Unlike, "says of step 1 False, and by compute_terminated 1.0"),
        (lambda: Shaped(Line()), r"says of step \d+ \S+, and by compute_reward \S+: .*Leave out wrappers"),
        (Bare, r"has no compute_reward\(achieved_goal, desired_goal, info\)"),
    ],
)
def test_whose_rewards_of_other_goals_are_not_known_is_refused(env, message):
    with pytest.raises(ConfigError, match=f"algorithm.hindsight: null expected, since 'It' {message}"):
        GoalRewards(env(), "'It'")


@pytest.mark.parametrize("name", ["PointReach-v0", "BitFlip-v0"])
@pytest.mark.filterwarnings("error")
def test_the_librarys_own_say_at_once_what_their_steps_say(name):
    env = make_env(name)
    rewards = GoalRewards(env, name, seed=3)
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    for _ in range(200):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        pair = observation["achieved_goal"][None], observation["desired_goal"][None]
        assert rewards.rewards(*pair).tolist() == [reward] and rewards.terminated(*pair).tolist() == [terminated]
        if terminated or truncated:
            env.reset()
    rewards.close()
