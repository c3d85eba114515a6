"""What shapes look like, as numbers: stroke thickness, slant and size, from the moments of an image's ink.

Source: the measurements of Morpho-MNIST (Castro et al. 2019, arXiv:1809.10780, section 3.1). Ink is how far a
pixel's grey lies from the background, the median of the border; so it is defined for dark on bright and for colour.

    thickness   2 A / P, with A the ink and P the total variation of it (its perimeter, by the coarea formula): t l /
                (t + l) for a stroke of width t and length l, the radius of a disc; share of the image's side
    slant       atan(-mu11 / mu02), the angle of the horizontal shear that makes the image upright: degrees, > 0 for
                leaning to the right
    size        sqrt(mu20 + mu02), the root mean square distance of the ink from its centre; share of the side

mu are central second moments over the ink; each pixel is a square, with 1/12 of its own. Changing brightness or
contrast changes nothing, nor does shifting inside the frame. Deviations: no skeleton is drawn for the thickness, so it
is continuous in the pixels; ink fainter than a tenth of the strongest counts as background, for a faint haze far from
the centre would outweigh the shape; images are not made four times larger first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

NAMES = ("thickness", "slant", "size")
FAINT = 0.1  # of the strongest ink
LEAST_CONTRAST = 0.05  # of the grey range; below, an image shows nothing


def measure(images: Tensor) -> Tensor:
    """Thickness, slant and size [B, 3], in float64, of images [B, C, H, W] in [-1, 1]; NaN for blank images."""
    return torch.cat([_measure(part) for part in images.split(500)])


def _measure(images: Tensor) -> Tensor:
    height, width = images.shape[2:]
    ink = _ink(images)
    total = ink.sum((1, 2))
    y, x = torch.arange(height).double(), torch.arange(width).double()

    def average(values: Tensor) -> Tensor:  # over the ink
        return (ink * values).sum((1, 2)) / total

    dx = x - average(x)[:, None, None]  # [B, 1, W]
    dy = y[:, None] - average(y[:, None])[:, None, None]  # [B, H, 1]
    mu20, mu02, mu11 = average(dx**2) + 1 / 12, average(dy**2) + 1 / 12, average(dx * dy)
    side = (height * width) ** 0.5
    thickness = 2 * total / _perimeter(ink) / side
    slant = torch.rad2deg(torch.atan2(-mu11, mu02))
    return torch.stack([thickness, slant, (mu20 + mu02).sqrt() / side], 1)


def _ink(images: Tensor) -> Tensor:
    """Ink [B, H, W], at most 1; NaN for blank images."""
    grey = images.double().mean(1) / 2  # the whole range is 1
    border = torch.cat([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], 1)
    ink = (grey - border.quantile(0.5, dim=1)[:, None, None]).abs()
    strongest = ink.amax((1, 2), keepdim=True)
    ink = (ink / strongest - FAINT).clamp(min=0)
    return torch.where(strongest < LEAST_CONTRAST, torch.nan, ink)


def _perimeter(ink: Tensor) -> Tensor:
    """The total variation [B], with gradients over the cells of four pixels: the same for mirrored images."""
    ink = pad(ink, (1, 1, 1, 1))
    across, down = ink.diff(dim=2), ink.diff(dim=1)
    across, down = (across[:, 1:] + across[:, :-1]) / 2, (down[:, :, 1:] + down[:, :, :-1]) / 2
    return torch.hypot(across, down).sum((1, 2))
