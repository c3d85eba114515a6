"""The generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661).

Dis minimises the cross entropy of telling data from samples; Dec, the generator, maximises the same (minimax) or
minimises -log Dis(Dec(z)) (non-saturating, their section 3, which keeps its gradient when Dis is sure).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from triptych.frameworks.base import Batch, Framework
from triptych.frameworks.losses import cross_entropy_fake, cross_entropy_real
from triptych.spec import Frozen


class Options(Frozen):
    """`dis_batches` "joint" shows Dis data and samples in one batch, so that BatchNorm sees their mixture."""

    adversarial: Literal["minimax", "non-saturating"] = "minimax"
    dis_batches: Literal["separate", "joint"] = "separate"


def judge(dis: nn.Module, batches: list[Tensor], how: Literal["separate", "joint"]) -> list[tuple[Tensor, Tensor]]:
    """Dis's (logits [B], features [B, F]) of each batch, BatchNorm's statistics taken apart or together."""
    if how == "separate":
        return [dis(batch) for batch in batches]
    sizes = [len(batch) for batch in batches]
    logits, features = dis(torch.cat(batches))
    return list(zip(logits.split(sizes), features.split(sizes), strict=True))


class GAN(Framework):
    name = "GAN"
    Options = Options

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        minimax = self.options.adversarial == "minimax"
        return {"dec": {"gan": -1.0} if minimax else {"fooling": 1.0}, "dis": {"gan": 1.0}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        x_p = batch.cut(nets["dec"](batch.noise("z_p")))
        (real, _), (fake, _) = judge(nets["dis"], [batch.images, x_p], self.options.dis_batches)
        terms = {"gan": (cross_entropy_real(real) + cross_entropy_fake(fake)).mean()}
        if self.options.adversarial == "non-saturating":
            terms["fooling"] = cross_entropy_real(fake).mean()
        return terms


FRAMEWORK = GAN
