"""The metrics' arithmetic against closed forms and expectations; against libraries, see reference/."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio

from triptych.evaluation.metrics.class_shares import entropy
from triptych.evaluation.metrics.frechet import frechet_distance
from triptych.evaluation.metrics.kid import kernel_distance
from triptych.evaluation.metrics.pixel_error import squared_errors
from triptych.evaluation.metrics.prdc import prdc
from triptych.evaluation.metrics.sharpness import gradient_energy
from triptych.evaluation.observations import Measured

SQUARE = np.array([[0, 0], [2, 0], [0, 2], [2, 2]], float)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def with_moments(mean: list[float], covariance: list[list[float]]) -> np.ndarray:
    """2d points with exactly this mean and covariance (ddof = 1)."""
    values, vectors = np.linalg.eigh(np.array(covariance, float))
    d = len(values)
    arms = (vectors * np.sqrt(values.clip(min=0))).T * np.sqrt((2 * d - 1) / 2)
    return np.concatenate([arms, -arms]) + np.array(mean, float)


def values(found: dict[str, Measured]) -> dict[str, float]:
    return {name: measured.value for name, measured in found.items()}


def within_four_errors(values: list[float], expected: float) -> bool:
    """Whether the mean of independent values is within four standard errors of what is expected."""
    return abs(np.mean(values) - expected) < 4 * np.std(values, ddof=1) / np.sqrt(len(values))


# Frechet distance


@pytest.mark.parametrize(
    ("mean", "first", "second", "expected"),
    [
        ([3, 4], [[1, 0], [0, 4]], [[4, 0], [0, 1]], 27),
        ([0, 0], [[2, 1], [1, 2]], [[1, 0], [0, 4]], 0.7712204476543416),
        ([0, 0], [[1, 0], [0, 0]], [[0, 0], [0, 1]], 2),
        ([0, 0], [[1, 0], [0, 0]], [[0.5, 0.5], [0.5, 0.5]], 2 - np.sqrt(2)),
    ],
)
def test_frechet_distance_of_known_moments(mean, first, second, expected):
    x, y = with_moments([0, 0], first), with_moments(mean, second)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-12)


def test_frechet_distance_of_a_square():
    assert frechet_distance(SQUARE, SQUARE + np.array([3, 4])) == pytest.approx(25, rel=1e-12)
    assert frechet_distance(SQUARE, 2 * SQUARE) == pytest.approx(14 / 3, rel=1e-12)


@pytest.mark.parametrize("n", [5, 40])  # fewer images than features, and more
def test_frechet_distance_ignores_rotation_and_translation_and_scales_by_the_square(n):
    x, y = normals(0, n, 8), 2 * normals(1, n + 3, 8) + 1
    turn = np.linalg.qr(normals(2, 8, 8))[0]
    value = frechet_distance(x, y)
    assert frechet_distance(x @ turn + 5, y @ turn + 5) == pytest.approx(value, rel=1e-10)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * value, rel=1e-10)
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_with_fewer_images_than_features_agrees_with_the_dense_form():
    x, y = normals(5, 10, 64), normals(6, 12, 64) + 0.1
    first, second = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(first)
    half = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    overlap = np.sqrt(np.linalg.eigvalsh(half @ second @ half).clip(min=0)).sum()
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(first + second) - 2 * overlap
    # the dense form takes roots of eigenvalues that are 0 but for rounding: 64 of about sqrt(1e-14)
    assert frechet_distance(x, y) == pytest.approx(expected, abs=64 * 1e-6)


def test_frechet_distance_has_the_bias_of_its_leading_order():
    n, d, repeats = 1000, 8, 40
    values = [frechet_distance(normals(2 * r, n, d), normals(2 * r + 1, n, d)) for r in range(repeats)]
    expected = 2 * d / n + d * (d + 1) / (2 * (n - 1))
    # chi-squared variances to leading order: 8d/n^2 of the means, d(d+1)/n^2 of the covariances
    # the next order is smaller by d/n
    error = 4 * np.sqrt((8 * d + d * (d + 1)) / repeats) / n + expected * d / n
    assert abs(np.mean(values) - expected) < error


def test_a_covariance_needs_two_images():
    with pytest.raises(ValueError, match="two images"):
        frechet_distance(normals(0, 1, 3), normals(1, 5, 3))


# kernel distance


def test_kernel_distance_of_small_sets():
    x, y = np.array([[0, 0], [1, 0], [0, 1.0]]), np.array([[1, 1], [2, 0], [0, 2.0]])
    assert kernel_distance(x, y).value == pytest.approx(0.5, rel=1e-12)
    assert kernel_distance(SQUARE, SQUARE + 1).value == pytest.approx(121 / 3, rel=1e-12)


def test_kernel_distance_is_unbiased_and_not_clipped():
    equal = [kernel_distance(normals(2 * r, 100, 4), normals(2 * r + 1, 150, 4)).value for r in range(200)]
    assert min(equal) < 0 < max(equal)
    assert within_four_errors(equal, 0)
    a, b = 1.0, 2.0
    wider = [kernel_distance(normals(2 * r, 100, 4), np.sqrt(b) * normals(2 * r + 1, 150, 4)).value for r in range(200)]
    assert within_four_errors(wider, 3 * (a - b) ** 2 / 4)


# precision, recall, density, coverage


def test_prdc_on_a_line():
    real, fake = np.array([[0], [1], [2], [4.0]]), np.array([[0.4], [1.6], [5], [10]])
    assert values(prdc(real, fake, k=1)) == {"precision": 0.75, "recall": 1.0, "density": 1.25, "coverage": 1.0}


def test_density_and_coverage_have_their_expectations():
    k, n, m = 5, 200, 300
    results = [values(prdc(normals(2 * r, n, 3), normals(2 * r + 1, m, 3), k)) for r in range(60)]
    j = np.arange(k)
    missed = np.prod((n - 1 - j) / (n + m - 1 - j))
    assert within_four_errors([result["density"] for result in results], 1)
    assert within_four_errors([result["coverage"] for result in results], float(1 - missed))


def test_a_copy_of_the_real_images_is_perfect_even_with_ties_and_repeats():
    grid = np.stack(np.meshgrid(*[np.arange(8.0)] * 2), -1).reshape(-1, 2) + 1e3  # every distance is tied
    assert values(prdc(grid, grid[::-1], k=1)) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}


def test_the_balls_of_repeated_images_are_empty_which_is_said():
    real, few = normals(0, 200, 4), np.repeat(normals(1, 20, 4), 10, axis=0)
    assert values(prdc(real, few))["recall"] == 0  # the fault of samples that repeat themselves: a number
    with pytest.raises(ValueError, match="every real image has 5 copies or more"):
        prdc(few, real)
    result = prdc(np.concatenate([real, few[:20]]), real)
    assert result["coverage"].note == "20 of 220 real images have 5 copies or more: their balls are empty"
    assert result["coverage"].value == pytest.approx(200 / 220) and not result["recall"].note


def test_prdc_needs_more_than_k_images():
    with pytest.raises(ValueError, match="more than 5"):
        prdc(normals(0, 5, 2), normals(1, 50, 2))


# pixels


def test_squared_errors_are_on_the_scale_0_to_1():
    black, white = -torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16)
    assert squared_errors(black, white).tolist() == [1.0, 1.0]
    x, y = torch.rand(2, 4, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for error, a, b in zip(squared_errors(x, y), x, y, strict=True):
        theirs = peak_signal_noise_ratio((a + 1) / 2, (b + 1) / 2, data_range=1.0)
        assert float(-10 * error.log10()) == pytest.approx(float(theirs), rel=1e-5)  # theirs is in float32


def test_pixels_of_many_images_are_taken_in_parts_that_make_no_difference():
    x, y = torch.rand(2, 601, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double() * 2 - 1
    torch.testing.assert_close(squared_errors(x, y), ((x - y) / 2).square().mean((1, 2, 3)), rtol=1e-12, atol=0)
    energy = x.diff(dim=3).square().mean() + x.diff(dim=2).square().mean()
    assert gradient_energy(x).value == pytest.approx(float(energy), rel=1e-12)


def test_gradient_energy_of_a_ramp_and_of_stripes():
    ramp = torch.linspace(-1, 1, 17).expand(1, 1, 17, 17)
    assert gradient_energy(ramp).value == pytest.approx((2 / 16) ** 2, rel=1e-6)
    stripes = torch.tensor([-1.0, 1.0] * 8).expand(1, 1, 16, 16)
    assert gradient_energy(stripes).value == 4


def test_entropy_of_even_and_of_single_shares():
    assert entropy(np.full(8, 1 / 8), 80).value == 3
    assert entropy(np.array([0, 1.0, 0]), 80) == Measured(0, 0)
