"""WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): a critic with unit gradients, updated five times as often.

The critic has layer normalisation in place of BatchNorm, since the penalty is on the gradient at each image by itself
(their section 4). Its other weights are those that every framework's Dis starts from.
"""

from __future__ import annotations

import copy

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triptych.frameworks import Batch, Context, Framework, Turn
from triptych.spec import Frozen


class Options(Frozen):
    """`penalty`: the weight of the gradient penalty. `critic_updates`: critic updates per update of Dec."""

    penalty: float = Field(default=10.0, ge=0)
    critic_updates: int = Field(default=5, ge=1, le=50)


def layer_normalised(network: nn.Module) -> nn.Module:
    """A copy of a network with each BatchNorm replaced by a normalisation over all features of one image."""
    copied = copy.deepcopy(network)
    for module in list(copied.modules()):
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm):
                setattr(module, name, nn.GroupNorm(1, child.num_features, device=child.weight.device))
    return copied


class WGANGP(Framework):
    name = "WGAN-GP"
    Options = Options
    defaults = {"optimiser": {"rate": 3e-4, "options": {"betas": [0.0, 0.9]}}}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec",), "critic": ("critic",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"dec": {"fooling": 1.0}, "critic": {"critic": 1.0, "penalty": self.options.penalty}}

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (*[Turn(("critic",))] * self.options.critic_updates, Turn(("dec",), fresh=False))

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"dec": context.shared("dec"), "critic": layer_normalised(context.shared("dis"))}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        fake = nets["dec"](batch.noise("z_p"))
        if "critic" not in batch.active:
            return {"fooling": -nets["critic"](fake)[0].mean()}
        real, fake = batch.images, fake.detach()
        share = batch.noise("mix", 1, 1, 1, law="uniform")
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(nets["critic"](mixed)[0].sum(), mixed, create_graph=True)
        return {
            "critic": nets["critic"](fake)[0].mean() - nets["critic"](real)[0].mean(),
            "penalty": (slope.flatten(1).norm(dim=1) - 1).square().mean(),
        }


FRAMEWORK = WGANGP
