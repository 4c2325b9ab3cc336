"""What follows the end of an episode: the next one, or rest."""

import gymnasium as gym
import torch

from tests.envs.running import VARIABLES, column, run
from tests.toys import CountingEnv
from workspace_rl import GymAgent


def two_envs(auto_reset):
    """One environment that terminates after 3 steps, one that is truncated after 4; step k pays k."""
    endings = iter([(3, "terminated"), (4, "truncated")])
    vector = gym.vector.SyncVectorEnv([lambda: CountingEnv(*next(endings))] * 2)
    return GymAgent(vector, auto_reset=auto_reset)


def test_auto_reset_follows_the_traces_of_bbrl():
    workspace = run(two_envs(auto_reset=True), n_steps=9)
    assert column(workspace, "env_obs") == "00 11 22 33 04 10 21 32 03".split()
    assert column(workspace, "reward") == "00 11 22 33 04 10 21 32 03".split()
    assert column(workspace, "done") == "00 00 00 10 01 00 00 10 00".split()
    assert column(workspace, "terminated") == "00 00 00 10 00 00 00 10 00".split()
    assert column(workspace, "truncated") == "00 00 00 00 01 00 00 00 00".split()
    assert column(workspace, "cumulated_reward") == "00 11 33 66 010 10 31 63 06".split()
    assert column(workspace, "timestep") == "00 11 22 33 04 10 21 32 03".split()
    assert workspace.subtime(0, 9).get_transitions()["action"].shape == (2, 13, 1)


def test_without_auto_reset_the_first_episode_is_played_and_its_last_frame_repeated():
    workspace = run(two_envs(auto_reset=False), stop_variable="env/done")
    assert column(workspace, "env_obs") == "00 11 22 33 34".split()
    assert column(workspace, "reward") == "00 11 22 33 04".split()
    assert column(workspace, "done") == "00 00 00 10 11".split()
    assert column(workspace, "terminated") == "00 00 00 10 10".split()
    assert column(workspace, "truncated") == "00 00 00 00 01".split()
    assert column(workspace, "cumulated_reward") == "00 11 33 66 610".split()
    assert column(workspace, "timestep") == "00 11 22 33 34".split()


def test_what_a_finished_environment_does_later_is_ignored():
    lengths = iter([2, 7])
    agent = GymAgent(gym.vector.SyncVectorEnv([lambda: CountingEnv(next(lengths))] * 2), auto_reset=False)
    workspace = run(agent, stop_variable="env/done")
    assert workspace["env/env_obs"][:, 0, 0].tolist() == [0, 1, 2, 2, 2, 2, 2, 2]
    assert workspace["env/cumulated_reward"][-1].tolist() == [3, 28]
    assert workspace["env/timestep"][-1].tolist() == [2, 7]


def test_terminated_and_truncated_on_one_step():
    workspace = run(GymAgent(lambda: CountingEnv(2, "both")), n_steps=4)
    for name in ("terminated", "truncated", "done"):
        assert column(workspace, name) == ["0", "0", "1", "0"]


def test_evaluation_can_be_run_again():
    agent = two_envs(auto_reset=False)
    first, second = (run(agent, stop_variable="env/done") for _ in range(2))
    for name in VARIABLES:
        assert torch.equal(first[f"env/{name}"], second[f"env/{name}"])


def test_environments_rest_when_their_episode_is_over():
    made = []

    def make():
        made.append(CountingEnv(length=len(made) + 2))
        return made[-1]

    agent = GymAgent(make, 3, auto_reset=False)
    for _ in range(2):
        workspace = run(agent, stop_variable="env/done")
        assert workspace["env/timestep"][-1].tolist() == [2, 3, 4]
    assert [len(env.actions) for env in made] == [4, 6, 8]
