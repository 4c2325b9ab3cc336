"""The seeds of resets."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch

from tests.envs.odd_environments import OwnVector
from tests.toys import ConstantAgent
from workspace_rl import Agent, GymAgent, Workspace, evaluate
from workspace_rl.algos import DQN
from workspace_rl.errors import CompositionError


def test_no_two_environments_resets_or_seeds_share_episodes():
    starts = []
    for seed in range(4):
        agent = GymAgent("CartPole-v1", 3, seed=seed)
        for _ in range(4):
            workspace = Workspace()
            agent(workspace, t=0)
            starts += workspace["env/env_obs"][0].tolist()
    assert len({tuple(start) for start in starts}) == 4 * 4 * 3


def test_seeding_is_reproducible_and_given_seeds_are_used_once():
    def starts(agent):
        workspace = Workspace()
        agent(workspace, t=0)
        return workspace["env/env_obs"]

    agent = GymAgent("CartPole-v1", 2, seed=7)
    first, second = starts(agent), starts(agent)
    assert not torch.equal(first, second)
    assert torch.equal(first, starts(agent.seed(7)))
    given = starts(agent.seed_episodes([1, 2]))
    assert torch.equal(starts(agent), second)
    assert torch.equal(given[0, 0], torch.from_numpy(gym.make("CartPole-v1").reset(seed=1)[0]))
    with pytest.raises(CompositionError, match="2 environments need as many seeds, 1"):
        agent.seed_episodes([1])


def _idle():
    class Idle(Agent):
        def forward(self, t, **kwargs):
            self.set(("action", t), torch.zeros(len(self.get(("env/done", t))), dtype=torch.int64))

    return Idle()


@pytest.mark.parametrize("seeds", [np.arange(1, 4), torch.arange(1, 4), range(1, 4), (np.uint8(1), 2, torch.tensor(3))])
def test_seeds_may_be_whole_numbers_of_any_kind(seeds):
    score = evaluate(GymAgent("CartPole-v1", 2, auto_reset=False), _idle(), seeds)
    assert score.seeds == [1, 2, 3] and json.loads(json.dumps(score.as_dict()))["seeds"] == [1, 2, 3]


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
