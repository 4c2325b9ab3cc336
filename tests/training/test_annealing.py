"""Learning rates that fall along a line, in runs of algorithms of every kind."""

import copy

import pytest

from tests.algos.test_on_policy_runs import run_of
from tests.collectors.test_fleet import outcome
from tests.runs.test_checkpoint import train_until
from workspace_rl.algos import PPO, SAC


class Watched:
    """Notes the steps and the learning rates of each update."""

    def update(self, batch, **flags):
        rates = [group["lr"] for one in self.optimizers() for group in one.param_groups]
        self.__dict__.setdefault("seen", []).append((self.progress.steps, rates))
        return super().update(batch, **flags)


class WatchedSAC(Watched, SAC):
    pass


class WatchedPPO(Watched, PPO):
    pass


@pytest.fixture
def annealed(tiny_sac):
    tiny_sac["algorithm"] |= {"anneal_learning_rate": True, "checkpoint_interval": 200}
    tiny_sac |= {"torch_threads": 1, "matmul_precision": "highest"}
    tiny_sac["critic_optimizer"] = {"lr": 1e-2}
    return tiny_sac


def test_rates_fall_to_nothing_at_the_end(annealed, tmp_path):
    sac = WatchedSAC(annealed)
    ppo = WatchedPPO(run_of(PPO, tmp_path / "ppo", total_steps=600, anneal_learning_rate=True))
    for algorithm, first in ((sac, [3e-4, 1e-2, 3e-4]), (ppo, [1e-2])):
        algorithm.train(progress=False)
        steps = [step for step, _ in algorithm.seen]
        assert steps[0] < 130 and steps[-1] >= 600
        for step, rates in algorithm.seen:
            assert sorted(rates) == pytest.approx(sorted(max(0, 1 - step / 600) * rate for rate in first))


def test_rates_stay_unless_asked(tiny_sac):
    sac = WatchedSAC(tiny_sac)
    sac.train(progress=False)
    assert {tuple(rates) for _, rates in sac.seen} == {(3e-4, 3e-4, 3e-4)}


@pytest.mark.parametrize("compile", [False, True])
def test_a_resumed_run_has_the_bits_of_the_whole_one(compile, annealed, tmp_path):
    annealed["compile"] = compile
    whole, stopped = (SAC(copy.deepcopy(annealed) | {"base_dir": str(tmp_path / name)}) for name in ("one", "two"))
    whole.train(progress=False)
    train_until(stopped, 40)
    again = SAC.restore(tmp_path / "two")
    again.train(progress=False)
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")
