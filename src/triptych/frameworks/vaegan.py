"""VAE-GAN (Larsen et al. 2016, arXiv:1512.09300): a VAE whose reconstruction error is measured in the features Dis_l of
a GAN's discriminator, and whose decoder is that GAN's generator.

Algorithm 1 is ambiguous where code has to decide, and every known implementation decides differently; each such
decision is an option here. The paper's L_GAN is printed as a log likelihood, though its updates are right only for the
cross entropy: `gan` is the cross entropy. (`docs/reference/frameworks.md` has the table of who does what.)
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from triptych.frameworks.base import Batch, Framework
from triptych.frameworks.gan import judge
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
    """Where paper, authors' code and later code disagree.

    `beta`, `encoder_weight`: Enc minimises beta * prior + encoder_weight * llike.
    `gamma`, `adversarial_weight`: Dec minimises gamma * llike - adversarial_weight * gan.
    `dis_sees_reconstructions`: whether Dis learns to tell reconstructions, as well as samples, from data.
    `gan_sign`: "as-printed" takes the paper's L_GAN literally, which trains Dis and Dec backwards.
    `adversarial`: what Dec minimises: "minimax" -gan; "non-saturating" -log Dis of its images; "leaked" what a
    well-known library applies, where Dis's own gradient is left in Dec's: (1 - adversarial_weight) * gan.
    `reduction`: sums, or means over latent dimensions and features.
    `dis_batches`: whether Dis sees data and generated images in separate batches or joined in one.
    `log_epsilon`: added inside the logarithms of the cross entropy.
    `equilibrium`: skip Dis while its mean cost on data or on generated images is below 0.68 - equilibrium, and
    Dec while either is above 0.68 + equilibrium; when both would be skipped, neither is. 0: never.
    """

    beta: float = Field(default=1.0, ge=0)
    encoder_weight: float = Field(default=1.0, ge=0)
    gamma: float = Field(default=0.1, ge=0)
    adversarial_weight: float = Field(default=1.0, ge=0)
    dis_sees_reconstructions: bool = True
    gan_sign: Literal["cross-entropy", "as-printed"] = "cross-entropy"
    adversarial: Literal["minimax", "non-saturating", "leaked"] = "minimax"
    reduction: Reduction = "sum"
    dis_batches: Literal["separate", "joint"] = "separate"
    log_epsilon: float = Field(default=0.0, ge=0, lt=1)
    equilibrium: float = Field(default=0.0, ge=0, lt=0.68)


class VAEGAN(Framework):
    name = "VAE-GAN"
    Options = Options
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # Algorithm 1 by the letter, with the optimiser of its section 4; the paper gives no gamma.
        "larsen-paper": {"optimiser": {"name": "RMSprop", "rate": 3e-4}},
        "larsen-code": {
            "options": {
                "gamma": 1e-5,
                "dis_sees_reconstructions": False,
                "dis_batches": "joint",
                "log_epsilon": 1e-3,
                "equilibrium": 0.35,
            },
            "network": {"options": {"tap_layer": 4, "tap_point": "convolution"}},
            "optimiser": {"name": "RMSprop", "rate": 3e-4},
        },
        "course-code": {
            "options": {"reduction": "mean", "gamma": 15.0, "encoder_weight": 5.0},
            "network": {"options": {"momentum": 0.9}},
            "optimiser": {"name": "Adam", "rate": 3e-4, "rates": {"dis": 3e-5}, "options": {"betas": [0.5, 0.999]}},
            "training": {"updates": "sequential", "order": ["dis", "dec", "enc"]},
        },
        "pythae": {
            "options": {
                "gamma": 0.2,
                "encoder_weight": 1.2,  # its code adds what Dec's backward pass leaves in Enc's gradient, 1 - 0.8
                "adversarial_weight": 0.8,
                "adversarial": "leaked",
                "dis_sees_reconstructions": False,
                "equilibrium": 0.4,
            },
            "optimiser": {"name": "Adam", "rate": 1e-3, "options": {"betas": [0.9, 0.999]}},
        },
    }

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"enc": ("enc",), "dec": ("dec",), "dis": ("dis",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        o = self.options
        sign = 1.0 if o.gan_sign == "cross-entropy" else -1.0
        adversarial = {
            "minimax": {"gan": -sign * o.adversarial_weight},
            "non-saturating": {"fooling": sign * o.adversarial_weight},
            "leaked": {"gan": sign * (1 - o.adversarial_weight)},
        }
        return {
            "enc": {"prior": o.beta, "llike": o.encoder_weight},
            "dec": {"llike": o.gamma, **adversarial[o.adversarial]},
            "dis": {"gan": sign},
        }

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        o, x = self.options, batch.images
        mean, log_variance = nets["enc"](x)
        z = reparameterise(mean, log_variance, batch.noise("z"))
        x_tilde = batch.cut(nets["dec"](z))
        x_p = batch.cut(nets["dec"](batch.noise("z_p")))
        (real, target), (rec, features), (fake, _) = judge(nets["dis"], [x, x_tilde, x_p], o.dis_batches)
        generated = [rec, fake] if o.dis_sees_reconstructions else [fake]
        on_data = cross_entropy_real(real, o.log_epsilon).mean()
        on_generated = sum(cross_entropy_fake(logits, o.log_epsilon).mean() for logits in generated)
        fooling = sum(cross_entropy_real(logits, o.log_epsilon).mean() for logits in generated)
        return {
            "prior": gaussian_kl(mean, log_variance, o.reduction).mean(),
            "llike": squared_error(target, features, o.reduction).mean(),
            "gan": on_data + on_generated,
            **({"fooling": fooling} if o.adversarial == "non-saturating" else {}),
            **({"dis_data": on_data, "dis_generated": on_generated / len(generated)} if o.equilibrium else {}),
        }  # type: ignore[dict-item]

    def skipped_players(self, terms: dict[str, float]) -> tuple[str, ...]:
        if self.options.equilibrium == 0:
            return ()
        costs = (terms["dis_data"], terms["dis_generated"])
        dis_ahead = min(costs) < 0.68 - self.options.equilibrium
        dis_behind = max(costs) > 0.68 + self.options.equilibrium
        if dis_ahead == dis_behind:
            return ()
        return ("dis",) if dis_ahead else ("dec",)


FRAMEWORK = VAEGAN
