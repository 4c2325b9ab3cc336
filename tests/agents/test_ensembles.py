import pytest
import torch

from workspace_rl.agents import ContinuousQAgent, Ensemble, EnsembleMLP
from workspace_rl.agents.ensembles import make_ensemble


@pytest.mark.parametrize("n_outputs", [None, 1, 5])
@pytest.mark.parametrize("block", ["plain", "layer_norm", "residual"])
def test_members_are_networks_of_their_own(block, n_outputs):
    torch.manual_seed(0)
    ensemble = Ensemble(4, [6, 6], 3, n_outputs=n_outputs, block=block)
    x = torch.randn(7, 4)
    values = ensemble(x)
    assert values.shape == ((7, 3) if n_outputs is None else (7, 3, n_outputs))
    for k, member in enumerate(ensemble.members):
        torch.testing.assert_close(values[:, k].reshape(7, -1), member(x))
    assert len({float(member[0].weight.detach().sum()) for member in ensemble.members}) == 3
    each = torch.randn(3, 7, 4)
    torch.testing.assert_close(ensemble(list(each))[:, 1], ensemble(each[1])[:, 1])
    assert ensemble.weight is ensemble.members[0][0].weight


def test_members_leave_out_numbers_of_their_own():
    ensemble = Ensemble(4, [64], 2, dropout=0.5, block="layer_norm")
    ensemble.members[1].load_state_dict(ensemble.members[0].state_dict())
    x = torch.randn(7, 4)
    assert not (ensemble(x)[:, 0] == ensemble(x)[:, 1]).any()
    values = ensemble.eval()(x)
    assert torch.equal(values[:, 0], values[:, 1]) and torch.equal(values, ensemble(x))


def test_the_quickest_one_is_chosen():
    assert isinstance(make_ensemble(3, [4], 2), EnsembleMLP)
    assert isinstance(make_ensemble(3, [4], 2, dropout=0.1), Ensemble)
    assert isinstance(make_ensemble(3, [4], 2, block="layer_norm"), Ensemble)
    assert isinstance(ContinuousQAgent(3, [4], 1, 10).model, EnsembleMLP)
