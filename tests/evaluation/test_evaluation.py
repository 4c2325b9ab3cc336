import math
from fractions import Fraction

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import ConstantAgent, CountingEnv, PayingEnv, SummingAgent
from workspace_rl import Agent, Agents, Collector, Evaluation, GymAgent, RandomState, episode_seeds, evaluate
from workspace_rl.errors import CompositionError
from workspace_rl.films.video import record_video
from workspace_rl.policies.spaces import spaces_of


class NoisyAgent(Agent):
    def forward(self, t, **kwargs):
        batch = self.get(("env/done", t)).shape[0]
        noise = torch.rand(batch, 1) + torch.from_numpy(np.random.rand(batch, 1)).float() / 10
        self.set(("action", t), (noise - 0.5) / 2)


def test_exactly_one_whole_episode_is_played_for_each_seed():
    lengths = iter([3, 150, 5])  # the second lasts longer than a chunk of memory
    env_agent = GymAgent(gym.vector.SyncVectorEnv([lambda: CountingEnv(next(lengths))] * 3), auto_reset=False)
    result = evaluate(env_agent, ConstantAgent(), seeds=[1, 2, 3, 4])
    assert result.lengths == [3, 150, 5, 3]
    assert result.returns == [6, 150 * 151 / 2, 15, 6]
    assert result.seeds == [1, 2, 3, 4]
    assert result.as_dict()["episodes"] == 4 and str(result).endswith("over 4 episodes")


def test_scores_do_not_depend_on_how_many_are_played_together():
    seeds = episode_seeds(3, 1, n=5)
    scores = [
        evaluate(GymAgent("Pendulum-v1", n, auto_reset=False), ConstantAgent(0.3), seeds).returns for n in (1, 2, 5)
    ]
    assert scores[0] == scores[1] == scores[2] and len(set(scores[0])) == 5


@pytest.mark.parametrize("n_envs", [1, 2])
def test_memory_begins_anew_in_each_episode_and_lasts_as_long_as_that(n_envs):
    envs = [CountingEnv(length) for length in (70, 66)[:n_envs]]  # longer than a chunk
    left = iter(envs)
    evaluate(GymAgent(lambda: next(left), n_envs, auto_reset=False), SummingAgent(1e-4), [1, 2, 3])
    for env in envs:
        sums = [1e-4 * k * (k + 1) / 2 for k in range(env.length)]
        played = np.concatenate(env.actions).tolist()
        rounds = len(played) // env.length
        assert played == pytest.approx(sums * rounds) and rounds == math.ceil(3 / n_envs)


def test_it_disturbs_nobody_and_nobody_disturbs_it():
    env_agent = GymAgent("Pendulum-v1", 2, auto_reset=False)
    torch.manual_seed(1)
    np.random.seed(1)
    first = evaluate(env_agent, NoisyAgent(), [1, 2])
    drawn = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert (torch.rand(1), np.random.rand()) == drawn
    assert evaluate(env_agent, NoisyAgent(), [1, 2]) == first


def test_a_policy_that_changed_in_between_is_scored_anew():
    env_agent, policy = GymAgent("Pendulum-v1", 2, auto_reset=False), ConstantAgent(0.5)
    first = evaluate(env_agent, policy, [1, 2])
    policy.value = -0.5
    second = evaluate(env_agent, policy, [1, 2])
    policy.value = 0.5
    assert first != second and evaluate(env_agent, policy, [1, 2]) == first


def test_no_graph_is_built():
    class Learner(Agent):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, t, **kwargs):
            action = self.weight.expand(self.get(("env/done", t)).shape[0], 1)
            assert not torch.is_grad_enabled()
            self.set(("action", t), action)

    evaluate(GymAgent("Pendulum-v1", auto_reset=False), Learner(), [1])


def test_random_states_are_apart_and_go_on():
    torch.manual_seed(0)
    expected = torch.rand(4)
    state, drawn = RandomState(5), []
    torch.manual_seed(0)
    outside = []
    for _ in range(4):
        with state, state:
            drawn.append(torch.rand(1))
        outside.append(torch.rand(1))
    assert torch.equal(torch.cat(outside), expected)
    with RandomState(5):
        assert torch.equal(torch.cat(drawn), torch.cat([torch.rand(1) for _ in range(4)]))


@pytest.mark.parametrize("n", [1, 10, 5000])
def test_episode_seeds_are_different_and_small(n):
    seeds = episode_seeds(1, 2, n=n)
    assert len(set(seeds)) == n and 0 <= min(seeds) and max(seeds) < 2**31
    assert seeds == episode_seeds(1, 2, n=n)
    assert not set(seeds[:10]) & set(episode_seeds(1, 3, n=10)) and not set(seeds[:10]) & set(episode_seeds(2, 2, n=10))


