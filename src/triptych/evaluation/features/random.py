"""An untrained convolutional network (64-d): for images far from any that a network was trained on.

Source: Naeem et al. 2020 (arXiv:2002.09797), section 4, who embed in a randomly initialised VGG16 cut to 64
dimensions, because ImageNet features distort the distances of images unlike ImageNet's. Deviation: the network is
that of the project's classifier, and its BatchNorm layers hold the statistics of training images, so that each
feature has mean 0 and variance 1 on them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from triptych.evaluation.classifier import FEATURES, from_weights, initialised
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.features._fitted import Fitted, fitted, to_fit
from triptych.rng import stream

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset

MOST_CALIBRATION = 2_000  # images, all in one batch: 150 MB in the first layer
SEED = 0


def extractor(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """The network with its fixed weights, calibrated on these data's training images."""
    tensors, record = fitted("random", _fit, dataset, folder, say)
    network = from_weights(tensors, dataset.channels, classes=1)
    return Extractor(
        name="random", sha256=record["sha256"], dimension=FEATURES, embed=network.features, networks=(network,)
    )


@torch.no_grad()
def _fit(dataset: Dataset) -> Fitted:
    """The weights, a function of the seed alone, and the BatchNorm statistics of training images."""
    network = initialised(dataset.channels, 1, stream(SEED, "features/random"))
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0  # the statistics of one batch, not a running mean
    network.train()(to_fit(dataset, MOST_CALIBRATION)[1])
    return dict(network.state_dict()), {"name": "random", "channels": dataset.channels}
