"""Losses, gradients and weights that become NaN or infinite."""

import pytest
import torch
from safetensors.torch import load_file

from workspace_rl import Workspace
from workspace_rl.algos import SAC, TD3
from workspace_rl.errors import NonFiniteError
from workspace_rl.update_watch import UpdateWatch


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
    assert "update 30 (step 336) gave numbers that are not finite, loss/critic" in message
    assert "loss/actor = " in message and "last good checkpoint is that of step 240" in message
    batch = load_file(tmp_path / "run" / "bad_update_30.safetensors")
    assert batch["env/env_obs"].shape == (2, 16, 3) and not batch["env/reward"].isfinite().all()
    assert (tmp_path / "run" / "latest" / "policy.safetensors").is_file()


@pytest.mark.parametrize("compile", [False, True])
def test_on_a_device_that_is_not_waited_for_the_next_flush_tells(tiny_sac, tmp_path, compile):
    td3 = TD3(tiny_sac | {"algo": "td3", "compile": compile})
    learn = td3.learn

    def spoiled(batch):
        if td3._watch is None:
            td3._watch, td3._watched_from = UpdateWatch(batch), 1
        if td3.n_updates in (29, 31):
            batch.set_full("env/reward", batch["env/reward"] * float("inf") + td3.n_updates)
        return learn(batch)

    td3.learn = spoiled
    with pytest.raises(NonFiniteError, match=r"update 30 \(step .*loss/actor = "):
        td3.train(progress=False)
    assert not load_file(tmp_path / "run" / "bad_update_30.safetensors")["env/reward"].isfinite().all()


def test_the_watch_keeps_the_first_of_several():
    def batch(value):
        workspace = Workspace()
        workspace.set_full("x", torch.full((2, 3), float(value)))
        return workspace

    watch = UpdateWatch(batch(0))
    for value in (1, float("nan"), 3, float("inf")):
        watch.note(batch(10 + len(str(value))), {"a": torch.tensor(1.0), "b": torch.tensor(value)})
    assert bool(watch.bad) and int(watch.n_good) == 1
    kept, metrics = watch.first_bad(["a", "b"])
    assert kept["x"][0, 0] == 13 and metrics["a"] == 1 and metrics["b"].isnan()


def test_weights_are_looked_at_when_logs_are_flushed(tiny_sac):
    sac = SAC(tiny_sac)
    sac.unused = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(sac.unused.bias, float("inf"))
    with pytest.raises(NonFiniteError, match=r"after update .* weights are not finite: unused.bias"):
        sac.train(progress=False)
