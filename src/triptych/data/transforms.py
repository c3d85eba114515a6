"""Translation of images by whole pixels, on tensors: nothing is interpolated, what is left free is
background.
"""

from __future__ import annotations

import torch


def translate(
    images: torch.Tensor, dx: torch.Tensor, dy: torch.Tensor, fill: float | torch.Tensor = -1.0
) -> torch.Tensor:
    """Images [B, C, H, W] moved right by `dx` and down by `dy` pixels, integers [B]; `fill` fills the rest: black,
    or a value [C, 1, 1] for each channel.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - dy.to(images.device)[:, None]
    columns = torch.arange(width, device=images.device) - dx.to(images.device)[:, None]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None, :]
    index = torch.arange(len(images), device=images.device)[:, None, None, None]
    channel = torch.arange(images.shape[1], device=images.device)[None, :, None, None]
    row, column = rows.clamp(0, height - 1)[:, None, :, None], columns.clamp(0, width - 1)[:, None, None, :]
    return torch.where(inside, images[index, channel, row, column], fill)


def background(images: torch.Tensor) -> torch.Tensor:
    """The median border value [C, 1, 1] of images [B, C, H, W]."""
    border = torch.cat([images[:, :, [0, -1]].flatten(2), images[:, :, :, [0, -1]].flatten(2)], 2)
    return border.transpose(0, 1).flatten(1).median(1).values[:, None, None]


def random_translate(
    images: torch.Tensor, fraction: float, generator: torch.Generator, fill: float | torch.Tensor = -1.0
) -> torch.Tensor:
    """Images [B, C, H, W], each moved by its own uniform whole shift of at most `fraction` of the side, both
    ways.

    `generator` is a CPU generator, so that every device sees the same shifts.
    """
    (height, width), count = images.shape[2:], len(images)
    dx, dy = (
        torch.randint(-int(fraction * side), int(fraction * side) + 1, (count,), generator=generator)
        for side in (width, height)
    )
    return translate(images, dx, dy, fill)
