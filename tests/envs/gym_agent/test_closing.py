"""Environments that raise when they are closed."""

import multiprocessing
import warnings

import gymnasium as gym
import pytest

from tests.envs.odd_environments import WAYS, OwnVector, agent_of
from tests.toys import CountingEnv
from workspace_rl import GymAgent, Workspace
from workspace_rl.algos import SAC
from workspace_rl.errors import EnvironmentFailedError


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
