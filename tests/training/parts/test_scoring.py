"""Scoring in environments of its own: made when needed, closed when told, the same episodes every time."""

import pytest
import torch

from tests.toys import ConstantAgent
from workspace_rl.config import TrainingConfig
from workspace_rl.config.environment_config import EnvironmentConfig
from workspace_rl.errors import ConfigError
from workspace_rl.training.parts import scoring
from workspace_rl.training.parts.scoring import Scoring


@pytest.fixture
def made(monkeypatch):
    """The environments that are made, each with the names of what was done to it."""
    made, make = [], scoring.make_env_agent

    def making(*args, **kwargs):
        env_agent = make(*args, **kwargs)
        made.append(env_agent)
        return env_agent

    monkeypatch.setattr(scoring, "make_env_agent", making)
    return made


def scoring_of(nb_evals=3, single=False, closed=None):
    env = EnvironmentConfig(env_name="Pendulum-v1", max_episode_steps=5, single_instance=single)
    parameters = TrainingConfig(seed=4, nb_evals=nb_evals)
    closes = (lambda: closed.append(True)) if closed is not None else (lambda: None)
    return Scoring(env, parameters, torch.device("cpu"), threads=1, close_training=closes)


def test_the_same_policy_has_the_same_scores_every_time(made):
    score = scoring_of()
    first, second = score(ConstantAgent()), score(ConstantAgent())
    assert first == second and len(first.returns) == 3 and first.lengths == [5, 5, 5] and len(made) == 1
    assert score(ConstantAgent(0.5)) != first
    score.close()
    assert score(ConstantAgent()) == first and len(made) == 2


def test_nothing_is_made_before_it_is_needed_and_closing_is_harmless(made):
    score = scoring_of()
    score.close()
    assert not made


def test_where_only_one_may_be_open_training_is_closed_first_and_scoring_at_once(made):
    closed = []
    score = scoring_of(single=True, closed=closed)
    assert score(ConstantAgent()) == scoring_of()(ConstantAgent())
    assert closed == [True] and score.took_over and made[0].n_envs == 1
    score(ConstantAgent())
    assert len(made) == 3  # none is left open between two scores


def test_scores_draw_no_random_numbers_of_the_programs():
    before = torch.get_rng_state()
    scoring_of()(ConstantAgent())
    assert torch.equal(torch.get_rng_state(), before)


def test_without_episodes_there_is_no_score():
    with pytest.raises(ConfigError, match="nb_evals: at least 1 expected"):
        scoring_of(nb_evals=0)(ConstantAgent())
