"""VAE, GAN and VAE-GAN as the course paper trained them: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021).

Read off the published notebook, quirk by quirk; every quirk that a framework decides is an option whose default is the
published value, and the presets lay what the run decides (rates, order of updates, BatchNorm's momentum, initial
weights, translation) over it. `docs/reference/as-published.md` says what each does and what could not be carried over.
It is there to find out what the published results rest on: for everything else there are `vae`, `gan` and `vaegan`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy

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

_ADAM = {"name": "Adam", "options": {"betas": [0.5, 0.999]}}
_MOMENTUM = {"momentum": 0.9, "init": "notebook"}


class Options(Frozen):
    """The published trainers' decisions, which their defaults repeat.

    `game`: which of the three trainers.
    `reduction`: of the VAE's and the VAE-GAN's terms; "mean" is an effective beta of (pixels / latents) / 2 in the VAE.
    `gamma`, `encoder_weight`: VAE-GAN's Dec minimises gamma * llike - gan, its Enc prior + encoder_weight * llike.
    `generator`: GAN's Dec minimises -log(1 - Dis) of its samples, the "inverted" loss, by which it learns to be taken
    for fake; or the "minimax" opposite of Dis's cost.
    `cross_entropy`: of a "sigmoid", which is rounded to 0 or 1 and its logarithm cut off at -100, so that gradients
    vanish; or of the "logits", where they do not.
    `dis_batches`: whether Dis sees data and generated images in separate batches or joined in one.
    `redraw`: whether networks that are recomputed within an iteration see new noise, or the same as before.
    `statistics`: samples and reconstructions with the statistics of their own "batch", because the notebook has no
    evaluation mode, or with the "running" ones.
    """

    game: Literal["vae", "gan", "vaegan"] = "vaegan"
    reduction: Reduction = "mean"
    gamma: float = Field(default=15.0, ge=0)
    encoder_weight: float = Field(default=5.0, ge=0)
    generator: Literal["inverted", "minimax"] = "inverted"
    cross_entropy: Literal["sigmoid", "logits"] = "sigmoid"
    dis_batches: Literal["separate", "joint"] = "separate"
    redraw: bool = True
    statistics: Literal["batch", "running"] = "batch"


class AsPublished(Framework):
    name = "As published"
    Options = Options
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "vae": {
            "options": {"game": "vae"},
            "network": {"options": _MOMENTUM},
            "optimiser": {**_ADAM, "rate": 3e-4},
        },
        "gan": {
            "options": {"game": "gan"},
            "network": {"options": _MOMENTUM},
            "optimiser": {**_ADAM, "rate": 0.04, "rates": {"dis": 0.004}},
            "training": {"updates": "sequential", "order": ["dis", "dis", "dec"]},
        },
        "vaegan": {
            "options": {"game": "vaegan"},
            "network": {"options": {**_MOMENTUM, "init": "notebook-vaegan"}},
            "optimiser": {**_ADAM, "rate": 3e-4, "rates": {"dis": 3e-5}},
            "training": {"updates": "sequential", "order": ["dis", "dec", "enc"]},
        },
    }

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {
            "vae": {"vae": ("enc", "dec")},
            "gan": {"dec": ("dec",), "dis": ("dis",)},
            "vaegan": {"enc": ("enc",), "dec": ("dec",), "dis": ("dis",)},
        }[self.options.game]

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        o = self.options
        if o.game == "vae":
            return {"vae": {"prior": 1.0, "reconstruction": 1.0}}
        if o.game == "gan":
            return {"dec": {"judged_fake": 1.0} if o.generator == "inverted" else {"gan": -1.0}, "dis": {"gan": 1.0}}
        return {
            "enc": {"prior": 1.0, "llike": o.encoder_weight},
            "dec": {"llike": o.gamma, "gan": -1.0},
            "dis": {"gan": 1.0},
        }

    @property
    def batchnorm_mode(self) -> Literal["running", "batch"]:
        return self.options.statistics

    def noise_draw(self, turn: int, players: tuple[str, ...]) -> int:
        """GAN: each update its own; VAE-GAN: Dis and Dec share one, Enc's update has another."""
        if not self.options.redraw or len(players) > 1:
            return 0
        return turn if self.options.game == "gan" else int("enc" in players)

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        return {"vae": self._vae, "gan": self._gan, "vaegan": self._vaegan}[self.options.game](nets, batch)

    def _vae(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        prior, z = self._encode(nets, batch)
        return {
            "prior": prior,
            "reconstruction": squared_error(batch.images, nets["dec"](z), self.options.reduction).mean(),
        }

    def _gan(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        x_p = batch.cut(nets["dec"](batch.noise("z_p")))
        (real, _), (fake, _) = judge(nets["dis"], [batch.images, x_p], self.options.dis_batches)
        judged_fake = self._is_fake(fake)
        return {"gan": self._is_real(real) + judged_fake, "judged_fake": judged_fake}

    def _vaegan(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        prior, z = self._encode(nets, batch)
        x_tilde, x_p = batch.cut(nets["dec"](z)), batch.cut(nets["dec"](batch.noise("z_p")))
        (real, target), (rec, features), (fake, _) = judge(
            nets["dis"], [batch.images, x_tilde, x_p], self.options.dis_batches
        )
        return {
            "prior": prior,
            "llike": squared_error(target, features, self.options.reduction).mean(),
            "gan": self._is_real(real) + self._is_fake(rec) + self._is_fake(fake),
        }

    def _encode(self, nets: nn.ModuleDict, batch: Batch) -> tuple[Tensor, Tensor]:
        """The prior term and a code of each image."""
        mean, log_variance = nets["enc"](batch.images)
        z = reparameterise(mean, log_variance, batch.noise("z"))
        return gaussian_kl(mean, log_variance, self.options.reduction).mean(), z

    def _is_real(self, logits: Tensor) -> Tensor:
        if self.options.cross_entropy == "logits":
            return cross_entropy_real(logits).mean()
        return _of_sigmoid(logits, torch.ones_like(logits))

    def _is_fake(self, logits: Tensor) -> Tensor:
        if self.options.cross_entropy == "logits":
            return cross_entropy_fake(logits).mean()
        return _of_sigmoid(logits, torch.zeros_like(logits))


def _of_sigmoid(logits: Tensor, target: Tensor) -> Tensor:
    """The cross entropy of a rounded sigmoid. PyTorch's raises for NaN, which the trainer has to see for itself."""
    return binary_cross_entropy(logits.sigmoid().nan_to_num(), target) + 0 * logits.sum()


FRAMEWORK = AsPublished
