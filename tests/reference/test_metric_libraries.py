"""Our metrics against scipy, torchmetrics and the authors' prdc on the same arrays, and where those are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import prdc as naeem
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import sklearn.neighbors
import torch
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

import triptych.evaluation.metrics.kid
import triptych.evaluation.metrics.memorisation
import triptych.evaluation.metrics.prdc
from triptych.evaluation.metrics.frechet import frechet_distance
from triptych.evaluation.metrics.kid import kernel_distance
from triptych.evaluation.metrics.memorisation import data_copying, nearest
from triptych.evaluation.metrics.prdc import prdc
from triptych.evaluation.metrics.ssim import WEIGHTS, multiscale, scales, similarities


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


class Identity(torch.nn.Module):
    """Features that are the images themselves."""

    num_features = 16

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def by_torchmetrics(metric: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """What a torchmetrics metric in float64 gives for real features x and samples' y, each [N, 16]."""
    metric.set_dtype(torch.float64)
    for features, real in ((x, True), (y, False)):
        metric.update(torch.from_numpy(features).reshape(-1, 1, 4, 4), real=real)
    return metric.compute()


# Frechet distance


@pytest.mark.parametrize("n", [20, 200])
def test_frechet_distance_agrees_with_the_matrix_square_root(n):
    x, y = normals(3, n, 16) * np.linspace(0.5, 2, 16), normals(4, 150, 16) + 0.3
    first, second = np.cov(x.T), np.cov(y.T)
    root = np.real(scipy.linalg.sqrtm(first @ second))
    shift = x.mean(0) - y.mean(0)
    expected = shift @ shift + np.trace(first + second - 2 * root)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


def test_frechet_distance_agrees_with_torchmetrics_but_far_from_the_origin():
    x, y = normals(3, 200, 16) * np.linspace(0.5, 2, 16), normals(4, 150, 16) + 0.3
    ours = frechet_distance(x, y)
    assert float(by_torchmetrics(FrechetInceptionDistance(Identity()), x, y)) == pytest.approx(ours, rel=1e-10)
    far = by_torchmetrics(
        FrechetInceptionDistance(Identity()), x + 1e7, y + 1e7
    )  # it sums squares that are not centred
    assert abs(float(far) / ours - 1) > 0.01
    assert frechet_distance(x + 1e7, y + 1e7) == pytest.approx(ours, rel=1e-6)


# kernel distance


def test_kernel_distance_agrees_with_torchmetrics_on_equal_sizes():
    x, y = normals(0, 230, 16), normals(1, 230, 16) + 0.2
    theirs = float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    assert kernel_distance(x, y).value == pytest.approx(theirs, rel=1e-10)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kernel_distance_of_all_images_is_the_one_that_torchmetrics_draws_subsets_for(monkeypatch):
    monkeypatch.setattr(torch, "randperm", lambda n: torch.arange(n))  # it draws from the global generator
    x, y = normals(0, 230, 16), normals(1, 230, 16) + 0.2
    mean, _ = by_torchmetrics(KernelInceptionDistance(Identity(), subsets=1, subset_size=230), x, y)
    assert kernel_distance(x, y).value == pytest.approx(float(mean), rel=1e-10)


# precision, recall, density, coverage


@pytest.mark.parametrize(
    "module",
    [triptych.evaluation.metrics.kid, triptych.evaluation.metrics.prdc, triptych.evaluation.metrics.memorisation],
)
def test_tiles_of_the_matrix_of_all_pairs_make_no_difference(module, monkeypatch):
    real, fake = normals(0, 230, 16), normals(1, 170, 16) + 0.2

    def found() -> list[float]:
        shares = [number for each in prdc(real, fake).values() for number in each[:2]]
        return [*kernel_distance(real, fake)[:2], *shares, *nearest(fake, real)]

    whole = found()
    monkeypatch.setattr(module, "BLOCK", 16)  # the last tile is a part of one
    assert found() == pytest.approx(whole, rel=1e-10)


@pytest.mark.parametrize(("n", "m", "shift"), [(300, 300, 0.0), (700, 250, 0.5), (250, 600, 1.0)])
def test_prdc_agrees_with_its_authors(n, m, shift):
    real, fake = normals(0, n, 8), normals(1, m, 8) + shift
    theirs = naeem.compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    assert {name: found.value for name, found in prdc(real, fake).items()} == pytest.approx(theirs, abs=1e-12)


def test_prdc_far_from_the_origin_is_what_it_is_near_it_unlike_its_authors():
    real, fake = normals(0, 300, 8), normals(1, 300, 8) + 0.3
    near, far = prdc(real, fake), prdc(real + 1e7, fake + 1e7)
    theirs = naeem.compute_prdc(real_features=real + 1e7, fake_features=fake + 1e7, nearest_k=5)
    for name, found in near.items():
        assert far[name].value == pytest.approx(found.value, abs=1e-12)
        assert abs(theirs[name] - found.value) > 1e-3


