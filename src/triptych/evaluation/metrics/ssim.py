"""Structural similarity of reconstructions, at one and at several scales: 11 x 11 Gaussian window, sigma 1.5.

SSIM is after Wang et al. 2004, MS-SSIM after Wang, Simoncelli and Bovik 2003, both computed by torchmetrics on pixels
from 0 to 1 with data_range 1 and K = (0.01, 0.03), one value per image, averaged. The range must start at 0: the term
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

from triptych import topics
from triptych.evaluation.features import BATCH
from triptych.evaluation.metrics import Metric, Output, Values
from triptych.evaluation.observations import Observations, Undefined, mean_of

WINDOW = 11  # pixels across
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first


def similarities(images: Tensor, others: Tensor) -> Tensor:
    """Each image's structural similarity [B], at most 1, of images [B, C, H, W] in [-1, 1]."""
    # Imported here, for it takes longer than everything that only lists metrics.
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = [
        structural_similarity_index_measure(y, x, data_range=1.0, reduction="none") for x, y in _pairs(images, others)
    ]
    return torch.cat([torch.as_tensor(value).reshape(-1) for value in values])


def _pairs(images: Tensor, others: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of both, from [-1, 1] to pixels from 0 to 1."""
    for x, y in zip(images.split(BATCH), others.split(BATCH), strict=True):
        yield (x + 1) / 2, (y + 1) / 2


def scales(side: int) -> int:
    """How many scales an image of this side has room for, at most five; with fewer than two there is no MS-SSIM."""
    fit = [s for s in range(2, 6) if side >> (s - 1) >= WINDOW and side // (s - 1) ** 2 >= WINDOW]
    return max(fit, default=1)


def multiscale(images: Tensor, others: Tensor) -> Tensor:
    """Each image's similarity over scales [B], from 0 to 1, of images [B, C, H, W] in [-1, 1] with room for two."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    weights = WEIGHTS[: scales(min(images.shape[-2:]))]
    betas = tuple(weight / sum(weights) for weight in weights)
    values = [
        multiscale_structural_similarity_index_measure(
            y, x, data_range=1.0, reduction="none", betas=betas, normalize="relu"
        )
        for x, y in _pairs(images, others)
    ]
    return torch.cat([value.reshape(-1) for value in values])


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
