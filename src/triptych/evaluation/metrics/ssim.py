"""Structural similarity of reconstructions, at one and at several scales: 11 x 11 Gaussian window, sigma 1.5.

SSIM is after Wang et al. 2004, MS-SSIM after Wang, Simoncelli and Bovik 2003, both as torchmetrics computes them, on
pixels from 0 to 1 with data_range 1 and K = (0.01, 0.03), one value per image, averaged. Not by torchmetrics itself:
its 11 x 11 convolutions take some eight times as long as the products used here. The range must start at 0: the term
for luminance, (2 m1 m2 + C1) / (m1^2 + m2^2 + C1), depends on where black is. Constants of 0.2 and 0.8 have 0.471.

Deviation, torchmetrics's: the mean is over all windows, with the image reflected at its border, where Wang et
al. take only the windows that lie inside. On MNIST, whose borders are black in any reconstruction, that gives
higher values.

MS-SSIM multiplies contrast and structure over scales, each of half the side of the one before, and the luminance of
the last, to the powers WEIGHTS. The authors' five scales need 176 pixels. Deviation: for smaller images as many scales
are used as leave the window's 11 pixels, 2 from 22 pixels on, 3 from 44 and 4 from 99 (where torchmetrics allows
them), with the first so many weights scaled to a sum of 1; the score names their number, and scores with different
numbers are not comparable. Negative contrast counts as 0, because it has no real power. torchmetrics takes contrast
from the windows that lie inside, and the last scale's similarity from all.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from triptych import topics
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, Undefined, mean_of

WINDOW, SIGMA = 11, 1.5  # pixels
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first


C1, C2 = 0.01**2, 0.03**2


def similarities(images: Tensor, others: Tensor) -> Tensor:
    """Each image's structural similarity [B], at most 1, of images [B, C, H, W] in [-1, 1]."""
    return torch.cat([_maps(x, y)[0].mean((1, 2, 3)) for x, y in _pairs(images, others)])


def _pairs(images: Tensor, others: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of both, from [-1, 1] to pixels from 0 to 1."""
    for x, y in zip(images.split(BATCH), others.split(BATCH), strict=True):
        yield (x + 1) / 2, (y + 1) / 2


def _maps(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity, and its factor of contrast and structure, of the window around each pixel [B, C, H, W]."""
    rows, columns = (_window(side) for side in x.shape[-2:])

    def mean(values: Tensor) -> Tensor:
        return rows.T @ values @ columns

    mean_x, mean_y = mean(x), mean(y)
    covariance = mean(x * y) - mean_x * mean_y
    variances = [(mean(z * z) - m * m).clamp(min=0) for z, m in ((x, mean_x), (y, mean_y))]
    contrast = (2 * covariance + C2) / (variances[0] + variances[1] + C2)
    return (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1) * contrast, contrast


def _window(side: int) -> Tensor:
    """The matrix [side, side] that takes a row of pixels to the means of the windows around each of them.

    Two products with it are the same sums as a convolution with the window, in far less time for so small images.
    """
    weights = torch.exp(-0.5 * ((torch.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    reflected = F.pad(torch.eye(side)[None], (WINDOW // 2, WINDOW // 2), mode="reflect")
    return F.conv1d(reflected.transpose(0, 1), (weights / weights.sum()).view(1, 1, -1))[:, 0]


def scales(side: int) -> int:
    """How many scales an image of this side has room for, at most five; with fewer than two there is no MS-SSIM."""
    fit = [s for s in range(2, 6) if side >> (s - 1) >= WINDOW and side // (s - 1) ** 2 >= WINDOW]
    return max(fit, default=1)


def multiscale(images: Tensor, others: Tensor) -> Tensor:
    """Each image's similarity over scales [B], from 0 to 1, of images [B, C, H, W] in [-1, 1] with room for two."""
    weights = WEIGHTS[: scales(min(images.shape[-2:]))]
    powers = torch.tensor(weights) / sum(weights)
    return torch.cat([_over_scales(x, y, powers) for x, y in _pairs(images, others)])


def _over_scales(x: Tensor, y: Tensor, powers: Tensor) -> Tensor:
    """The product over scales [B], each to its power: of contrast, and at the last scale of similarity."""
    inside, found = slice(WINDOW // 2, -(WINDOW // 2)), []
    for _ in powers[:-1]:
        found.append(_maps(x, y)[1][..., inside, inside].mean((1, 2, 3)))
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    found.append(_maps(x, y)[0].mean((1, 2, 3)))
    return (torch.stack(found).relu() ** powers[:, None]).prod(0)


def _compute(observed: Observations) -> Values:
    real, others = observed.real, observed.reconstructions
    side = min(real.shape[-2:])
    count = scales(side)
    return {
        "ssim": mean_of(similarities(real, others)),
        "ms_ssim": mean_of(multiscale(real, others), note=f"{count} scales")
        if count > 1
        else Undefined(f"images of {side} pixels are too small for two scales, which need {2 * WINDOW}"),
    }


METRIC = Metric(
    name="ssim",
    outputs=(
        Output(
            metric="ssim",
            label="SSIM",
            unit="similarity",
            better="higher",
            maximum=1.0,
            smallest_effect=0.01,  # a hundredth of the way from unrelated (0) to identical (1)
            role="secondary",
            about="Structural similarity of reconstructed test images to the originals, at most 1.",
            topic=topics.RECONSTRUCTION,
        ),
        Output(
            metric="ms_ssim",
            label="MS-SSIM",
            unit="similarity",
            better="higher",
            maximum=1.0,
            smallest_effect=0.01,  # as above
            role="secondary",
            about="Structural similarity of reconstructed test images over several scales, from 0 to 1.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=_compute,
    source="Wang et al. 2004; Wang, Simoncelli and Bovik 2003",
    blind_spots="Large plain areas, such as a black border: they are alike in every reconstruction and raise the mean.",
)
