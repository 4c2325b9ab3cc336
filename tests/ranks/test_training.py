"""Two ranks train: what each has of its own, what they share, and how they end together."""

import os
import signal
import warnings
from pathlib import Path

import pytest
import torch

from tests.ranks.processes import as_rank, on_ranks, values
from workspace_rl.algos import SAC
from workspace_rl.errors import ConfigError, RankError
from workspace_rl.ranks import Alone
from workspace_rl.runs import read_metrics
from workspace_rl.training.parts.logs import MeansOfRanks


def config_of(folder, **algorithm):
    parameters = {
        "total_steps": 400,
        "n_envs": 2,
        "n_steps": 4,
        "learning_starts": 64,
        "random_steps": 32,
        "batch_size": 16,
        "buffer_size": 200,
        "nb_evals": 1,
        "eval_interval": 200,
        "checkpoint_interval": 160,
        "final_episodes": 1,
        "architecture": {"actor_hidden_size": [8], "critic_hidden_size": [8]},
    }
    return {
        "gym_env": {"env_name": "Pendulum-v1", "max_episode_steps": 30},
        "base_dir": str(folder),
        "algorithm": parameters | algorithm,
        "logger": {"log_interval": 48, "save_tensorboard": False},
        "compile": False,
        "record_best": False,
    }


NORMALIZED = {"normalize_observations": True, "normalize_rewards": True}


class Watched(SAC):
    """SAC that keeps its experience, and where something happens to one rank at an update."""

    happens = staticmethod(lambda sac, n: None)

    def make_experience(self):
        self.experience = super().make_experience()
        return self.experience

    def update(self, batch):
        type(self).happens(self, self.n_updates)
        return super().update(batch)


def train(folder, happens=None, algorithm=Watched, **parameters):
    """Return what is left of a training in this rank, or its error."""
    Watched.happens = staticmethod(happens or (lambda sac, n: None))
    made = algorithm(config_of(folder, **parameters))
    return outcome_of(made)


