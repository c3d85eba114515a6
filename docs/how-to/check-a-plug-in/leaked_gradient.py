"""A VAE-GAN whose decoder also minimises the discriminator's loss.

The decoder's adversarial weight is s, so it should minimise `similarity - s * gan`. In a training loop by hand, the
discriminator's `backward()` adds its own gradient to the decoder's unless that is cleared: 1 - s is left of -s, and for
s < 1 the decoder helps the discriminator.
"""

from __future__ import annotations

from torch import Tensor, nn

from triptych.frameworks import Batch, Framework
from triptych.frameworks.losses import (
    cross_entropy_fake,
    cross_entropy_real,
    gaussian_kl,
    reparameterise,
    squared_error,
)

S = 0.8


class LeakedGradient(Framework):
    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"enc": ("enc",), "dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {
            "enc": {"prior": 1.0, "similarity": 1.0},
            "dec": {"similarity": 1.0, "gan": 1.0 - S},  # should be -S
            "dis": {"gan": 1.0},
        }

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        mean, log_variance = nets["enc"](batch.images)
        code = reparameterise(mean, log_variance, batch.noise("z"))
        made, drawn = batch.cut(nets["dec"](code)), batch.cut(nets["dec"](batch.noise("z_p")))
        (real, target), (_, features), (fake, _) = (nets["dis"](images) for images in (batch.images, made, drawn))
        return {
            "prior": gaussian_kl(mean, log_variance).mean(),
            "similarity": squared_error(target, features).mean(),
            "gan": (cross_entropy_real(real) + cross_entropy_fake(fake)).mean(),
        }


FRAMEWORK = LeakedGradient
