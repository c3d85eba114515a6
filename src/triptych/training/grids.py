"""Fixed grids of pictures: the same latents and the same test images for every framework and every moment."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

from triptych.data.dataset import to_uint8
from triptych.rng import stream
from triptych.training.model import Model
from triptych.training.state import set_evaluation

SIDE = 8
"""Grids are SIDE by SIDE."""


def fixed_latents(seed: int, latent: int) -> Tensor:
    """The latents of a run's sample grids, [64, L]: one seed, one set, whatever the framework."""
    return torch.randn(SIDE * SIDE, latent, generator=stream(seed, "grid/latents"))


def is_due(before: int, after: int, first: int = 640) -> bool:
    """Whether a grid falls between two counts of images: at `first` images and at each doubling of it."""
    threshold = first
    while threshold <= before:
        threshold *= 2
    return threshold <= after


def alternate(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """Rows of SIDE originals, each above the row of their reconstructions, a last short row filled with black; all
    [B, C, S, S].
    """
    missing = -len(originals) % SIDE
    black = originals.new_full((missing, *originals.shape[1:]), -1)
    rows = zip(*(torch.cat([images, black]).split(SIDE) for images in (originals, reconstructions)), strict=True)
    return torch.cat([images for pair in rows for images in pair])


@torch.no_grad()
def pictures(
    model: Model, latents: Tensor, images: Tensor, labels: Tensor | None = None
) -> tuple[Tensor | None, Tensor | None]:
    """Samples of fixed latents and reconstructions of fixed images with their labels, in evaluation mode; None for
    what the framework cannot do. The samples of a conditional framework go through the classes in turn.
    """
    set_evaluation(model.nets, model.framework.batchnorm_mode)
    in_turn = torch.arange(len(latents)) % max(model.classes, 1)
    samples = model.sample(latents, in_turn) if model.can("sample") else None
    reconstructions = model.reconstruct(images, labels) if model.can("reconstruct") else None
    set_evaluation(model.nets)
    return samples, reconstructions


def png(images: Tensor) -> bytes:
    """Images [B, C, S, S] in [-1, 1] as one PNG, SIDE to a row, one black pixel between them."""
    pixels = to_uint8(images)
    batch, channels, size, _ = pixels.shape
    rows = -(-batch // SIDE)
    sheet = torch.zeros(channels, rows * (size + 1) - 1, SIDE * (size + 1) - 1, dtype=torch.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // SIDE) * (size + 1), (index % SIDE) * (size + 1)
        sheet[:, top : top + size, left : left + size] = image
    array = sheet[0].numpy() if channels == 1 else sheet.permute(1, 2, 0).contiguous().numpy()
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG", optimize=False)
    return buffer.getvalue()
