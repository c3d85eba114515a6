"""Structural similarity of reconstructions (Wang et al. 2004): 11 x 11 Gaussian window, sigma 1.5.

Computed by torchmetrics on images in [-1, 1] with data_range 2 and K = (0.01, 0.03), one value an
image, averaged.

Deviation, torchmetrics's: the mean is over all windows, with the image reflected at its border, where Wang et
al. take only the windows that lie inside. On MNIST, whose borders are black in any reconstruction, that gives
higher values.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triptych.evidence import Evidence, Undefined
from triptych.features import BATCH
from triptych.metrics import Metric, Output


def similarities(images: Tensor, others: Tensor) -> Tensor:
    """Each image's structural similarity [B], at most 1, of images [B, C, H, W] in [-1, 1]."""
    # Imported here, for it takes longer than everything that only lists metrics.
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = [
        structural_similarity_index_measure(y, x, data_range=2.0, reduction="none")
        for x, y in zip(images.split(BATCH), others.split(BATCH), strict=True)
    ]
    return torch.cat([torch.as_tensor(value).reshape(-1) for value in values])


def _compute(evidence: Evidence) -> dict[str, float | Undefined]:
    others = evidence.reconstructions
    if isinstance(others, Undefined):
        return {"ssim": others}
    return {"ssim": float(similarities(evidence.real, others).double().mean())}


METRIC = Metric(
    "ssim",
    (
        Output(
            "ssim", "SSIM", "similarity", "higher",
            smallest_effect=0.01,  # a hundredth of the way from unrelated (0) to identical (1)
            family="secondary",
            about="Structural similarity of reconstructed test images to the originals, at most 1.",
            question="reconstruction",
        ),
    ),
    _compute,
)  # fmt: skip
