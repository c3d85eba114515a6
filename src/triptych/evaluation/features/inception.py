"""Inception v3 as the Frechet inception distance uses it (2048-d pool3): for numbers that compare with papers.

Source: Szegedy et al. 2016 (arXiv:1512.00567); the weights are those of TensorFlow's inception-2015-12-05 graph, which
Heusel et al. 2017 took for the FID, ported to PyTorch by M. Seitzer (pytorch-fid, Apache-2.0) and fetched by pinned
address. That graph differs from the usual Inception v3: averaging pools leave out the padding, the last block
(Mixed_7c) pools by maximum, and there are 1008 classes. As there, images are rounded to bytes, resized to 299 x 299 as
TensorFlow 1 does it (no antialiasing, no half-pixel shift), and scaled to (byte - 128) / 128; grey is repeated to three
channels.

Where the package torch-fidelity can be imported (it needs torchvision), its port of the same network takes the place of
ours, with the same weights: it is the one whose FIDs have been compared with published ones. The extractor's identity
names it, so that scores of the two are not mixed.

Verified: the SHA-256 (the pin that several projects publish, whose first digits the file's name repeats); the number of
weights against the published count of this architecture; the resize against a closed form; and, with random weights,
the whole path from bytes to features against torch-fidelity 0.4.0, which has its own port: same names of all tensors,
features equal within 6e-6 at 28 to 512 pixels. NOT verified: features or an FID from the true weights, which could
not be fetched where this was written. Until you have reproduced one published value, take an FID from here with care.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from triptych import store
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.features._weights import Pinned, fetched, location

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset

WEIGHTS = Pinned(
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    95_628_359,
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
SIDE = 299
DIMENSION = 2048

# Kernels of one step; a fork has two, whose outputs stand side by side.
ONE, THREE, FIVE, ROW, COLUMN, FORK = [(1, 1)], [(3, 3)], [(5, 5)], [(1, 7)], [(7, 1)], [(1, 3), (3, 1)]
Branches = dict[str, list[tuple[int, list[tuple[int, int]]]]]
"""Each branch of a block by its name in the weights file: its steps, as output channels and kernels."""

AVERAGE = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
MAXIMUM = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)
HALVE = partial(F.max_pool2d, kernel_size=3, stride=2)

_TRIPLE = [(64, ONE), (96, THREE), (96, THREE)]
_HALVE_35: Branches = {"branch3x3": [(384, THREE)], "branch3x3dbl": _TRIPLE, "branch_pool": []}
_HALVE_17: Branches = {
    "branch3x3": [(192, ONE), (320, THREE)],
    "branch7x7x3": [(192, ONE), (192, ROW), (192, COLUMN), (192, THREE)],
    "branch_pool": [],
}
_AT_8: Branches = {
    "branch1x1": [(320, ONE)],
    "branch3x3": [(384, ONE), (384, FORK)],
    "branch3x3dbl": [(448, ONE), (384, THREE), (384, FORK)],
    "branch_pool": [(192, ONE)],
}


def _at_35(pooled: int) -> Branches:
    """The blocks at 35 x 35 pixels, which differ in the channels of their pooling branch."""
    five, pool = [(48, ONE), (64, FIVE)], [(pooled, ONE)]
    return {"branch1x1": [(64, ONE)], "branch5x5": five, "branch3x3dbl": _TRIPLE, "branch_pool": pool}


def _at_17(width: int) -> Branches:
    """The blocks at 17 x 17 pixels, which differ in the width of their 1 x 7 and 7 x 1 convolutions."""
    once = [(width, ONE), (width, ROW), (192, COLUMN)]
    twice = [(width, ONE), (width, COLUMN), (width, ROW), (width, COLUMN), (192, ROW)]
    return {"branch1x1": [(192, ONE)], "branch7x7": once, "branch7x7dbl": twice, "branch_pool": [(192, ONE)]}


BLOCKS = {
    "Mixed_5b": (_at_35(32), AVERAGE),
    "Mixed_5c": (_at_35(64), AVERAGE),
    "Mixed_5d": (_at_35(64), AVERAGE),
    "Mixed_6a": (_HALVE_35, HALVE),
    "Mixed_6b": (_at_17(128), AVERAGE),
    "Mixed_6c": (_at_17(160), AVERAGE),
    "Mixed_6d": (_at_17(160), AVERAGE),
    "Mixed_6e": (_at_17(192), AVERAGE),
    "Mixed_7a": (_HALVE_17, HALVE),
    "Mixed_7b": (_AT_8, AVERAGE),
    "Mixed_7c": (_AT_8, MAXIMUM),
}


class Convolution(nn.Module):
    """A convolution without bias, BatchNorm with epsilon 0.001, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, int], stride: int, padding: tuple[int, int]):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(images)))


