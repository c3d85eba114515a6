"""Latent inversion: the latents whose decoded images are nearest to given images, for decoders without an encoder.

    z*(x) = argmin_z |Dec(z) - x|^2

by Adam (Lipton and Tripathi 2017, arXiv:1702.04782, and Creswell and Bharath 2018, arXiv:1611.05644, invert GANs so).
Every image starts from the `restarts` nearest of 256 decoded draws from the prior, the same for all images. After a
sixth of the steps the best start goes on alone, with the rate falling to nothing along a cosine. Images do not see
each other: what an image is inverted to does not depend on the others in its batch, but for rounding.

Nothing regularises the latents, so they may lie where the prior has no mass: the result says what the decoder can
show, not what it will. The error is an upper bound of the least one, by as much as the budget is short.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from triptych.evaluation.features import in_batches
from triptych.rng import stream

POOL = 256
BETAS = (0.8, 0.95)  # on trained GANs a fifth less error in the same steps than with Adam's own
ROWS = 64  # latents under way at once

Decode = Callable[[Tensor], Tensor]


def invert(
    decode: Decode, images: Tensor, latent: int, seed: int, restarts: int = 4, steps: int = 150, rate: float = 0.1
) -> Tensor:
    """Latents [B, latent] whose decoded images are near images [B, C, H, W], after steps / 6 steps of `restarts`
    starts each and `steps` of the best.

    Raises ValueError if the decoder has no gradient.
    """
    pool = torch.randn(POOL, latent, generator=stream(seed, "inversion"))
    shown = in_batches(decode, pool).flatten(1)

    def best_of(batch: Tensor) -> Tensor:
        nearest = torch.cdist(batch.flatten(1), shown).topk(min(restarts, POOL), largest=False).indices
        starts = [_descend(decode, batch, pool[column], steps // 6, rate, fall=False) for column in nearest.T]
        errors = torch.stack([_errors(decode(z), batch) for z in starts])
        chosen = torch.stack(starts)[errors.argmin(0), torch.arange(len(batch))]
        return _descend(decode, batch, chosen, steps, rate, fall=True)

    return in_batches(best_of, images, ROWS)


def _errors(made: Tensor, images: Tensor) -> Tensor:
    """Mean squared errors [B]."""
    return (made - images).square().mean((1, 2, 3))


@torch.enable_grad()
def _descend(decode: Decode, images: Tensor, start: Tensor, steps: int, rate: float, fall: bool) -> Tensor:
    latents = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([latents], rate, BETAS)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1)) if fall else None
    for _ in range(steps):
        error = _errors(decode(latents), images).sum()  # a sum: each image has its own gradient and no other's
        if not error.requires_grad:
            raise ValueError("the decoder is not differentiable")
        (latents.grad,) = torch.autograd.grad(error, latents)
        optimiser.step()
        if schedule is not None:
            schedule.step()
    return latents.detach()
