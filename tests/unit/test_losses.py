"""The terms against closed forms, PyTorch's distributions and its own losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from triptych.frameworks.losses import (
    cross_entropy_fake,
    cross_entropy_real,
    gaussian_kl,
    gaussian_nll,
    reparameterise,
    squared_error,
)


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("mean", "sigma", "kl"), [(0, 1, 0.0), (1, 1, 0.5), (0, 0.5, 0.31814718055995), (2, 3, 4.90138771133189)]
)
def test_the_kl_divergence_has_its_closed_form(mean: float, sigma: float, kl: float):
    found = gaussian_kl(double(mean)[None], double(2 * math.log(sigma))[None])
    assert found.tolist() == pytest.approx([kl], abs=1e-13)


def test_kl_divergences_add_over_dimensions_and_a_mean_divides_by_their_number():
    mean, log_variance = double(1, 0)[None], double(0, 2 * math.log(0.5))[None]
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(0.5 + 0.31814718055995, abs=1e-13)
    assert gaussian_kl(mean, log_variance, "mean").item() == pytest.approx(0.40907359027997, abs=1e-13)


def test_reparameterised_noise_has_the_mean_and_the_standard_deviation_asked_for():
    z = reparameterise(double(3)[None], double(math.log(0.25))[None], normal(200_000, 1))
    standard_error = 0.5 / math.sqrt(len(z))
    assert abs(z.mean().item() - 3) < 4 * standard_error
    assert abs(z.std().item() - 0.5) < 4 * standard_error / math.sqrt(2)


def test_the_squared_error_is_half_its_sum_or_its_plain_mean():
    target, prediction = torch.zeros(2, 1, 2, 2), torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    assert squared_error(target, prediction).tolist() == [2, 18]
    assert squared_error(target, prediction, "mean").tolist() == [1, 9]


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
def test_the_gaussian_likelihood_is_pytorchs_density(sigma: float):
    x, mean = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1)
    expected = -Normal(mean, sigma).log_prob(x).flatten(1).sum(1)
    torch.testing.assert_close(gaussian_nll(x, mean, math.log(sigma)), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gaussian_nll(x, mean, double(sigma).log()), expected, rtol=1e-12, atol=0)


def test_the_likeliest_sigma_is_the_root_mean_squared_error():
    x, mean = normal(1, 1, 4, 4), normal(1, 1, 4, 4, seed=1)
    log_sigma = (0.5 * (x - mean).square().mean().log()).requires_grad_()
    gaussian_nll(x, mean, log_sigma).sum().backward()
    assert log_sigma.grad is not None
    assert log_sigma.grad.item() == pytest.approx(0, abs=1e-12)


def test_cross_entropies_are_pytorchs():
    logits = normal(50) * 5
    real, fake = torch.ones(50).double(), torch.zeros(50).double()
    for ours, target in ((cross_entropy_real, real), (cross_entropy_fake, fake)):
        expected = binary_cross_entropy_with_logits(logits, target, reduction="none")
        torch.testing.assert_close(ours(logits), expected, rtol=1e-12, atol=1e-15)


def test_the_epsilon_stands_inside_the_logarithm():
    logit = double(math.log(3))  # Dis says 3/4
    assert cross_entropy_real(logit, 0.05).item() == pytest.approx(-math.log(0.80), rel=1e-14)
    assert cross_entropy_fake(logit, 0.05).item() == pytest.approx(-math.log(0.30), rel=1e-14)


@pytest.mark.parametrize("epsilon", [0.0, 1e-3])
@pytest.mark.parametrize("cost", [cross_entropy_real, cross_entropy_fake])
def test_the_surest_logits_give_finite_costs_and_slopes(cost, epsilon: float):
    logits = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4], requires_grad=True)
    values = cost(logits, epsilon)
    values.sum().backward()
    assert logits.grad is not None
    assert values.isfinite().all()
    assert logits.grad.isfinite().all()
    wrong = values[0] if cost is cross_entropy_real else values[-1]
    assert wrong.item() == pytest.approx(1e4 if epsilon == 0 else -math.log(epsilon), rel=1e-6)
