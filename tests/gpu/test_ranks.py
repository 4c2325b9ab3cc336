"""A rank on a GPU: its gradients go by nccl, within the recorded graph of a compiled update, too."""

import pytest
import torch

from tests.ranks.processes import as_rank
from workspace_rl.algos import SAC

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("compiled", [False, True])
def test_one_rank_learns_what_a_program_without_ranks_learns(compiled, tiny_sac, tmp_path, monkeypatch):
    tiny_sac |= {"device": "cuda", "compile": compiled}
    alone = SAC(tiny_sac | {"base_dir": str(tmp_path / "alone")})
    alone.train(progress=False)
    as_rank(monkeypatch)
    one = SAC(tiny_sac | {"base_dir": str(tmp_path / "one")})
    assert one.device == torch.device("cuda:0")
    one.train(progress=False)
    assert one.steps == alone.steps and one.n_updates == alone.n_updates
    weights = alone.learner.weights()
    for name, weight in one.learner.weights().items():
        torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-3)
