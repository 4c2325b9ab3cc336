"""The probability distributions that policies draw from, written for few operations at each step of acting.

Each is made of what a network gives, for any leading dimensions: `[B, ...]` at a step, `[T, B, ...]` over time. The
classes of `torch.distributions` compute the same; making one of them costs more than all that is done here in a step.
Logarithms are natural, entropies in nats.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

LOG_SQRT_2_PI = 0.5 * math.log(2 * math.pi)


class Distribution(Protocol):
    """What a policy does with a distribution; L are the leading dimensions, `[B]` or `[T, B]`."""

    def draw(self) -> Tensor:
        """Return a random choice, `[*L, ...]`, from torch's global generator; no gradient goes through choices."""

    def mode(self) -> Tensor:
        """Return the choice that is most likely, `[*L, ...]`."""

    def log_prob(self, choice: Tensor) -> Tensor:
        """Return the log-probability, or log-density, of a choice, `[*L]`."""

    def entropy(self, choice: Tensor) -> Tensor:
        """Return the entropy, `[*L]`; where it is no formula, it is estimated at `choice`."""


# ---- choices ------------------------------------------------------------------------------------------------------


def only_allowed(logits: Tensor, allowed: Tensor) -> Tensor:
    """Return `logits` (`[..., n]`) with the lowest finite number where `allowed` (`[..., n]`, bool) is false.

    Its probability is then exactly 0, and no gradient is anything but finite, as it would be with minus infinity. Where
    nothing is allowed, all choices are equally likely.
    """
    return torch.where(allowed, logits, torch.finfo(logits.dtype).min)


class Categorical:
    """One of n choices, counted from 0, or one for each of several parts: the choice is `[*L]`, or `[*L, *parts]`."""

    def __init__(self, logits: Tensor, part_dimensions: int = 0) -> None:
        """Take logits, `[*L, n]`, or `[*L, *parts, n]` with `part_dimensions` dimensions of parts."""
        self.log_probs = functional.log_softmax(logits, -1)
        self.parts = tuple(range(-part_dimensions, 0))

    def draw(self) -> Tensor:
        """Return choices, int64: the first of n clocks that rings, each at the rate of its probability."""
        probabilities = self.log_probs.detach().exp()
        # Within bounds that 10^30 draws do not leave, but a generator's rounding may: with 0 or infinity, a choice
        # whose probability is 0 could be drawn.
        waiting = torch.empty_like(probabilities).exponential_().clamp_(1e-30, 100)
        return (probabilities / waiting).argmax(-1)

    def mode(self) -> Tensor:
        """Return the most likely choices, int64."""
        return self.log_probs.argmax(-1)

    def log_prob(self, choice: Tensor) -> Tensor:
        """Return the log-probability of whole numbers, `[*L]`: the sum over parts."""
        return self._sum(self.log_probs.gather(-1, choice.unsqueeze(-1)).squeeze(-1))

    def entropy(self, choice: Tensor | None = None) -> Tensor:
        """Return the entropy, `[*L]`: the sum over parts."""
        return self._sum(-(self.log_probs.exp() * self.log_probs).sum(-1))

    def _sum(self, of_parts: Tensor) -> Tensor:
        return of_parts.sum(self.parts) if self.parts else of_parts


class Bernoulli:
    """Several choices between 0 and 1, each by itself: the choice is `[*L, *parts]`."""

    def __init__(self, logits: Tensor, part_dimensions: int = 1) -> None:
        """Take the log-odds of 1, `[*L, *parts]` with `part_dimensions` dimensions of parts."""
        self.logits = logits
        self.parts = tuple(range(-part_dimensions, 0))

    def draw(self) -> Tensor:
        """Return choices, int64."""
        return (torch.rand_like(self.logits) < self.logits.detach().sigmoid()).long()

    def mode(self) -> Tensor:
        """Return the most likely choices, int64."""
        return (self.logits > 0).long()

    def log_prob(self, choice: Tensor) -> Tensor:
        """Return the log-probability of zeros and ones, `[*L]`."""
        return functional.logsigmoid(torch.where(choice != 0, self.logits, -self.logits)).sum(self.parts)

    def entropy(self, choice: Tensor | None = None) -> Tensor:
        """Return the entropy, `[*L]`."""
        # The same for x and -x: of |x|, no digits are lost where the choice is nearly certain.
        size = self.logits.abs()
        return (size * torch.sigmoid(-size) - functional.logsigmoid(size)).sum(self.parts)


# ---- numbers ------------------------------------------------------------------------------------------------------


class DiagonalGaussian:
    """A vector of independent Gaussian numbers, `[*L, A]`."""

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        """Take means, `[*L, A]`, and logarithms of standard deviations, `[*L, A]` or `[A]`."""
        self.mean, self.log_std = mean, log_std
        self.std = log_std.exp()

    def draw(self) -> Tensor:
        """Return numbers, `[*L, A]`."""
        return (self.mean + self.std * torch.randn_like(self.mean)).detach()

    def mode(self) -> Tensor:
        """Return the means, `[*L, A]`."""
        return self.mean

    def log_prob(self, choice: Tensor) -> Tensor:
        """Return the log-density of numbers, `[*L]`."""
        squares = self.noise_of(choice).square().sum(-1)
        most = -LOG_SQRT_2_PI * self.mean.shape[-1] - self.log_std.sum(-1)
        return torch.add(most, squares, alpha=-0.5)

    def entropy(self, choice: Tensor | None = None) -> Tensor:
        """Return the entropy, `[*L]`."""
        return (self.log_std + (0.5 + LOG_SQRT_2_PI)).expand_as(self.mean).sum(-1)

    def noise_of(self, choice: Tensor) -> Tensor:
        """Return the standard normal numbers that make `choice`, `[*L, A]`."""
        return (choice - self.mean) / self.std


class SquashedGaussian(DiagonalGaussian):
    """A Gaussian vector squashed by tanh: a = tanh(u). The choice is u, `[*L, A]`, of which nothing is lost near +-1.

    Densities are those of a, in [-1, 1]; the mode is that of u.
    """

    def log_prob(self, choice: Tensor) -> Tensor:
        """Return the log-density of `tanh(choice)`, `[*L]`."""
        return squashed_gaussian_log_prob(self.noise_of(choice), self.log_std, choice)

    def entropy(self, choice: Tensor | None = None) -> Tensor:
        """Return an estimate of the entropy, `[*L]`, which has no formula.

        That is H(u) + sum_i log(1 - tanh(u_i)^2), whose mean over choices u is the entropy. For gradients, u moves with
        mean and deviation at the same noise: those of -log pi(a) at a fixed action would be 0 in the mean.
        """
        choice = self.draw() if choice is None else choice
        moving = self.mean + self.std * self.noise_of(choice).detach()
        return super().entropy() + log_tanh_slope(moving).sum(-1)


def log_normal(noise: Tensor, log_std: Tensor) -> Tensor:
    """Return the log-density of `mean + exp(log_std) * noise` for each component, `[*L, A]`."""
    return -0.5 * noise**2 - log_std - LOG_SQRT_2_PI


def log_tanh_slope(u: Tensor) -> Tensor:
    """Return `log(1 - tanh(u)^2)`, in a form that does not underflow."""
    return 2 * (math.log(2) - u - functional.softplus(-2 * u))


def squashed_gaussian_log_prob(noise: Tensor, log_std: Tensor, u: Tensor) -> Tensor:
    """Return the log-density (`[*L]`) of `tanh(u)` where `u = mean + exp(log_std) * noise`, all `[*L, A]`."""
    return (log_normal(noise, log_std) - log_tanh_slope(u)).sum(-1)
