"""Adversarial autoencoder (Makhzani et al. 2015, arXiv:1511.05644) with a deterministic encoder: a discriminator of
codes learns to tell them from draws of the prior, and the encoder learns to fool it.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from triptych.frameworks import Batch, Context, Framework
from triptych.frameworks.losses import cross_entropy_fake, cross_entropy_real, squared_error
from triptych.spec import Frozen


class Options(Frozen):
    """`adversarial`: the weight of the encoder's game next to the summed squared error of an image."""

    adversarial: float = Field(default=10.0, ge=0)
    hidden: int = Field(default=256, ge=1)


class AdversarialAutoencoder(Framework):
    name = "Adversarial autoencoder"
    Options = Options
    unused = ("enc.log_variance",)
    cannot = {"posterior": "the encoder is deterministic"}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"enc": ("enc",), "dec": ("dec",), "judge": ("judge",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {
            "enc": {"reconstruction": 1.0, "fooling": self.options.adversarial},
            "dec": {"reconstruction": 1.0},
            "judge": {"latent_gan": 1.0},
        }

    def build(self, context: Context) -> dict[str, nn.Module]:
        hidden = self.options.hidden

        def judge() -> nn.Module:
            return nn.Sequential(
                nn.Linear(context.latent, hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, hidden),
                nn.LeakyReLU(0.2),
                nn.Linear(hidden, 1),
            )

        return {"enc": context.shared("enc"), "dec": context.shared("dec"), "judge": context.own("judge", judge)}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        codes, _ = nets["enc"](batch.images)
        prior, coded = nets["judge"](batch.noise("prior")), nets["judge"](codes)
        return {
            "reconstruction": squared_error(batch.images, nets["dec"](codes)).mean(),
            "latent_gan": cross_entropy_real(prior).mean() + cross_entropy_fake(coded).mean(),
            "fooling": cross_entropy_real(coded).mean(),
        }

    def encode(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        return nets["enc"](images)[0]


FRAMEWORK = AdversarialAutoencoder
