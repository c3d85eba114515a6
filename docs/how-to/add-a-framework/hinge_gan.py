"""Hinge GAN with R1: hinge losses (Lim and Ye 2017, arXiv:1705.02894) and a penalty on Dis's gradient at real images
(Mescheder et al. 2018, arXiv:1801.04406, equation 9).
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from triptych.frameworks import Batch, Framework
from triptych.spec import Frozen


class Options(Frozen):
    """`r1`: gamma of the penalty gamma / 2 E|grad Dis(x)|^2, for images in [-1, 1]."""

    r1: float = Field(default=0.1, ge=0)


class HingeGAN(Framework):
    name = "Hinge GAN"
    Options = Options

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"dec": {"fooling": 1.0}, "dis": {"hinge": 1.0, "r1": self.options.r1 / 2}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        real = batch.images.detach().requires_grad_()
        real_logits, _ = nets["dis"](real)
        fake_logits, _ = nets["dis"](batch.cut(nets["dec"](batch.noise("z_p"))))
        (slope,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
        return {
            "hinge": relu(1 - real_logits).mean() + relu(1 + fake_logits).mean(),
            "r1": slope.square().flatten(1).sum(1).mean(),
            "fooling": -fake_logits.mean(),
        }


FRAMEWORK = HingeGAN
