"""What environments and their resets must be."""

import multiprocessing

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.envs.odd_environments import WAYS, OwnVector, agent_of, play
from tests.toys import CountingEnv, SpaceEnv
from workspace_rl import GymAgent, Workspace
from workspace_rl.errors import CompositionError, EnvironmentContractError


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
