"""Noisy linear layers."""

import copy
import math

import pytest
import torch

from workspace_rl import Workspace, load_policy, save_policy
from workspace_rl.agents import DiscreteQAgent, NoisyLinear, build_mlp
from workspace_rl.errors import ConfigError


def test_it_begins_as_the_paper_says():
    torch.manual_seed(0)
    layer = NoisyLinear(64, 100)
    bound = 1 / math.sqrt(64)
    for mean in (layer.weight, layer.bias):
        assert -bound <= mean.min() < -0.8 * bound and 0.8 * bound < mean.max() <= bound
    assert layer.weight_noise.eq(0.5 / 8).all() and layer.bias_noise.eq(0.5 / 8).all()
    assert NoisyLinear(64, 2, noise_size=0.1).weight_noise.eq(torch.tensor(0.1 / 8)).all()


def test_mean_and_variance_of_what_it_says(double):
    torch.manual_seed(0)
    layer = NoisyLinear(3, 2).eval()
    with torch.no_grad():
        layer.weight_noise.copy_(torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.0, 0.2]]))
        layer.bias_noise.copy_(torch.tensor([0.4, 0.1]))
        x = torch.tensor([1.0, -2.0, 0.5])
        outputs = layer(x.expand(400_000, 3))
        means = layer(x, stochastic=False)
    torch.testing.assert_close(means, layer.weight @ x + layer.bias)
    # f(e)^2 = |e|, whose mean is sqrt(2 / pi) = m. All numbers have the mean 0, so that
    # var y_i = m (m sum_j S_ij^2 x_j^2 + S_bi^2).
    m = math.sqrt(2 / math.pi)
    variance = m * (m * (layer.weight_noise.square() @ x.square()) + layer.bias_noise.square())
    torch.testing.assert_close(outputs.mean(0), means, rtol=0, atol=5e-3)
    torch.testing.assert_close(outputs.var(0), variance.detach(), rtol=2e-2, atol=0)
    # The outputs share e_in and not e_out: they have no correlation, but their squares have.
    centred = outputs - means
    assert abs(torch.corrcoef(centred.T)[0, 1]) < 0.01 and torch.corrcoef(centred.square().T)[0, 1] > 0.05


def test_updates_draw_for_a_batch_and_acting_for_each_row():
    torch.manual_seed(0)
    layer, x = NoisyLinear(4, 3), torch.ones(5, 4)
    first, second = layer(x), layer(x)
    assert torch.equal(first, first[:1].expand(5, 3)) and not torch.equal(first, second)
    layer.eval()
    acting = layer(x)
    assert len({tuple(row) for row in acting.tolist()}) == 5 and not torch.equal(acting, layer(x))
    assert layer(torch.ones(2, 5, 4)).flatten(0, 1).unique(dim=0).shape == (10, 3)
    before = torch.get_rng_state()
    assert torch.equal(layer(x, stochastic=False), layer.train()(x, stochastic=False))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(7)
    again = layer(x)
    torch.manual_seed(7)
    assert torch.equal(again, layer(x))


def test_gradients_of_the_noise(double):
    torch.manual_seed(0)
    layer, x = NoisyLinear(4, 3), torch.randn(5, 4)
    torch.manual_seed(1)
    drawn = [noise.sign() * noise.abs().sqrt() for noise in (torch.randn(4), torch.randn(3))]
    weight = layer.weight + layer.weight_noise * drawn[1].unsqueeze(-1) * drawn[0]
    by_hand = x @ weight.T + layer.bias + layer.bias_noise * drawn[1]
    torch.manual_seed(1)
    output = layer(x)
    torch.testing.assert_close(output, by_hand)
    ours, theirs = (torch.autograd.grad(one.square().sum(), list(layer.parameters())) for one in (output, by_hand))
    assert len(ours) == 4
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().min() > 0


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize("values", [{"n_atoms": 5, "v_min": -2.0, "v_max": 2.0}, {"n_quantiles": 7}, {}])
def test_noisy_networks_of_all_kinds_are_saved_and_act_by_means_when_told(values, dueling, tmp_path):
    agent = DiscreteQAgent(
        [4, 36, 36], [6], 3, network="nature_cnn", dueling=dueling, head_hidden_sizes=[5], noisy=True, **values
    )
    noisy = [one for one in agent.modules() if isinstance(one, NoisyLinear)]
    assert len(noisy) == (5 if dueling else 3)
    assert not [one for one in agent.modules() if type(one) is torch.nn.Linear]
    save_policy(agent, tmp_path)
    pictures = torch.randint(0, 256, (2, 4, 36, 36), dtype=torch.uint8)
    found = []
    for one, stochastic in ((agent, False), (load_policy(tmp_path), False), (copy.deepcopy(agent), True)):
        workspace = Workspace()
        workspace.set("env/env_obs", 0, pictures)
        one(workspace, t=0, stochastic=stochastic)
        found.append(workspace.get("q/q_values", 0))
    assert found[0].shape == (2, 3) and torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_perceptrons_may_be_noisy():
    network, x = build_mlp([3, 4, 2], noisy=True), torch.ones(2, 3)
    assert not torch.equal(network(x), network(x))
    assert torch.equal(network(x, stochastic=False), network(x, stochastic=False))


def test_what_does_not_fit_is_refused():
    with pytest.raises(
        ConfigError, match="n_atoms=3: n_quantiles=None and v_min < v_max expected, n_quantiles=4 found"
    ):
        DiscreteQAgent([3], [8], 2, n_atoms=3, n_quantiles=4)
    with pytest.raises(ConfigError, match="v_min < v_max expected, v_min=1.0, v_max=1.0 found"):
        DiscreteQAgent([3], [8], 2, n_atoms=3, v_min=1.0, v_max=1.0)