def resume(folder, overrides=(), algorithm=Watched):
    Watched.happens = staticmethod(lambda sac, n: None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = algorithm.restore(folder, overrides)
    return outcome_of(made) | {"told": [str(one.message) for one in told]}


def outcome_of(made):
    try:
        result = made.train(progress=False)
    except Exception as error:
        return {"error": error, "updates": made.n_updates}
    buffer = made.experience.buffer
    return {
        "steps": result.steps,
        "interrupted": result.interrupted,
        "final": result.final,
        "run": result.run,
        "temporary": made.run.path,
        "updates": made.n_updates,
        "weights": {name: one.detach().clone() for name, one in made.learner.weights().items()},
        "statistics": [one.state_dict() for one in made.running_statistics()],
        "rows": buffer.rows,
        "capacity": buffer.capacity,
        "batch": made.experience.batch_size,
        "newest": next(iter(buffer.read_rows(buffer.rows.stop - 1, buffer.rows.stop).values())),
        "priorities": buffer.describe().get("priorities"),
        "draws": next_number(made),
    }


def next_number(made):
    with made.random_state:
        return float(torch.rand(()))


# ---- in the processes of the ranks ---------------------------------------------------------------------------------


def on_rank(rank, n, do):
    """Return what does something on one rank at update `n`."""

    def happens(sac, n_updates):
        if sac.ranks.rank == rank and n_updates == n:
            do(sac)

    return happens


def perturb(sac):
    with torch.no_grad():
        next(sac.critic.parameters())[0, 0] += 1e-6


def fail(sac):
    raise ZeroDivisionError("this simulator divides by zero")


def interrupt(sac):
    signal.raise_signal(signal.SIGINT)


class Unequal(Watched):
    def build(self):
        super().build()
        if self.ranks.rank:
            perturb(self)


class StoppedScoring(Watched):
    """The first rank is stopped while it scores: the others are on their way to the next turn."""

    def evaluate(self):
        interrupt(self)
        return super().evaluate()


class Fleet(Watched):
    """Collectors beside each other."""

    def __init__(self, config):
        super().__init__(config | {"collectors": {"n": 2}})


class Reaching(Watched):
    """Learns from goals of hindsight, of windows drawn by priorities."""

    def __init__(self, config):
        config["gym_env"] = {"env_name": "PointReach-v0"}
        config["algorithm"] |= {"prioritized": {}, "hindsight": {}, "total_steps": 200}
        super().__init__(config)


class Coarse(Watched):
    """Products of 16 bits; gradients have 32."""

    def __init__(self, config):
        super().__init__(config | {"precision": "bf16"})


def scenarios(folder):
    """Return the outcome of each training, one after the other in the same processes."""
    whole = train(folder / "whole")
    stopped = train(folder / "stopped", on_rank(1, 30, interrupt))
    return {
        "whole": whole,
        "stopped": stopped,
        "resumed": resume(folder / "stopped"),
        "scoring": train(folder / "scoring", algorithm=StoppedScoring),
        "failed": train(folder / "failed", on_rank(1, 20, fail)),
        "perturbed": train(folder / "perturbed", on_rank(1, 20, perturb)),
        "unequal": train(folder / "unequal", algorithm=Unequal),
        "taken": train(folder / "whole"),
        "shorter": train(folder / "two", total_steps=200),
        "fleet": train(folder / "fleet", algorithm=Fleet, total_steps=96, **NORMALIZED),
        "reaching": train(folder / "reaching", algorithm=Reaching),
        "left": train(folder / "left", on_rank(1, 8, interrupt), algorithm=Reaching),
        "reached": resume(folder / "left", algorithm=Reaching),
        "coarse": train(folder / "coarse", algorithm=Coarse, total_steps=96),
    }


def more_ranks(folder):
    return resume(folder, ["algorithm.total_steps=640"])


def killed(folder):
    return train(folder, on_rank(1, 20, lambda sac: os.kill(os.getpid(), signal.SIGKILL)))


# ---- what they lead to ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def outcomes(folder):
    return values(on_ranks(scenarios, folder))


def same(weights, others):
    return all(torch.equal(one, others[name]) for name, one in weights.items())


def test_ranks_share_steps_batches_and_weights(outcomes):
    first, second = (one["whole"] for one in outcomes)
    assert first["steps"] == second["steps"] >= 400
    # In a turn, each rank collects 8 transitions, fewer where episodes end, and there are two updates.
    assert len(first["rows"]) == len(second["rows"]) and first["capacity"] == second["capacity"] == 100
    assert first["updates"] == second["updates"] and first["updates"] % 2 == 0
    assert (400 - 64) / 8 <= first["updates"] <= (400 - 64) / 7
    assert first["batch"] == second["batch"] == 8
    assert same(first["weights"], second["weights"])


def test_each_rank_has_experience_and_random_numbers_of_its_own(outcomes):
    first, second = (one["whole"] for one in outcomes)
    assert not torch.isclose(first["newest"], second["newest"]).any()
    assert first["draws"] != second["draws"]


def test_the_first_rank_alone_writes_the_folder_and_scores(outcomes, folder):
    first, second = (one["whole"] for one in outcomes)
    assert first["run"] == second["run"] == folder / "whole"
    assert first["final"] is not None and second["final"] is None
    names = {str(one.relative_to(folder / "whole")) for one in (folder / "whole").rglob("*")}
    assert {"metrics.csv", "best/policy.safetensors", "checkpoints/rank1"} <= names
    assert {Path(one).name.split("-")[0] for one in names if "rank1/" in one} == {"checkpoint", "rows", "state"}
    assert not second["temporary"].exists() and second["temporary"] != folder


def test_what_is_logged_is_the_mean_over_ranks(outcomes, folder):
    measured = read_metrics(folder / "whole" / "metrics.csv")
    # Episodes of 30 steps on 4 environments: their mean length is known, and each is counted by its rank alone.
    assert {value for _, value in measured["train/episode_length"]} == {30.0}
    assert len(measured["loss/critic"]) >= 5 and len(measured["eval/return_mean"]) == 2


def test_means_count_each_value_of_each_rank_once():
    class Two(Alone):
        joined = True

        def gather(self, value):
            return [value, {"b": (4.0, 1), "c": (6.0, 3)}]

    recorded = {"a": [torch.tensor([1.0]), torch.tensor([2.0, 6.0])], "b": [torch.tensor([0.0, 2.0])]}
    assert MeansOfRanks(Two())(recorded) == {"a": 3.0, "b": 2.0, "c": 2.0}
    assert MeansOfRanks(Alone())(recorded) == {"a": torch.tensor(3.0), "b": torch.tensor(1.0)}


def test_a_stop_of_one_is_a_stop_of_all_and_a_resumed_run_ends_with_the_same_bits(outcomes, folder):
    for one in outcomes:
        assert one["stopped"]["interrupted"] and one["stopped"]["steps"] < 400
        assert one["stopped"]["updates"] == outcomes[0]["stopped"]["updates"]
        assert not one["resumed"]["interrupted"]
        assert same(one["resumed"]["weights"], one["whole"]["weights"])
        assert one["resumed"]["draws"] == one["whole"]["draws"]
        assert torch.equal(one["resumed"]["newest"], one["whole"]["newest"])
        assert one["resumed"]["told"] == []
    whole, resumed = (folder / name / "metrics.csv" for name in ("whole", "stopped"))
    assert whole.read_bytes() == resumed.read_bytes()


def test_a_stop_while_the_first_rank_scores_stops_the_others(outcomes):
    first, second = (one["scoring"] for one in outcomes)
    assert first["interrupted"] and second["interrupted"]
    assert same(first["weights"], second["weights"])


def test_an_error_of_one_ends_all_with_its_message(outcomes):
    first, second = (one["failed"] for one in outcomes)
    assert isinstance(second["error"], ZeroDivisionError)
    assert isinstance(first["error"], RankError)
    assert "rank 1 of this training has failed" in str(first["error"])
    assert "ZeroDivisionError: this simulator divides by zero" in str(first["error"])


def test_weights_that_differ_are_told_at_the_next_log(outcomes):
    for one in outcomes:
        error = one["perturbed"]["error"]
        assert isinstance(error, RankError) and 20 <= one["perturbed"]["updates"] <= 30
        assert "after update " in str(error)
        assert "rank 1 does not hold the weights of rank 0" in str(error) and "critic.model" in str(error)


def test_weights_that_differ_at_the_beginning_are_told_then(outcomes):
    for one in outcomes:
        error = one["unequal"]["error"]
        assert isinstance(error, RankError) and one["unequal"]["updates"] == 0
        assert "at the beginning, rank 1 does not hold the weights of rank 0: critic.model" in str(error)


def test_a_folder_that_is_taken_ends_all(outcomes):
    first, second = (one["taken"]["error"] for one in outcomes)
    assert "exists already" in str(first) and isinstance(second, RankError) and "exists already" in str(second)


def test_collectors_of_each_rank_collect_other_episodes(outcomes):
    first, second = (one["fleet"] for one in outcomes)
    assert first["steps"] == second["steps"] and same(first["weights"], second["weights"])
    assert not torch.isclose(first["newest"], second["newest"]).any()


def test_ranks_have_the_same_statistics_of_what_all_have_collected(outcomes):
    first, second = (one["fleet"] for one in outcomes)
    observations, rewards = first["statistics"]
    assert rewards["count"] == first["steps"] and observations["count"] > first["steps"]
    for one, other in zip(first["statistics"], second["statistics"], strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_priorities_and_goals_of_hindsight_are_each_ranks_own(outcomes, folder):
    first, second = (one["reaching"] for one in outcomes)
    assert first["updates"] >= 16 and same(first["weights"], second["weights"])
    assert len(first["priorities"]) and not torch.isin(first["priorities"], second["priorities"]).all()
    for one in outcomes:
        assert one["left"]["interrupted"] and not one["reached"]["interrupted"]
        for name in ("priorities", "newest"):
            assert torch.equal(one["reached"][name], one["reaching"][name])
        assert same(one["reached"]["weights"], one["reaching"]["weights"])
    whole, resumed = (folder / name / "metrics.csv" for name in ("reaching", "left"))
    assert whole.read_bytes() == resumed.read_bytes()


def test_runs_in_bfloat16_stay_equal(outcomes):
    first, second = (one["coarse"] for one in outcomes)
    assert first["updates"] > 0 and same(first["weights"], second["weights"])
    assert all(one.dtype == torch.float32 for one in first["weights"].values())


def test_a_run_goes_on_on_fewer_and_on_more_ranks(outcomes, folder):
    with pytest.warns(UserWarning, match=r"another number of ranks \(2 before, 1 now\)"):
        alone = Watched.restore(folder / "two", ["algorithm.total_steps=400"])
    Watched.happens = staticmethod(lambda sac, n: None)
    result = alone.train(progress=False)
    assert result.steps >= 400 and alone.experience.buffer.capacity == 200
    first, second = values(on_ranks(more_ranks, folder / "two"))
    assert "another number of ranks (1 before, 2 now)" in first["told"][0]
    assert first["steps"] == second["steps"] >= 640 and same(first["weights"], second["weights"])
    assert first["draws"] != second["draws"] and not torch.isclose(first["newest"], second["newest"]).any()


def test_a_rank_that_is_killed_ends_all(folder):
    first, second = on_ranks(killed, folder / "killed")
    assert isinstance(second, EOFError)
    assert "has ended without a word" in str(first["error"]) and "resume" in str(first["error"])


def test_a_single_rank_ends_with_the_bits_of_a_program_without_ranks(folder, monkeypatch):
    alone = train(folder / "alone")
    as_rank(monkeypatch)
    one = train(folder / "one")
    assert same(one["weights"], alone["weights"]) and one["draws"] == alone["draws"]
    first, second = (folder / name / "metrics.csv" for name in ("alone", "one"))
    assert first.read_bytes() == second.read_bytes()


def test_free_mode_and_a_batch_that_cannot_be_shared_are_refused(tmp_path, monkeypatch):
    as_rank(monkeypatch, size=3)
    with pytest.raises(ConfigError, match=r"algorithm.batch_size: a multiple of 3"):
        SAC(config_of(tmp_path / "run")).make_experience()
    with pytest.raises(ConfigError, match=r"collectors.mode: lockstep expected on 3 ranks"):
        SAC(config_of(tmp_path / "run") | {"collectors": {"mode": "free"}})
