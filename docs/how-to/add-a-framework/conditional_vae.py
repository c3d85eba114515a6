"""A class-conditional VAE (Kingma et al. 2014, arXiv:1406.5298, and Sohn et al. 2015): the decoder is told the class,
so that the code need only say what the class does not.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

from triptych.frameworks import Batch, Context, Framework
from triptych.frameworks.losses import gaussian_kl, gaussian_nll, reparameterise
from triptych.spec import Frozen


class Options(Frozen):
    """`log_sigma`: logarithm of the likelihood's standard deviation, for images in [-1, 1]."""

    beta: float = Field(default=1.0, ge=0)
    log_sigma: float = -1.4


class ConditionalVAE(Framework):
    name = "Conditional VAE"
    Options = Options
    conditional = True
    cannot = {"likelihood": "the decoder needs a class"}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"vae": ("enc", "dec")}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"vae": {"prior": self.options.beta, "reconstruction": 1.0}}

    def build(self, context: Context) -> dict[str, nn.Module]:
        self.classes = context.classes
        dec = context.shared("dec", latent=context.latent + context.classes)
        return {"enc": context.shared("enc"), "dec": dec}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        mean, log_variance = nets["enc"](batch.images)
        z = reparameterise(mean, log_variance, batch.noise("z"))
        error = gaussian_nll(batch.images, self.decode(nets, z, batch.labels), self.options.log_sigma)
        return {"prior": gaussian_kl(mean, log_variance).mean(), "reconstruction": error.mean()}

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError("the decoder needs a class, and these images have no labels")
        return nets["dec"](torch.cat([latents, one_hot(labels, self.classes).to(latents)], 1))


FRAMEWORK = ConditionalVAE
