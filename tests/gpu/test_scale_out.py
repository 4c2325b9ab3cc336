"""Learners on a GPU, whose collectors and scores are in other processes."""

import copy
import os
import subprocess
import sys

import pytest
import torch

from tests.gpu.shapes import of_shape
from tests.robustness.killed_runs import differences
from tests.runs.test_checkpoint import train_until

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"),
    # A torch that cannot trace gradients says that it runs updates eagerly.
    pytest.mark.filterwarnings("ignore:updates run eagerly"),
    pytest.mark.filterwarnings("ignore:collectors"),
]


@pytest.fixture(params=["sac", "dqn"])
def on_a_gpu(request, tiny_sac):
    """An algorithm, and parameters of a short run of it on the GPU."""
    return of_shape(request.param, tiny_sac)


@pytest.mark.parametrize("lag", [0, 1])
def test_collectors_in_other_processes_lead_to_the_same_bits_also_when_a_run_goes_on_there(lag, on_a_gpu, tmp_path):
    algorithm, config = on_a_gpu

    def options(where, name):
        section = {"n": 2, "lag": lag, "where": where}
        return copy.deepcopy(config) | {"collectors": section, "base_dir": str(tmp_path / name)}

    algorithm(options("process", "here")).train(progress=False)
    algorithm(options("local", "there")).train(progress=False)
    train_until(algorithm(options("process", "stopped")), 30)
    algorithm.restore(tmp_path / "stopped", ["collectors.where=local"]).train(progress=False)
    for name in ("there", "stopped"):
        assert differences(tmp_path / name, tmp_path / "here") == []


def test_free_collectors_and_scores_in_a_process_of_their_own(on_a_gpu):
    algorithm, config = on_a_gpu
    config |= {"collectors": {"n": 2, "where": "local", "mode": "free"}, "evaluation_worker": True}
    result = algorithm(config).train(progress=False)
    assert result.steps >= 400 and result.selection is not None


def test_a_rank_alone_trains_by_nccl(tiny_sac, tmp_path):
    arguments = [f"algorithm.{name}={value}" for name, value in tiny_sac["algorithm"].items() if name != "architecture"]
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m",
            "workspace_rl", "train", "sac/pendulum", *arguments, "device=cuda", "record_best=false",
            f"base_dir={tmp_path / 'run'}",
        ],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "best" / "policy.safetensors").is_file()
