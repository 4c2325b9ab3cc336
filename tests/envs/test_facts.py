"""What is known of environments: wrappers with a memory."""

import gymnasium as gym
import pytest
import torch

from tests.toys import ConstantAgent
from workspace_rl import GymAgent, evaluate
from workspace_rl.algos import SAC
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.config.make_env_agent import make_env_agent
from workspace_rl.evaluation.evaluation import Evaluation


class OwnStatistics(gym.ObservationWrapper):
    """Normalises by statistics of its own."""

    def __init__(self, env):
        super().__init__(env)
        self._mean, self._var, self._count = 0.0, 1.0, 0

    def observation(self, observation):
        return observation


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("wrapper", ["NormalizeObservation", "NormalizeReward", f"{__name__}.OwnStatistics"])
def test_a_wrapper_with_a_memory_is_told_of_at_the_start(wrapper, vectorization, tiny_sac):
    tiny_sac["gym_env"] |= {"wrappers": ["RecordEpisodeStatistics", wrapper], "vectorization": vectorization}
    with pytest.warns(UserWarning, match=rf"wrapped by {wrapper.rpartition('.')[2]}, .*Statistics belong"):
        sac = SAC(tiny_sac)
    sac._close_environments()


def test_so_are_those_of_vector_environments_and_whoever_scores(recwarn):
    vector = gym.wrappers.vector.NormalizeObservation(gym.vector.SyncVectorEnv([lambda: gym.make("Pendulum-v1")] * 2))
    assert GymAgent(vector).facts().with_memory == ("NormalizeObservation",)
    assert GymAgent(vector).facts().time_limit is None or GymAgent(vector).facts().time_limit == 200
    for wrapper in ("FrameStackObservation", "RecordEpisodeStatistics", "TimeLimit", "StickyAction"):
        arguments = {"FrameStackObservation": {"stack_size": 2}, "TimeLimit": {"max_episode_steps": 9}}
        arguments |= {"StickyAction": {"repeat_action_probability": 0.1}}
        config = EnvironmentConfig(env_name="Pendulum-v1")
        config.wrappers = [{"classname": f"gymnasium.wrappers.{wrapper}"} | arguments.get(wrapper, {})]
        assert make_env_agent(config, 1, auto_reset=True).facts().with_memory == ()
    make = lambda: OwnStatistics(gym.make("Pendulum-v1"))  # noqa: E731
    with pytest.warns(UserWarning, match="wrapped by OwnStatistics"):
        score = evaluate(GymAgent(make, auto_reset=False), ConstantAgent(), [1])
    assert isinstance(score, Evaluation) and torch.is_grad_enabled()
