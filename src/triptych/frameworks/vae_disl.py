"""VAE_Dis_l (Larsen et al. 2016, section 4.1): VAE-GAN's ablation, which keeps the learned metric without the game.

A VAE whose reconstruction error is measured in the features Dis_l of a discriminator that sends Dec no adversarial
gradient. By default Dis is trained at the same time, on data and samples of Dec, which costs one run; "pretrained" is
Larsen et al.'s own way: first a GAN is trained, with a generator of its own that starts where Dec starts, for
`pretraining` of the budget; then its Dis is frozen, running statistics included, and Enc and Dec are trained.
"""

from __future__ import annotations

import copy
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from triptych.frameworks.base import Batch, Context, Framework
from triptych.frameworks.losses import (
    Reduction,
    cross_entropy_fake,
    cross_entropy_real,
    gaussian_kl,
    reparameterise,
    squared_error,
)
from triptych.spec import Frozen


class Options(Frozen):
    """`gamma` weighs the Dis_l error against beta times the prior.

    `discriminator`: Dis is trained together with Enc and Dec ("simultaneous"), or before them ("pretrained") for the
    share `pretraining` of the budget.
    """

    beta: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=10.0, ge=0)
    reduction: Reduction = "sum"
    discriminator: Literal["simultaneous", "pretrained"] = "simultaneous"
    pretraining: float = Field(default=0.5, gt=0, lt=1)


class VAEDisl(Framework):
    name = "VAE_Dis_l"
    Options = Options

    @property
    def _pretrains(self) -> bool:
        return self.options.discriminator == "pretrained"

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"vae": ("enc", "dec"), "dis": ("dis",), **({"gen": ("gen",)} if self._pretrains else {})}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        generator = {"gen": {"fooling": 1.0}} if self._pretrains else {}
        return {
            "vae": {"prior": self.options.beta, "llike": self.options.gamma},
            "dis": {"gan": 1.0},
            **generator,
        }

    def build(self, context: Context) -> dict[str, nn.Module]:
        generator = {"gen": copy.deepcopy(context.shared("dec"))} if self._pretrains else {}
        return {**{name: context.shared(name) for name in ("enc", "dec", "dis")}, **generator}

    def active_players(self, progress: float) -> tuple[str, ...]:
        if not self._pretrains:
            return ("vae", "dis")
        return ("gen", "dis") if progress < self.options.pretraining else ("vae",)

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        x, active = batch.images, self.active_players(batch.progress)
        real, target = nets["dis"](x)
        terms = {}
        if "vae" in active:
            mean, log_variance = nets["enc"](x)
            _, features = nets["dis"](nets["dec"](reparameterise(mean, log_variance, batch.noise("z"))))
            terms["prior"] = gaussian_kl(mean, log_variance, self.options.reduction).mean()
            terms["llike"] = squared_error(target, features, self.options.reduction).mean()
        if "dis" in active:
            generator = nets["gen"] if self._pretrains else nets["dec"]
            fake, _ = nets["dis"](generator(batch.noise("z_p")))
            terms["gan"] = (cross_entropy_real(real) + cross_entropy_fake(fake)).mean()
            terms["fooling"] = cross_entropy_real(fake).mean()
        return terms


FRAMEWORK = VAEDisl
