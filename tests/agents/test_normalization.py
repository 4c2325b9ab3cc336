import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.toys import SpaceEnv
from workspace_rl import GymAgent, Workspace
from workspace_rl.agents import EncoderAgent, Normalizers, ObservationNormalizer, RewardNormalizer
from workspace_rl.config import TrainingConfig
from workspace_rl.errors import UnsupportedSpaceError, VariableMismatchError
from workspace_rl.learning.statistics import Moments

FALSE, TRUE = False, True


def column(*values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype).unsqueeze(1)


def test_observations_are_brought_to_mean_0_and_deviation_1_and_clipped():
    normalizer = ObservationNormalizer([2], clip=1.5)
    normalizer.fold(torch.tensor([[[0.0, 10.0], [2.0, 10.0]], [[4.0, 10.0], [6.0, 10.0]]]))
    assert (normalizer.mean.tolist(), normalizer.var.tolist(), float(normalizer.count)) == ([3, 10], [5, 0], 4)
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.tensor([[3.0, 10.0], [3 + 5**0.5, 10.0], [100.0, 11.0]]))
    normalizer(workspace, t=0)
    found = workspace.get("normalized_obs", 0)
    torch.testing.assert_close(found, torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.5, 1.5]]))
    assert found.dtype is torch.float32


def test_pieces_count_as_much_as_all_at_once():
    torch.manual_seed(0)
    observations = 1000 + 3 * torch.randn(12, 5, 4)  # far from 0, where sums of squares would lose all digits
    whole, pieces = ObservationNormalizer([4]), ObservationNormalizer([4])
    whole.fold(observations)
    for piece in observations.split([1, 4, 5, 2]):
        pieces.fold(piece)
    flat = observations.flatten(0, 1).double()
    for one in (whole, pieces):
        assert float(one.count) == 60
        torch.testing.assert_close(one.mean, flat.mean(0), rtol=1e-12, atol=0)
        torch.testing.assert_close(one.var, flat.var(0, unbiased=False), rtol=1e-9, atol=0)


def test_before_anything_is_counted_observations_stay_as_they_are():
    normalizer, workspace = ObservationNormalizer([3]), Workspace()
    workspace.set("env/env_obs", 0, torch.tensor([[1.0, -2.0, 30.0]]))
    normalizer.merge(Moments.of(torch.empty(0, 3)))
    normalizer(workspace, t=0)
    assert workspace.get("normalized_obs", 0).tolist() == [[1, -2, 10]]


def test_all_steps_at_once_give_the_same_bits_and_change_no_statistics():
    torch.manual_seed(0)
    normalizer, workspace = ObservationNormalizer([3], output_variable="x"), Workspace()
    observations = torch.randn(4, 5, 3)
    normalizer.fold(observations)
    before = copy.deepcopy(normalizer.state_dict())
    workspace.set_full("env/env_obs", observations)
    normalizer(workspace)
    whole = workspace.get_full("x")
    for t in range(4):
        normalizer(workspace, t=t)
    assert torch.equal(whole, workspace.get_full("x"))
    assert all(torch.equal(value, before[name]) for name, value in normalizer.state_dict().items())


def test_observations_of_another_shape_are_refused():
    workspace = Workspace()
    workspace.set("env/env_obs", 0, torch.zeros(5, 1))
    with pytest.raises(VariableMismatchError, match=r"shape \[3\], but 'env/env_obs' is \[5, 1\]"):
        ObservationNormalizer([3])(workspace, t=0)


REWARD = column(7.0, 1, 1, 1, 9, 2)  # the first one, and the one behind the end, stand at resets
DONE = column(FALSE, FALSE, FALSE, TRUE, FALSE, FALSE, dtype=torch.bool)
#: 1, 1 + 0.5, 1 + 0.75, and 2 of the next episode
RETURNS = torch.tensor([1.0, 1.5, 1.75, 2.0], dtype=torch.float64)


@pytest.mark.parametrize("border", range(1, 6))
def test_returns_go_on_over_fragments_and_begin_anew_with_each_episode(border):
    normalizer = RewardNormalizer(0.5)
    after = normalizer.fold(REWARD[:border], DONE[:border])
    after = normalizer.fold(REWARD[border:], DONE[border:], after)
    assert float(normalizer.count) == 4
    torch.testing.assert_close(normalizer.mean, RETURNS.mean())
    torch.testing.assert_close(normalizer.var, RETURNS.var(unbiased=False))
    assert (after.value.tolist(), after.done.tolist()) == ([2], [False])


def test_a_frame_that_was_there_before_does_not_count_again():
    workspace = Workspace()
    workspace.set_full("env/reward", REWARD)
    workspace.set_full("env/done", DONE)
    normalizer = RewardNormalizer(0.5)
    first, before = normalizer.moments(workspace.subtime(0, 4))
    second, _ = normalizer.moments(workspace.subtime(3), before, n_repeated=1)
    assert (first.n, second.n) == (3, 1)
    normalizer.merge(first)
    normalizer.merge(second)
    torch.testing.assert_close(normalizer.var, RETURNS.var(unbiased=False))


