"""The projection of distributions onto their atoms, by hand."""

import math

import pytest
import torch

from workspace_rl.learning import categorical_loss, project
from workspace_rl.learning.distributional.categorical import atoms

#: Five atoms, 0 to 4.
ENDS = (0.0, 4.0)


@pytest.mark.parametrize(
    ("values", "probabilities", "expected"),
    [
        pytest.param([0, 1, 2, 3, 4], [0.1, 0.2, 0.3, 0.2, 0.2], [0.1, 0.2, 0.3, 0.2, 0.2], id="on the atoms"),
        pytest.param(
            [1, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.2, 0.2], [0, 0.1, 0.2, 0.3, 0.4], id="one atom on, over an end"
        ),
        pytest.param([0.25] * 5, [0.2] * 5, [0.75, 0.25, 0, 0, 0], id="between, the nearer gets more"),
        pytest.param([-7, -0.5, 2, 4.5, 99], [0.1, 0.2, 0.3, 0.3, 0.1], [0.3, 0, 0.3, 0, 0.4], id="beyond both ends"),
        pytest.param([3, 3, 3, 3, 3], [0.1, 0.2, 0.3, 0.2, 0.2], [0, 0, 0, 1, 0], id="nothing follows: the reward"),
        pytest.param([3.5] * 5, [0.0, 0.0, 1.0, 0.0, 0.0], [0, 0, 0, 0.5, 0.5], id="in the middle"),
    ],
)
def test_the_projection(double, values, probabilities, expected):
    found = project(torch.tensor([probabilities]), torch.tensor([values]) * 1.0, *ENDS)
    assert found.tolist() == [pytest.approx(expected, abs=1e-15)]


def test_nothing_is_lost_and_means_within_the_ends_are_kept(double):
    torch.manual_seed(0)
    probabilities = torch.softmax(torch.randn(200, 51), -1)
    z = atoms(-10, 10, 51, probabilities)
    values = 0.7 * torch.randn(200, 1) + 0.9 * z
    found = project(probabilities, values, -10, 10)
    torch.testing.assert_close(found.sum(-1), torch.ones(200))
    inside = values.abs().max(-1).values <= 10
    assert 20 < inside.sum() < 200
    torch.testing.assert_close((found * z).sum(-1)[inside], (probabilities * values).sum(-1)[inside])
    # The same, a value at a time, as algorithm 1 of the paper puts it.
    slowly = torch.zeros_like(found)
    for row, (ps, ys) in enumerate(zip(probabilities.tolist(), values.tolist(), strict=True)):
        for p, y in zip(ps, ys, strict=True):
            place = (min(max(y, -10), 10) + 10) / (20 / 50)
            low, high = math.floor(place), math.ceil(place)
            slowly[row, low] += p * (high - place if low < high else 1)
            slowly[row, high] += p * (place - low)
    torch.testing.assert_close(found, slowly, rtol=0, atol=1e-12)


def test_the_loss_is_the_cross_entropy_with_what_follows(double):
    logits = torch.zeros(3, 5).log_softmax(-1) + torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    logits.requires_grad_()
    next_logits = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).log().clamp(min=-800).expand(3, 5)  # 2 for sure
    reward, discount = torch.tensor([1.0, 1.0, 3.0]), torch.tensor([1.0, 0.0, 0.125])
    losses = categorical_loss(logits, next_logits, reward, discount, *ENDS)
    log_p = torch.log_softmax(logits, -1)[0]
    # 1 + 2; 1, nothing follows; 3 + 2 / 8 (three steps with a discount of 0.5), between 3 and 4
    expected = torch.stack([-log_p[3], -log_p[1], -(0.75 * log_p[3] + 0.25 * log_p[4])])
    torch.testing.assert_close(losses, expected)
    (gradient,) = torch.autograd.grad(losses[0], logits)  # softmax minus the target
    torch.testing.assert_close(gradient[0], torch.softmax(logits[0], -1) - torch.eye(5)[3])