# memorisation


def test_nearest_training_images_are_those_of_scikit_learn():
    x, training = normals(0, 250, 20), normals(1, 900, 20)
    tree = sklearn.neighbors.NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(training)
    np.testing.assert_allclose(nearest(x, training), tree.kneighbors(x)[0][:, 0], rtol=1e-10)


def test_data_copying_is_the_z_of_scipys_mann_whitney_test():
    samples, test = normals(0, 70).round(1), normals(1, 90).round(1) + 0.2  # with many ties
    z = data_copying(samples, test).value
    theirs = scipy.stats.mannwhitneyu(samples, test, use_continuity=False, method="asymptotic")
    assert 2 * scipy.stats.norm.sf(abs(z)) == pytest.approx(theirs.pvalue, rel=1e-10)
    assert z < 0  # samples are nearer
    effect = z * np.sqrt(scipy.stats.tiecorrect(scipy.stats.rankdata(np.r_[samples, test])) * 70 * 90 * 161 / 12)
    assert effect == pytest.approx(theirs.statistic - 70 * 90 / 2, rel=1e-10)


# structural similarity


def smoothed(image: np.ndarray) -> np.ndarray:
    return scipy.ndimage.gaussian_filter(image, 1.5, radius=5, mode="mirror")  # reflected, as documented


def parts(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Mean similarity over all windows, and mean contrast and structure over those inside, of pixels from 0 to 1.

    Wang et al. define it for pixels that start at 0; on [-1, 1] the luminance term would be another.
    """
    c1, c2 = 0.01**2, 0.03**2
    ma, mb = smoothed(a), smoothed(b)
    va, vb, ab = smoothed(a * a) - ma**2, smoothed(b * b) - mb**2, smoothed(a * b) - ma * mb
    contrast = (2 * ab + c2) / (va + vb + c2)
    similarity = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1) * contrast
    return float(similarity.mean()), float(contrast[5:-5, 5:-5].mean())


def pairs(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = torch.rand(2, 3, 1, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return x, 0.7 * x + 0.3 * y


def pixels(images: torch.Tensor) -> np.ndarray:
    """Images [N, 1, S, S] in [-1, 1] as pixels [N, S, S] from 0 to 1."""
    return (images[:, 0].double().numpy() + 1) / 2


def test_structural_similarity_agrees_with_its_formula():
    x, y = pairs(32)
    for value, a, b in zip(similarities(x, y), pixels(x), pixels(y), strict=True):
        assert float(value) == pytest.approx(parts(a, b)[0], rel=1e-4)


@pytest.mark.parametrize(("side", "betas"), [(32, (0.0448, 0.2856)), (64, (0.0448, 0.2856, 0.3001))])
def test_similarity_over_scales_agrees_with_its_formula(side, betas):
    x, y = pairs(side)
    for value, a, b in zip(multiscale(x, y), pixels(x), pixels(y), strict=True):
        expected = 1.0
        for scale, beta in enumerate(betas):
            similarity, contrast = parts(a, b)
            expected *= (similarity if scale == len(betas) - 1 else contrast) ** (beta / sum(betas))
            a, b = (each.reshape(len(each) // 2, 2, -1, 2).mean((1, 3)) for each in (a, b))
        assert float(value) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 33, 47), (1, 64, 64), (3, 45, 44)])
def test_similarities_are_those_of_torchmetrics(shape):
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(300, *shape, generator=generator) - 1
    y = (x + torch.randn(x.shape, generator=generator)).clamp(-1, 1)
    theirs = (y + 1) / 2, (x + 1) / 2
    single = structural_similarity_index_measure(*theirs, data_range=1.0, reduction="none")
    torch.testing.assert_close(similarities(x, y), single, rtol=0, atol=2e-6)
    weights = WEIGHTS[: scales(min(shape[1:]))]
    betas = tuple(weight / sum(weights) for weight in weights)
    several = multiscale_structural_similarity_index_measure(
        *theirs, data_range=1.0, reduction="none", betas=betas, normalize="relu"
    )
    torch.testing.assert_close(multiscale(x, y), several, rtol=0, atol=1e-5)


def test_with_room_for_five_scales_they_are_the_published_ones():
    x, y = pairs(176)
    theirs = multiscale_structural_similarity_index_measure((y + 1) / 2, (x + 1) / 2, data_range=1.0, reduction="none")
    torch.testing.assert_close(multiscale(x, y), theirs, rtol=1e-3, atol=0)  # published weights sum to 1.0001
