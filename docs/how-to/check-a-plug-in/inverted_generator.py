"""A GAN with an inverted generator loss: the generator learns that its images are to be called fake.

It should minimise the cross entropy of its images with the label "real". Here the labels are the discriminator's.
"""

from __future__ import annotations

from torch import Tensor, nn

from triptych.frameworks import Batch, Framework
from triptych.frameworks.losses import cross_entropy_fake, cross_entropy_real


class InvertedGenerator(Framework):
    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"dec": {"generator": 1.0}, "dis": {"real": 1.0, "fake": 1.0}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        real, _ = nets["dis"](batch.images)
        fake, _ = nets["dis"](batch.cut(nets["dec"](batch.noise("z_p"))))
        return {
            "real": cross_entropy_real(real).mean(),
            "fake": cross_entropy_fake(fake).mean(),
            "generator": cross_entropy_fake(fake).mean(),  # should be cross_entropy_real
        }


FRAMEWORK = InvertedGenerator
