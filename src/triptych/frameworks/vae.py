"""The variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114), with a Gaussian likelihood.

One player owns Enc and Dec and minimises  beta * KL(q(z|x) || p(z)) - E log p(x|z).  The default is the bound itself:
sums over pixels and latent dimensions, beta 1. `sigma` fixes the likelihood's standard deviation, for images in
[-1, 1]; "learned" learns it as one scalar (Rybkin et al. 2021, arXiv:2006.13202).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from triptych.frameworks.base import Batch, Context, Framework
from triptych.frameworks.losses import Reduction, gaussian_kl, gaussian_nll, reparameterise, squared_error
from triptych.spec import Frozen


class Options(Frozen):
    """`reduction` "mean" averages squared errors over pixels and the KL over latent dimensions, without sigma, as the
    paper's code does: at 64 pixels and 128 latents that is a beta of 16.
    """

    beta: float = Field(default=1.0, ge=0)
    sigma: Annotated[float, Field(gt=0)] | Literal["learned"] | None = 0.25
    reduction: Reduction = "sum"

    @model_validator(mode="before")
    @classmethod
    def _means_know_no_sigma(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("reduction") != "mean":
            return values
        if values.get("sigma") is not None:
            raise ValueError('reduction = "mean" is a plain mean of squares, which has no sigma')
        return {**values, "sigma": None}

    @model_validator(mode="after")
    def _sums_need_a_sigma(self) -> Options:
        if self.reduction == "sum" and self.sigma is None:
            raise ValueError("a likelihood needs a sigma")
        return self


class Scale(nn.Module):
    """log sigma of the likelihood, learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.zeros(()))


class VAE(Framework):
    name = "VAE"
    Options = Options

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"vae": ("enc", "dec", "likelihood") if self._learns_sigma else ("enc", "dec")}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"vae": {"prior": self.options.beta, "reconstruction": 1.0}}

    @property
    def _learns_sigma(self) -> bool:
        return self.options.sigma == "learned"

    def build(self, context: Context) -> dict[str, nn.Module]:
        extra = {"likelihood": context.own("likelihood", Scale)} if self._learns_sigma else {}
        return {"enc": context.shared("enc"), "dec": context.shared("dec"), **extra}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        x = batch.images
        mean, log_variance = nets["enc"](x)
        z = reparameterise(mean, log_variance, batch.noise("z"))
        prior = gaussian_kl(mean, log_variance, self.options.reduction)
        return {"prior": prior.mean(), "reconstruction": self._error(nets, x, nets["dec"](z)).mean()}

    def _error(self, nets: nn.ModuleDict, x: Tensor, x_tilde: Tensor) -> Tensor:
        if self.options.reduction == "mean":
            return squared_error(x, x_tilde, "mean")
        if self._learns_sigma:
            return gaussian_nll(x, x_tilde, nets["likelihood"].log_sigma)  # type: ignore[arg-type]
        return gaussian_nll(x, x_tilde, math.log(self.options.sigma))


FRAMEWORK = VAE