class AheadAgent(Agent):
    """Writes the next step of h, as recurrent agents do."""

    def forward(self, t, **kwargs):
        done = self.get(("env/done", t))
        if "h" not in self.workspace:
            self.set(("h", t), torch.zeros(done.shape[0]))
        self.set(("h", t + 1), self.get(("h", t)) + 1)


def test_variables_written_ahead_of_time_stay_in_step():
    env_agent = GymAgent(lambda: CountingEnv(200), auto_reset=False)
    checked = []

    class Check(Agent):
        def forward(self, t, **kwargs):
            step = self.get(("env/timestep", t)).item()
            assert self.get(("h", t)).item() == step
            checked.append(step)

    evaluate(env_agent, Agents(AheadAgent(), Check(), ConstantAgent()), [1])
    assert checked == list(range(201))
    checked.clear()
    collector = Collector(GymAgent(lambda: CountingEnv(200)), Agents(AheadAgent(), Check(), ConstantAgent()))
    for _ in range(5):
        collector.collect(7)
    assert checked == list(range(36))


def test_environments_that_reset_themselves_are_refused():
    with pytest.raises(CompositionError, match="auto_reset=False"):
        evaluate(GymAgent("Pendulum-v1"), ConstantAgent(), [1])
    with pytest.raises(CompositionError, match="seeds: at least one"):
        evaluate(GymAgent("Pendulum-v1", auto_reset=False), ConstantAgent(), [])


#: Rewards whose sum in float32 is another one, and one that is no float32 itself.
REWARDS = ([16_777_216.0, 1.0, 1.0], [0.1] * 200, [1e8, 0.25, -1e8], [16_777_217.0], [1e300])


@pytest.mark.parametrize("rewards", REWARDS[:4], ids=lambda rewards: str(rewards[:3]))
def test_returns_are_summed_in_float64(rewards):
    expected = float(sum(map(Fraction, rewards)))
    env_agent = GymAgent(lambda: PayingEnv(rewards), 2, auto_reset=False)
    with pytest.raises(CompositionError, match="has no episodes"):
        _ = env_agent.episode_returns
    assert evaluate(env_agent, ConstantAgent(), [1, 2, 3]).returns == pytest.approx([expected] * 3, rel=1e-14)
    assert env_agent.episode_returns.dtype == np.float64
    collector = Collector(GymAgent(lambda: PayingEnv(rewards), 2), ConstantAgent())
    found = []
    for _ in range(3):
        fragment = collector.collect(len(rewards) + 1)
        found += fragment.episodes.returns.tolist()
    assert found == pytest.approx([expected] * 6, rel=1e-14)


def scored(*returns):
    return Evaluation(list(returns), [1] * len(returns), [0] * len(returns))


def test_nan_is_never_better_and_anything_is_better_than_nothing():
    nan, inf = math.nan, math.inf
    better = [(1, None), (-inf, None), (inf, None), (2, 1), (1, nan), (-inf, nan), (inf, 1), (1, -inf)]
    not_better = [(nan, None), (nan, nan), (nan, 1), (nan, -inf), (1, 1), (1, 2), (inf, inf), (-inf, -inf), (-inf, 1)]
    for new, old in better:
        assert scored(new).better_than(None if old is None else scored(old)), (new, old)
    for new, old in not_better:
        assert not scored(new).better_than(None if old is None else scored(old)), (new, old)
    assert not scored(inf, -inf).better_than(None)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CartPole-v1", {}, r"made for observations Box\(.*\(3,\), float32\), but .* gives Box\(.*\(4,\)"),
        (
            "Pendulum-v1",
            {"rescale_actions": False},
            r"writes actions in \[-1, 1\], .*Build it with rescale_actions=True",
        ),
    ],
)
def test_a_policy_is_not_scored_or_filmed_where_it_is_not_for(name, options, message, tmp_path):
    policy = ConstantAgent(0.3)
    policy.policy_spaces = spaces_of(GymAgent("Pendulum-v1"))
    env_agent = GymAgent(name, auto_reset=False, env_args={"render_mode": "rgb_array"}, **options)
    with pytest.raises(CompositionError, match=message):
        evaluate(env_agent, policy, [1])
    with pytest.raises(CompositionError, match=message):
        record_video(env_agent, policy, tmp_path / "film.mp4", [1])
