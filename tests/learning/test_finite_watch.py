"""Losses, gradients and weights that become NaN or infinite."""

import math

import pytest
import torch
from safetensors.torch import load_file

from workspace_rl import Workspace, minimise
from workspace_rl.algos import SAC, TD3
from workspace_rl.errors import NonFiniteError
from workspace_rl.learning.finite_watch import Steps, UpdateWatch
from workspace_rl.plots import learning_curves
from workspace_rl.report import write_report
from workspace_rl.runs.metrics_file import read_metrics


def spoil(algorithm, n):
    """Give the n-th update a reward that is not finite."""
    sample_update = algorithm.update

    def update(batch, **flags):
        if algorithm.n_updates == n:
            batch.set_full("env/reward", batch["env/reward"] * float("inf"))
        return sample_update(batch, **flags)

    algorithm.update = update


def test_the_first_bad_update_stops_the_run_and_its_batch_is_kept(tiny_sac, tmp_path):
    tiny_sac["algorithm"]["checkpoint_interval"] = 120
    sac = SAC(tiny_sac)
    spoil(sac, 30)
    with pytest.raises(NonFiniteError) as caught:
        sac.train(progress=False)
    message = str(caught.value)
    assert message.startswith("step 336: update 30 gave numbers that are not finite, loss/critic")
    assert "loss/actor = " in message and "last good checkpoint is that of step 240" in message
    batch = load_file(tmp_path / "run" / "bad_update_30.safetensors")
    assert batch["env/env_obs"].shape == (2, 16, 3) and not batch["env/reward"].isfinite().all()
    assert (tmp_path / "run" / "latest" / "policy.safetensors").is_file()


@pytest.mark.parametrize("compile", [False, True])
def test_on_a_device_that_is_not_waited_for_the_next_flush_tells(tiny_sac, tmp_path, compile):
    td3 = TD3(tiny_sac | {"algo": "td3", "compile": compile})
    learn = td3.learn

    def spoiled(batch):
        if td3.learner.watch is None:
            td3.learner.watch_from(1, batch)
        if td3.n_updates in (29, 31):
            batch.set_full("env/reward", batch["env/reward"] * float("inf") + td3.n_updates)
        return learn(batch)

    td3.learn = spoiled
    with pytest.raises(NonFiniteError, match=r"update 30 gave .*loss/actor = "):
        td3.train(progress=False)
    assert not load_file(tmp_path / "run" / "bad_update_30.safetensors")["env/reward"].isfinite().all()


def test_the_watch_keeps_the_first_of_several():
    def batch(value):
        workspace = Workspace()
        workspace.set_full("x", torch.full((2, 3), float(value)))
        return workspace

    watch = UpdateWatch(batch(0))
    for value in (1, float("nan"), 3, float("inf")):
        steps = torch.tensor([value, 2.0])
        watch.note(batch(10 + len(str(value))), steps, {"a": torch.tensor(1.0), "b": torch.tensor(value)})
    assert bool(watch.bad) and int(watch.n_good) == 1
    kept, metrics = watch.first_bad(["a", "b"])
    assert kept["x"][0, 0] == 13 and metrics["a"] == 1 and metrics["b"].isnan()
    assert list(metrics) == ["a", "b", "loss of step 1 of the update"]


def test_weights_are_looked_at_when_logs_are_flushed(tiny_sac):
    sac = SAC(tiny_sac)
    sac.unused = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(sac.unused.bias, float("inf"))
    with pytest.raises(NonFiniteError, match=r"after update .* weights are not finite: unused.bias"):
        sac.train(progress=False)


class Measuring(SAC):
    """Measures something of its own that is not finite, beside what SAC does."""

    value = float("nan")

    def update(self, batch, **flags):
        metrics = super().update(batch, **flags)
        return metrics | {"mine": metrics["loss/actor"] * 0 + self.value, "loss/mine": metrics["loss/actor"] / 0}


@pytest.mark.parametrize("where", ["eager", "compiled", "watched", "watched and compiled"])
def test_a_metric_of_one_s_own_need_not_be_finite(tiny_sac, tmp_path, where):
    if "compiled" in where:
        tiny_sac |= {"compile": True}
        tiny_sac["algorithm"] |= {"total_steps": 300}
    sac = Measuring(tiny_sac)
    learn = sac.learn

    def watched(batch):
        if "watched" in where and sac.learner.watch is None:
            sac.learner.watch_from(1, batch)
        return learn(batch)

    sac.learn = watched
    sac.train(progress=False)
    metrics = read_metrics(tmp_path / "run")
    assert all(math.isnan(value) for _, value in metrics["mine"]) and len(metrics["mine"]) > 1
    assert not any(math.isfinite(value) for _, value in metrics["loss/mine"])
    assert set(metrics) & {"finite", "steps"} == set()
    for name in ("loss/critic", "gradient_norm/critic", "q_value/mean"):
        assert all(math.isfinite(value) for _, value in metrics[name])
    learning_curves([tmp_path / "run"], ["loss/*", "eval/return_mean"])
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "mine" in page


@pytest.mark.parametrize("compile", [False, True])
def test_a_loss_that_is_not_logged_stops_the_run(tiny_sac, compile):
    """Neither the names of metrics nor whether there are any matter."""
    sac = SAC(tiny_sac | {"compile": compile})
    update, spoiled = sac.update, torch.zeros(())

    def silent(batch, **flags):
        batch.set_full("env/reward", batch["env/reward"] + spoiled)
        update(batch, **flags)
        return {"entropy/policy": torch.zeros(())}

    sac.update = silent
    learn = sac.learn

    def counting(batch):
        if sac.n_updates == 29:
            spoiled.fill_(float("inf"))
        return learn(batch)

    sac.learn = counting
    with pytest.raises(NonFiniteError, match=r"update 30 .* not finite, loss of step 1 of the update, gradient norm"):
        sac.train(progress=False)


def test_a_large_loss_in_float64_is_finite():
    parameter = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
    with Steps() as steps:
        minimise(parameter * 1e300, torch.optim.SGD([parameter], lr=1e-300))
    assert len(steps.values) == 2 and steps.stacked().isfinite().all()
    minimise(parameter * 1.0, torch.optim.SGD([parameter], lr=1e-3))
    assert len(steps.values) == 2  # nobody collects outside
