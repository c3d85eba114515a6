"""Corruptions of images by strength, for measuring how a framework responds to a change of its input.

A corruption is one line of `CORRUPTIONS`. What leaves the frame is lost, and what becomes free is filled with
background: the median border value of the real images, by channel, not grey. Directions, signs, places and noise come
from a generator, so that every framework sees the same corrupted images at one seed, and all strengths have the same
direction.

For corruptions that change what an image shows (`restores` False) the reconstruction should follow; for those that
damage the image, the reconstruction should restore it (as in Vincent et al. 2008, denoising autoencoders).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from triptych.data.dataset import random_subset
from triptych.data.transforms import translate
from triptych.evaluation.features import BATCH
from triptych.evaluation.observations import Observations
from triptych.rng import stream

SHIFTS = (0.05, 0.1, 0.15, 0.2)
"""Shares of the side that images are shifted by; each is rounded to whole pixels."""

_DIRECTIONS = torch.tensor([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])


class Corruption(NamedTuple):
    """A corruption: `apply(images, strength, generator, fill)` of images [B, C, H, W] in [-1, 1], the same shape."""

    apply: Callable[[Tensor, float, Generator, Tensor], Tensor]
    strengths: tuple[float, ...]
    axis: str
    restores: bool = False
    """Whether a reconstruction is compared with the image before the corruption, not after it."""


def corrupted(images: Tensor, name: str, strength: float, seed: int, fill: Tensor) -> Tensor:
    """Images [B, C, H, W] under one corruption; at strength 0 they are the images themselves."""
    if strength == 0:
        return images
    return CORRUPTIONS[name].apply(images, strength, stream(seed, f"probe/{name}"), fill)


def subset(observed: Observations, most: int) -> Tensor:
    """Indices of at most `most` real images, drawn at random from an order that depends only on the images.

    They are ordered by a fixed random projection, so that which images are chosen, and which random numbers each one
    gets, does not depend on their positions.
    """
    images = observed.real
    direction = torch.randn(images[0].numel(), generator=stream(0, "probe/order"), dtype=torch.float64)
    keys = torch.cat([part.flatten(1).double() @ direction for part in images.split(BATCH)])
    return keys.argsort()[random_subset(len(images), most)]


def _signs(count: int, generator: Generator) -> Tensor:
    return torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1


def _translate(images: Tensor, share: float, generator: Generator, fill: Tensor) -> Tensor:
    """Moved along an axis or a diagonal, the larger of both shifts being `share` of the side, in whole pixels."""
    step = _DIRECTIONS[torch.randint(0, len(_DIRECTIONS), (len(images),), generator=generator)]
    dx, dy = (step * torch.tensor([round(share * side) for side in (images.shape[3], images.shape[2])])).unbind(1)
    return translate(images, dx, dy, fill)


def _affine(images: Tensor, cosine: Tensor, sine: Tensor, fill: Tensor) -> Tensor:
    """Images resampled (bilinear) through [[cosine, -sine], [sine, cosine]], each [B], about the centre."""
    zero = torch.zeros_like(cosine)
    matrices = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, grid, align_corners=False) + fill  # outside is 0, and so background


def _rotate(images: Tensor, degrees: float, generator: Generator, fill: Tensor) -> Tensor:
    angles = _signs(len(images), generator) * math.radians(degrees)
    return _affine(images, angles.cos(), angles.sin(), fill)


def _scale(images: Tensor, by: float, generator: Generator, fill: Tensor) -> Tensor:
    factors = (1 + by) ** _signs(len(images), generator)
    return _affine(images, factors, torch.zeros_like(factors), fill)


def _blur(images: Tensor, sd: float, generator: Generator, fill: Tensor) -> Tensor:
    """A Gaussian of `sd` in shares of the side, the border values continued outwards."""
    sd, channels = sd * images.shape[3], images.shape[1]
    reach = max(1, math.ceil(3 * sd))
    kernel = (-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sd**2)).exp()
    kernel = (kernel / kernel.sum()).expand(channels, 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)


def _noise(images: Tensor, sd: float, generator: Generator, fill: Tensor) -> Tensor:
    return (images + 2 * sd * torch.randn(images.shape, generator=generator)).clamp(-1, 1)


def _occlude(images: Tensor, share: float, generator: Generator, fill: Tensor) -> Tensor:
    """A square of `share` of the side, wholly inside the frame, becomes background."""
    hidden = []
    for side in images.shape[2:]:
        width = round(share * side)
        starts = torch.randint(0, side - width + 1, (len(images), 1), generator=generator)
        hidden.append((torch.arange(side) >= starts) & (torch.arange(side) < starts + width))
    return torch.where((hidden[0][:, :, None] & hidden[1][:, None, :])[:, None], fill, images)


CORRUPTIONS = {
    "translation": Corruption(_translate, SHIFTS, "shift, share of the side"),
    "rotation": Corruption(_rotate, (10, 20, 30), "rotation, degrees"),
    "scale": Corruption(_scale, (0.1, 0.2, 0.3), "larger or smaller, share"),
    "brightness": Corruption(lambda x, by, *_: (x + 1) * (1 - by) - 1, (0.2, 0.4, 0.6), "dimmed, share"),
    "blur": Corruption(apply=_blur, strengths=(0.02, 0.04, 0.06), axis="blur, SD in shares of the side", restores=True),
    "noise": Corruption(
        apply=_noise, strengths=(0.1, 0.2, 0.3), axis="noise, SD in shares of the grey range", restores=True
    ),
    "occlusion": Corruption(
        apply=_occlude, strengths=(0.2, 0.3, 0.4), axis="occluding square, share of the side", restores=True
    ),
}
