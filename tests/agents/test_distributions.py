"""Distributions that policies draw from, against those of torch, and against what is counted and integrated."""

import math

import pytest
import torch
from torch import distributions
from torch.distributions import Independent

from workspace_rl.agents import distributions as ours
from workspace_rl.agents.distributions import only_allowed, squashed_gaussian_log_prob

#: The 99.9 % quantiles of chi-square with so many degrees of freedom.
CHI_SQUARE = {2: 13.82, 3: 16.27, 5: 20.52, 7: 24.32}


def random(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype)


def squashed(mean, log_std):
    normal = Independent(distributions.Normal(mean, log_std.exp()), 1)
    return distributions.TransformedDistribution(normal, distributions.TanhTransform(cache_size=1))


#: What each kind is made of after its leading dimensions, and the pair of classes.
KINDS = {
    "categorical": ([(5,)], ours.Categorical, lambda x: distributions.Categorical(logits=x)),
    "categoricals": (
        [(3, 5)],
        lambda x: ours.Categorical(x, 1),
        lambda x: Independent(distributions.Categorical(logits=x), 1),
    ),
    "categoricals in rows": (
        [(2, 3, 5)],
        lambda x: ours.Categorical(x, 2),
        lambda x: Independent(distributions.Categorical(logits=x), 2),
    ),
    "bernoulli": ([(4,)], ours.Bernoulli, lambda x: Independent(distributions.Bernoulli(logits=x), 1)),
    "bernoulli in rows": (
        [(2, 3)],
        lambda x: ours.Bernoulli(x, 2),
        lambda x: Independent(distributions.Bernoulli(logits=x), 2),
    ),
    "gaussian": (
        [(3,), (3,)],
        ours.DiagonalGaussian,
        lambda mean, log_std: Independent(distributions.Normal(mean, log_std.exp()), 1),
    ),
    "squashed": ([(3,), (3,)], ours.SquashedGaussian, squashed),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(7,), (4, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_those_of_torch(kind, leading, dtype):
    torch.manual_seed(0)
    shapes, make, make_theirs = KINDS[kind]
    # Squashed actions of theirs lose their digits near -1 and 1.
    scale = 0.3 if kind == "squashed" else 1
    parameters = [scale * random(*leading, *shape, dtype=dtype) for shape in shapes]
    distribution, theirs = make(*parameters), make_theirs(*parameters)
    choice = distribution.draw()
    action = torch.tanh(choice) if kind == "squashed" else choice
    assert choice.shape == theirs.sample().shape
    assert choice.dtype == (dtype if "gaussian" in kind or kind == "squashed" else torch.int64)
    near = {"rtol": 1e-9, "atol": 1e-9} if dtype is torch.float64 else {"rtol": 1e-4, "atol": 1e-4}
    found, expected = distribution.log_prob(choice), theirs.log_prob(action.to(dtype))
    assert found.shape == leading and found.dtype == dtype
    torch.testing.assert_close(found, expected, **near)
    assert distribution.entropy(choice).shape == leading
    if kind == "squashed":
        assert torch.equal(distribution.mode(), parameters[0])
    else:
        torch.testing.assert_close(distribution.entropy(choice), theirs.entropy(), **near)
        assert torch.equal(distribution.mode(), theirs.mode.to(choice.dtype))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_differences(kind):
    torch.manual_seed(1)
    shapes, make, _ = KINDS[kind]
    parameters = [random(2, *shape).requires_grad_() for shape in shapes]
    choice = make(*parameters).draw()
    assert not choice.requires_grad
    assert torch.autograd.gradcheck(lambda *given: make(*given).log_prob(choice), parameters)
    if kind != "squashed":
        assert torch.autograd.gradcheck(lambda *given: make(*given).entropy(choice), parameters)


# ---- draws --------------------------------------------------------------------------------------------------------


def chi_square(choice, probabilities):
    """Return how far counts of whole numbers are from what probabilities, `[n]`, expect, and the degrees of freedom."""
    counts = torch.bincount(choice.flatten(), minlength=len(probabilities)).double()
    expected = probabilities * choice.numel()
    likely = probabilities > 0
    assert not counts[~likely].any()
    return float(((counts - expected)[likely] ** 2 / expected[likely]).sum()), int(likely.sum()) - 1


@pytest.mark.parametrize("allowed", [[1, 1, 1, 1], [0, 1, 1, 1]])
def test_choices_are_drawn_as_often_as_they_are_likely(allowed):
    torch.manual_seed(0)
    logits = torch.tensor([2.0, 0.5, -1.0, -3.0])
    masked = only_allowed(logits, torch.tensor(allowed, dtype=torch.bool))
    distribution = ours.Categorical(masked.expand(20_000, 4))
    probabilities = torch.where(torch.tensor(allowed) > 0, logits.double().exp(), 0)
    statistic, freedom = chi_square(distribution.draw(), probabilities / probabilities.sum())
    assert statistic < CHI_SQUARE[freedom]


def test_parts_are_drawn_each_by_itself():
    torch.manual_seed(0)
    logits = torch.tensor([[1.0, 0.0], [0.0, 0.5], [-1.0, 0.0]])
    choice = ours.Categorical(logits.expand(20_000, 3, 2), 1).draw()
    first, second, third = logits.double().softmax(-1)
    together = (first[:, None, None] * second[:, None] * third).flatten()
    statistic, freedom = chi_square(choice @ torch.tensor([4, 2, 1]), together)
    assert freedom == 7 and statistic < CHI_SQUARE[freedom]
    odds = torch.tensor([1.0, -0.5, 0.0])
    one = odds.double().sigmoid()
    first, second, third = torch.stack((1 - one, one), -1)
    together = (first[:, None, None] * second[:, None] * third).flatten()
    choice = ours.Bernoulli(odds.expand(20_000, 3)).draw()
    statistic, freedom = chi_square(choice @ torch.tensor([4, 2, 1]), together)
    assert freedom == 7 and statistic < CHI_SQUARE[freedom]


@pytest.mark.parametrize("drawn", [0.0, math.inf, 1e-45, 88.0])
def test_what_is_not_allowed_is_never_drawn_whatever_the_generator_gives(drawn, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "exponential_", lambda noise: noise.fill_(drawn))
    for allowed in torch.eye(5, dtype=torch.bool):
        logits = only_allowed(torch.tensor([3.0, -80.0, 0.0, 5.0, -2.0]), allowed)
        assert allowed[ours.Categorical(logits.expand(2, 5)).draw()].all()


@pytest.mark.parametrize("make", [ours.DiagonalGaussian, ours.SquashedGaussian])
def test_numbers_are_drawn_from_a_normal_distribution(make):
    torch.manual_seed(0)
    mean, log_std = torch.tensor([0.5, -2.0]), torch.tensor([0.3, -1.0])
    noise = (make(mean.expand(20_000, 2), log_std).draw() - mean) / log_std.exp()
    # Counts between the octiles of the normal distribution.
    octiles = torch.special.ndtri(torch.arange(1, 8) / 8)
    for component in noise.T:
        statistic, freedom = chi_square(torch.bucketize(component.contiguous(), octiles), torch.full((8,), 1 / 8))
        assert statistic < CHI_SQUARE[freedom]
    assert abs(torch.corrcoef(noise.T)[0, 1]) < 4 / math.sqrt(20_000)


# ---- masks, extremes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_allowed_counts_for_nothing(dtype):
    torch.manual_seed(0)
    logits = random(6, 5, dtype=dtype).requires_grad_()
    allowed = torch.tensor([True, False, True, True, False])
    distribution = ours.Categorical(only_allowed(logits, allowed))
    alone = logits.detach()[:, allowed].requires_grad_()
    others = distributions.Categorical(logits=alone)
    assert not distribution.log_probs.exp()[:, ~allowed].any()
    torch.testing.assert_close(distribution.entropy(), others.entropy())
    choice = distribution.draw()
    place = torch.cumsum(allowed, 0)[choice] - 1
    torch.testing.assert_close(distribution.log_prob(choice), others.log_prob(place))
    (distribution.entropy() + distribution.log_prob(choice)).sum().backward()
    (others.entropy() + others.log_prob(place)).sum().backward()
    assert not logits.grad[:, ~allowed].any()
    torch.testing.assert_close(logits.grad[:, allowed], alone.grad)


@pytest.mark.parametrize("size", [1.0, 1e4, 1e30])
def test_gradients_stay_finite(size):
    logits = (size * torch.tensor([[1.0, -1.0, 0.5], [0.0, 0.0, 0.0]])).requires_grad_()
    for allowed in ([1, 1, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]):
        for make in (ours.Categorical, lambda given: ours.Categorical(given, 1), ours.Bernoulli):
            for chosen in ("mode", "least"):
                distribution = make(only_allowed(logits, torch.tensor(allowed) > 0))
                choice = distribution.mode() if chosen == "mode" else torch.zeros_like(distribution.mode())
                values = distribution.log_prob(choice), distribution.entropy(choice)
                (gradient,) = torch.autograd.grad(sum(one.sum() for one in values), logits)
                assert gradient.isfinite().all() and not values[1].isnan().any() and not values[0].isnan().any()


def test_one_choice_is_certain_and_none_leaves_all_alike():
    only = ours.Categorical(only_allowed(torch.randn(3, 4), torch.tensor([False, True, False, False])))
    assert only.draw().tolist() == only.mode().tolist() == [1, 1, 1]
    assert only.log_prob(only.mode()).tolist() == [0, 0, 0] and only.entropy().tolist() == [0, 0, 0]
    none = ours.Categorical(only_allowed(torch.randn(3, 4), torch.zeros(4, dtype=torch.bool)))
    torch.testing.assert_close(none.entropy(), torch.full((3,), math.log(4)))
    zero = ours.Bernoulli(only_allowed(torch.randn(3, 2), torch.zeros(2, dtype=torch.bool)))
    assert not zero.draw().any() and not zero.mode().any()
    assert zero.log_prob(zero.mode()).tolist() == [0, 0, 0] and zero.entropy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("odds", [-90.0, -30.0, 30.0, 90.0])
def test_nearly_certain_choices_keep_their_digits(odds):
    distribution = ours.Bernoulli(torch.tensor([[odds]]))
    exact = ours.Bernoulli(torch.tensor([[odds]], dtype=torch.float64))
    unlikely = torch.tensor([[int(odds < 0)]])
    assert distribution.log_prob(unlikely).item() == pytest.approx(-abs(odds), rel=1e-6)
    # H = p - p log p for a small p.
    assert exact.entropy().item() == pytest.approx(math.exp(-abs(odds)) * (1 + abs(odds)), rel=1e-9)
    assert distribution.entropy().item() == pytest.approx(exact.entropy().item(), rel=1e-5)


# ---- squashed -----------------------------------------------------------------------------------------------------


def test_log_probabilities_are_those_of_the_transformed_distribution():
    torch.manual_seed(0)
    mean, log_std = torch.randn(100, 3, dtype=torch.float64), torch.randn(100, 3, dtype=torch.float64)
    noise = torch.randn(100, 3, dtype=torch.float64)
    u = mean + log_std.exp() * noise
    base = distributions.Normal(mean, log_std.exp())
    squashed = distributions.TransformedDistribution(base, distributions.TanhTransform(cache_size=1))
    expected = squashed.log_prob(torch.tanh(u)).sum(-1)
    near = u.abs().amax(-1) < 10  # beyond, the other side's arctanh loses its digits
    assert torch.allclose(squashed_gaussian_log_prob(noise, log_std, u)[near], expected[near], rtol=1e-8)


@pytest.mark.parametrize("u", [-60.0, -20.0, 0.0, 20.0, 60.0])
def test_log_probabilities_stay_finite_where_the_density_underflows(u):
    u = torch.tensor([[u]], requires_grad=True)
    value = squashed_gaussian_log_prob(torch.zeros(1, 1), torch.zeros(1, 1), u)
    # log(1 - tanh(u)^2) -> log 4 - 2|u|
    if u.abs() > 10:
        assert value.item() == pytest.approx(-0.918938533 - 1.386294361 + 2 * u.abs().item(), rel=1e-6)
    (gradient,) = torch.autograd.grad(value, u)
    assert torch.isfinite(value) and torch.isfinite(gradient)


def squashed_entropy(mean, log_std):
    """Return the entropy of tanh(u), u of one component, by a sum over actions a in (-1, 1)."""
    u = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    log_density = squashed(mean.reshape(1, 1), log_std.reshape(1, 1)).log_prob(torch.tanh(u)[:, None])
    slope = 1 - torch.tanh(u) ** 2
    return float(-torch.trapezoid(log_density.exp() * log_density * slope, u))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.8, -1.0), (-0.5, 0.6)])
def test_the_estimated_entropy_and_its_gradient_are_right_in_the_mean(mean, log_std):
    given = torch.tensor([mean, log_std], dtype=torch.float64, requires_grad=True)
    noise = torch.special.ndtri((torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000)
    choice = (mean + math.exp(log_std) * noise).unsqueeze(-1)
    estimates = ours.SquashedGaussian(given[:1].expand(20_000, 1), given[1:]).entropy(choice)
    step, values = 1e-4, given.detach()
    differences = [
        (squashed_entropy(*(values + step * one)) - squashed_entropy(*(values - step * one))) / (2 * step)
        for one in torch.eye(2, dtype=torch.float64)
    ]
    assert estimates.mean().item() == pytest.approx(squashed_entropy(*values), abs=1e-3)
    (gradient,) = torch.autograd.grad(estimates.mean(), given)
    assert gradient.tolist() == pytest.approx(differences, abs=2e-3)
