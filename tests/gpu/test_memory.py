"""Memories on a GPU: they learn, remember what they do on a CPU, and their runs go on to the same bits."""

import copy

import pytest
import torch

from tests.gpu.shapes import of_shape
from tests.robustness.killed_runs import differences
from tests.runs.test_checkpoint import train_until
from workspace_rl import Workspace
from workspace_rl.agents import GRUAgent, LSTMAgent, TransformerAgent

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    # A torch that cannot trace gradients says that it runs updates eagerly.
    pytest.mark.filterwarnings("ignore:updates run eagerly"),
]


@pytest.fixture(params=["sac", "dqn", "ppo"])
def on_a_gpu(request, tiny_sac):
    """An algorithm, and parameters of a short run of it on the GPU."""
    algorithm, config = of_shape(request.param, tiny_sac)
    if request.param != "ppo":
        config["algorithm"] |= {"batch_size": 8, "sequence_length": 6, "burn_in": 3}
    return algorithm, config


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["gru", "lstm", "transformer"])
def test_a_stopped_run_with_memory_goes_on_to_the_same_bits(kind, compiled, on_a_gpu, tmp_path):
    algorithm, config = on_a_gpu
    config["compile"] = compiled
    config["algorithm"]["architecture"]["memory"] = {"kind": kind, "size": 8, "n_heads": 2, "window": 3}
    whole = algorithm(copy.deepcopy(config)).train(progress=False)
    train_until(algorithm(config | {"base_dir": str(tmp_path / "stopped")}), 30)
    algorithm.restore(tmp_path / "stopped").train(progress=False)
    assert differences(tmp_path / "stopped", whole.run) == []


@pytest.mark.parametrize("memory", [GRUAgent(3, 8), LSTMAgent(3, 8, 2), TransformerAgent(3, 8, 2, 2, 4)])
def test_a_memory_is_the_same_on_both_devices_forth_and_back(memory):
    results = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        workspace = Workspace()
        observation = torch.randn(12, 5, 3).to(device).requires_grad_()
        workspace.set_full("env/env_obs", observation)
        workspace.set_full("env/timestep", (torch.arange(60).view(12, 5) % 7).to(device))
        agent = copy.deepcopy(memory).to(device)
        agent(workspace)
        features = workspace.get_full("memory")
        gradients = torch.autograd.grad(features.square().sum(), [observation, *agent.parameters()])
        results.append([one.cpu() for one in (features, *gradients)])
    for cpu, cuda in zip(*results, strict=True):
        torch.testing.assert_close(cuda, cpu, rtol=1e-3, atol=1e-4)
