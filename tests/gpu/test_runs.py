"""Runs on a GPU: they learn, go on to the same bits, and what they leave opens and goes on without one."""

import copy
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from tests.gpu.shapes import SHAPES, of_shape
from tests.learning.state.test_transfer import assert_updated_alike, updated
from tests.robustness.killed_runs import differences
from tests.runs.test_checkpoint import train_until
from workspace_rl import Run, load_policy
from workspace_rl.agents.actors import SquashedGaussianActor
from workspace_rl.algos import SAC
from workspace_rl.errors import NonFiniteError

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    # A torch that cannot trace gradients says that it runs updates eagerly.
    pytest.mark.filterwarnings("ignore:updates run eagerly"),
]


@pytest.fixture(params=SHAPES)
def on_a_gpu(request, tiny_sac):
    """An algorithm, and parameters of a short run of it on the GPU."""
    return of_shape(request.param, tiny_sac)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_stopped_run_goes_on_to_the_same_bits(compiled, on_a_gpu, tmp_path):
    algorithm, config = on_a_gpu
    config["compile"] = compiled
    whole = algorithm(copy.deepcopy(config)).train(progress=False)
    train_until(algorithm(config | {"base_dir": str(tmp_path / "stopped")}), 30)
    algorithm.restore(tmp_path / "stopped").train(progress=False)
    assert differences(tmp_path / "stopped", whole.run) == []


WITHOUT = """
import sys, warnings, torch
assert not torch.cuda.is_available()
from workspace_rl import Run, load_policy
from workspace_rl.algos import ALGORITHMS
path = sys.argv[1]
assert load_policy(path).device.type == "cpu"
run = Run(path)
print(run.evaluate(2).mean)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    algorithm = ALGORITHMS[run.config.algo].restore(path, ["algorithm.total_steps=500", "device=cpu"])
assert any("bit-identical" in str(one.message) for one in told), [str(one.message) for one in told]
assert algorithm.train(progress=False).steps >= 500
"""


def test_what_a_run_leaves_opens_and_goes_on_without_a_gpu(on_a_gpu, monkeypatch):
    algorithm, config = on_a_gpu
    run = algorithm(config).train(progress=False).run
    here = Run(run).evaluate(2).mean
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(run)], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[0]) == pytest.approx(here, rel=1e-3)


def test_a_run_of_a_processor_goes_on_on_a_gpu(tiny_sac, tmp_path):
    run = SAC(tiny_sac).train(progress=False).run
    copied = shutil.copytree(run, tmp_path / "copied")
    with pytest.warns(UserWarning, match="bit-identical"):
        longer = SAC.restore(copied, ["algorithm.total_steps=800", "device=cuda"])
    assert longer.train(progress=False).steps >= 800
    assert load_policy(copied).device.type == "cpu"


class NormalisingActor(SquashedGaussianActor):
    """An actor that normalises its features and forgets some of them."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        width = self.mean.in_features
        self.body = nn.Sequential(self.body, nn.BatchNorm1d(width), nn.Dropout(0.2))


def test_modes_and_buffers_on_a_gpu(tiny_sac, monkeypatch):
    monkeypatch.setattr("workspace_rl.algos.sac.SquashedGaussianActor", NormalisingActor)
    sac = SAC(tiny_sac | {"device": "cuda"})
    result = sac.train(progress=False)
    best = Run(result.run).policy(allow=[NormalisingActor])
    norm = next(one for one in best.modules() if isinstance(one, nn.BatchNorm1d))
    assert norm.num_batches_tracked > 0 and norm.running_mean.abs().sum() > 0
    assert best.device.type == "cpu"


def test_updates_may_have_nothing_on_the_gpu_to_look_at(tiny_sac):
    class Idle(SAC):
        def update(self, batch, **flags):
            return {"constant": torch.ones(())}

    assert Idle(tiny_sac | {"device": "cuda"}).train(progress=False).steps >= 600


def test_a_loss_that_is_no_number_ends_the_run(tiny_sac):
    class Broken(SAC):
        def update(self, batch, **flags):
            with torch.no_grad():
                next(self.actor.parameters()).mul_(torch.nan)
            return super().update(batch, **flags)

    with pytest.raises(NonFiniteError):
        Broken(tiny_sac | {"device": "cuda"}).train(progress=False)


def test_buffers_that_are_assigned_anew_in_a_graph():
    assert_updated_alike(updated(False, "cuda"), updated(True, "cuda"))


def test_an_update_is_one_cuda_graph_and_computes_the_same(on_a_gpu, tmp_path):
    algorithm, config = on_a_gpu
    recorded, launched = (
        algorithm(copy.deepcopy(config) | {"compile": True, "base_dir": str(tmp_path / name)})
        for name in ("recorded", "launched")
    )
    compile_update = launched.learner.compiled._compile
    launched.learner.compiled._compile = lambda *arguments: compile_update(*arguments)._function
    runs = [one.train(progress=False).run for one in (recorded, launched)]
    graphs = recorded.learner.compiled._graphs.values()
    assert graphs and all(graph._graph is not None for graph in graphs)
    assert differences(*runs) == []
