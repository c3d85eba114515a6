"""A class-conditional GAN (Mirza and Osindero 2014, arXiv:1411.1784): generator and discriminator are told the class,
the one as further latents, the other as further image channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from triptych.frameworks import Batch, Context, Framework
from triptych.frameworks.losses import cross_entropy_fake, cross_entropy_real

NO_CLASS = "the generator needs a class, and these images have no labels"


class ConditionalGAN(Framework):
    name = "Conditional GAN"
    conditional = True
    cannot = {"likelihood": "the generator needs a class", "discriminator_features": "the discriminator needs a class"}

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"dec": {"fooling": 1.0}, "dis": {"gan": 1.0}}

    def build(self, context: Context) -> dict[str, nn.Module]:
        self.classes = context.classes
        return {
            "dec": context.shared("dec", latent=context.latent + context.classes),
            "dis": context.shared("dis", channels=context.channels + context.classes),
        }

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        fake = batch.cut(self.decode(nets, batch.noise("z_p"), batch.labels))
        real_logits, _ = nets["dis"](self._with_class(batch.images, batch.labels))
        fake_logits, _ = nets["dis"](self._with_class(fake, batch.labels))
        return {
            "gan": (cross_entropy_real(real_logits) + cross_entropy_fake(fake_logits)).mean(),
            "fooling": cross_entropy_real(fake_logits).mean(),
        }

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            raise ValueError(NO_CLASS)
        return nets["dec"](torch.cat([latents, one_hot(labels, self.classes).to(latents)], 1))

    def _with_class(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Images [B, C + K, S, S]: each class is one more channel, 1 for its own images and 0 for others."""
        if labels is None:
            raise ValueError(NO_CLASS)
        planes = one_hot(labels, self.classes).to(images)[:, :, None, None]
        return torch.cat([images, planes.expand(-1, -1, *images.shape[2:])], 1)


FRAMEWORK = ConditionalGAN
