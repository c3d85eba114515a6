"""A feature space for tests that needs no fitting: the means of 4 x 4 blocks of the image, 16 features."""

import torch

from triptych.evaluation.features import Extractor


def blocks(images: torch.Tensor) -> torch.Tensor:
    """Images [B, C, S, S] as [B, 16]."""
    return torch.nn.functional.adaptive_avg_pool2d(images.mean(1, keepdim=True), 4).flatten(1)


EXTRACTOR = Extractor(name="blocks", sha256="0" * 64, dimension=16, embed=blocks)