def test_environments_have_returns_of_their_own():
    normalizer = RewardNormalizer(1.0)
    reward = torch.tensor([[0.0, 0.0], [1.0, 10.0], [1.0, 10.0]])
    done = torch.tensor([[FALSE, FALSE], [TRUE, FALSE], [FALSE, FALSE]])
    after = normalizer.fold(reward, done)
    assert (float(normalizer.count), float(normalizer.mean)) == (3, pytest.approx((1 + 10 + 20) / 3))
    assert after.value.tolist() == [0, 20]


def test_rewards_are_divided_by_the_deviation_and_keep_their_sign():
    normalizer, batch = RewardNormalizer(0.5, clip=4.0), Workspace()
    normalizer.fold(column(0.0, 2.0, 6.0), torch.zeros(3, 1, dtype=torch.bool))  # returns 2 and 7
    batch.set_full("env/reward", column(0.0, -5.0, 100.0))
    workspace = Workspace(batch)
    normalizer(workspace)
    torch.testing.assert_close(workspace.get_full("env/reward"), column(0.0, -2.0, 4.0))
    assert batch.get_full("env/reward").tolist() == [[0], [-5], [100]]


def test_a_graph_sees_statistics_that_were_counted_after_it_was_made():
    normalizers = Normalizers(ObservationNormalizer([3]), RewardNormalizer(0.9))
    batch = Workspace()
    batch.set_full("env/env_obs", torch.randn(2, 5, 3))
    batch.set_full("env/reward", torch.randn(2, 5))

    def update(batch):
        workspace = normalizers(batch)
        return workspace.get_full("normalized_obs"), workspace.get_full("env/reward")

    graph = torch.compile(update, fullgraph=True, backend="eager")
    before = graph(batch)
    normalizers.observations.fold(3 + 2 * torch.randn(10, 5, 3))
    normalizers.rewards.fold(torch.randn(10, 5), torch.zeros(10, 5, dtype=torch.bool))
    for found, expected, first in zip(graph(batch), update(batch), before, strict=True):
        assert torch.equal(found, expected) and not torch.equal(found, first)


def test_moments_travel_as_plain_data_with_all_their_digits():
    moments = Moments.of(torch.randn(7, 3) / 3)
    again = Moments.from_plain(moments.as_plain())
    assert again.n == 7 and torch.equal(again.mean, moments.mean) and torch.equal(again.squares, moments.squares)


PARTS = {
    "camera": gym.spaces.Box(0, 255, (1, 36, 36), np.uint8),
    "goal": gym.spaces.Discrete(3),
    "joints": gym.spaces.Box(-1, 1, (2, 2)),
    "load": gym.spaces.Box(0, 9, (), np.int32),
}


def test_each_part_that_is_numbers_has_statistics_of_its_own():
    env_agent = GymAgent(lambda: SpaceEnv(gym.spaces.Dict(PARTS)), 4, seed=1)
    normalizers = Normalizers.of(TrainingConfig(normalize_observations=True), env_agent)
    batch = Workspace()
    for t in range(20):
        env_agent(batch, t=t)
        batch.set("action", t, torch.zeros(4, dtype=torch.int64))
    each = next(iter(normalizers.observations.children()))
    assert [one.observation_variable for one in each] == ["env/env_obs/joints", "env/env_obs/load"]
    for one in each:
        moments, _ = one.moments(batch)
        one.merge(moments)
    seen = normalizers(batch)
    for key in ("joints", "load"):
        values = seen.get_full(f"normalized_obs/{key}").flatten(0, 1)
        assert values.dtype == torch.float32 and values.shape == (80, *PARTS[key].shape)
        torch.testing.assert_close(values.mean(0), torch.zeros(PARTS[key].shape), atol=1e-5, rtol=0)
        torch.testing.assert_close(values.var(0, unbiased=False), torch.ones(PARTS[key].shape))
    parts = normalizers.parts(env_agent.observation_parts())
    assert [part["variable"] for part in parts] == [
        "env/env_obs/camera", "env/env_obs/goal", "normalized_obs/joints", "normalized_obs/load",
    ]  # fmt: skip
    EncoderAgent(parts)(seen)
    torch.testing.assert_close(seen.get_full("features")[..., -1], seen.get_full("normalized_obs/load"))


def test_where_no_part_is_numbers_nothing_is_normalised():
    space = gym.spaces.Dict({key: PARTS[key] for key in ("camera", "goal")})
    parameters = TrainingConfig(normalize_observations=True)
    with pytest.raises(UnsupportedSpaceError, match="are pictures, which .*, and choices, which .*Set it to false"):
        Normalizers.of(parameters, GymAgent(lambda: SpaceEnv(space)))