class Mixed(nn.Module):
    """A block: branches from one input, side by side; one that halves does so in each branch's last step."""

    def __init__(self, inputs: int, branches: Branches, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool, self.outputs = pool, 0
        self.paths: dict[str, list[list[str]]] = {}
        for branch, steps in branches.items():
            width, path = inputs, []
            for number, (outputs, kernels) in enumerate(steps, start=1):
                halves = pool is HALVE and number == len(steps)
                name = branch if len(steps) == 1 else f"{branch}_{number}"
                path.append([name] if len(kernels) == 1 else [name + "a", name + "b"])
                for part, (high, wide) in zip(path[-1], kernels, strict=True):
                    padding = (0, 0) if halves else (high // 2, wide // 2)
                    self.add_module(part, Convolution(width, outputs, (high, wide), 1 + halves, padding))
                width = outputs * len(kernels)
            self.paths[branch], self.outputs = path, self.outputs + width

    def forward(self, images: Tensor) -> Tensor:
        results = []
        for branch, path in self.paths.items():
            hidden = self.pool(images) if branch == "branch_pool" else images
            for names in path:
                hidden = torch.cat([self.get_submodule(name)(hidden) for name in names], 1)
            results.append(hidden)
        return torch.cat(results, 1)


class Inception(nn.Module):
    """Images [B, 3, 299, 299] in [-1, 1] to pool3 features [B, 2048]; modules are named as in the weights file."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, (3, 3), 2, (0, 0))
        self.Conv2d_2a_3x3 = Convolution(32, 32, (3, 3), 1, (0, 0))
        self.Conv2d_2b_3x3 = Convolution(32, 64, (3, 3), 1, (1, 1))
        self.Conv2d_3b_1x1 = Convolution(64, 80, (1, 1), 1, (0, 0))
        self.Conv2d_4a_3x3 = Convolution(80, 192, (3, 3), 1, (0, 0))
        width = 192
        for name, (branches, pool) in BLOCKS.items():
            block = Mixed(width, branches, pool)
            self.add_module(name, block)
            width = block.outputs

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        hidden = HALVE(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(HALVE(hidden))))
        for name in BLOCKS:
            hidden = self.get_submodule(name)(hidden)
        return hidden.mean((2, 3))


def load(weights: dict[str, Tensor]) -> Inception:
    """The network with these weights, in eval mode; raises ValueError if any is missing or of another shape.

    The classes' layer `fc` is not used. Counters of BatchNorm batches may be missing, as in files of its early days.
    """
    with torch.device("meta"):  # no initial weights, hence no use of the global generator
        network = Inception()
    own = {name: tensor.shape for name, tensor in network.state_dict().items() if "num_batches" not in name}
    if wrong := [name for name, shape in own.items() if name not in weights or weights[name].shape != shape]:
        raise ValueError(f"not weights of Inception v3: {len(wrong)} of {len(own)} do not fit, such as {wrong[0]}")
    network.load_state_dict({name: weights[name] for name in own}, strict=False, assign=True)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore


def interpolation(size: int) -> Tensor:
    """The matrix [299, size] of TensorFlow 1's bilinear resize: output i is taken at i size / 299, unshifted."""
    position = torch.arange(SIDE) * size / SIDE
    low = position.long()
    row, matrix = torch.arange(SIDE), torch.zeros(SIDE, size)
    matrix[row, low] += 1 - (position - low)
    matrix[row, (low + 1).clamp(max=size - 1)] += position - low  # beyond the last pixel: that pixel
    return matrix


def extractor(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """The same for all data; raises InputError, with the file to place, if the weights cannot be had."""
    weights = fetched(WEIGHTS, say)
    if (port := torch_fidelity()) is not None:
        return _by_torch_fidelity(*port)
    network = load(weights)

    def embed(images: Tensor) -> Tensor:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255)
        resized = interpolation(images.shape[2]).to(images) @ pixels @ interpolation(images.shape[3]).T.to(images)
        scaled = ((resized - 128) / 128).expand(-1, 3, -1, -1)
        return network(scaled.contiguous(memory_format=torch.channels_last))

    return Extractor(
        name="inception",
        sha256=WEIGHTS.sha256,
        dimension=DIMENSION,
        embed=embed,
        batch=10,
        max_images=5_000,
        networks=(network,),
    )


def torch_fidelity() -> tuple[Any, str] | None:
    """torch-fidelity's class of the network and the package's version; None where it cannot be imported."""
    try:
        import torch_fidelity  # pyright: ignore[reportMissingImports]
        from torch_fidelity.feature_extractor_inceptionv3 import (  # pyright: ignore[reportMissingImports]
            FeatureExtractorInceptionV3,
        )
    except Exception:  # an optional package can fail to import in any way, as with a torchvision for another PyTorch
        return None
    return FeatureExtractorInceptionV3, str(getattr(torch_fidelity, "__version__", "of an unknown version"))


def _by_torch_fidelity(network_class: Any, version: str) -> Extractor:
    """torch-fidelity's port, given the pinned weights; features are cached apart from those of our port."""
    network = network_class("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(location(WEIGHTS)))
    network.eval().requires_grad_(False)
    backend = f"torch-fidelity {version}"

    def embed(images: Tensor) -> Tensor:
        pixels = ((images + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        return network(pixels.expand(-1, 3, -1, -1))[0]

    return Extractor(
        name="inception",
        sha256=store.sha256(f"{WEIGHTS.sha256} {backend}".encode()),
        dimension=DIMENSION,
        embed=embed,
        batch=10,
        max_images=5_000,
        backend=backend,
        networks=(network,),
    )
