"""Built-in frameworks, each broken on purpose in one way that `triptych check` has to find.

They are found by "broken_frameworks:FixedSeed" and the like, because pytest has this folder on its path.
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from triptych.frameworks import Batch, Context
from triptych.frameworks.gan import GAN
from triptych.frameworks.losses import cross_entropy_fake
from triptych.frameworks.vae import VAE
from triptych.frameworks.vaegan import VAEGAN


class Tinted(GAN):
    """Sound: a GAN whose images go through a layer of its own."""

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"dec": ("dec", "tint"), "dis": ("dis",)}

    def layer(self, context: Context) -> nn.Module:
        return context.own("tint", lambda: nn.Conv2d(context.channels, context.channels, 3, padding=1))

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"dec": context.shared("dec"), "tint": self.layer(context), "dis": context.shared("dis")}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        with_tint: Any = {"dec": lambda latents: self.decode(nets, latents, None), "dis": nets["dis"]}
        return super().terms(with_tint, batch)

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return nets["tint"](nets["dec"](latents)).tanh()


class FixedSeed(Tinted):
    def layer(self, context: Context) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(42)
            return nn.Conv2d(context.channels, context.channels, 3, padding=1).to(context.device)


class GlobalGenerator(VAE):
    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        noisy = batch.images + 0.1 * torch.randn_like(batch.images)
        return super().terms(nets, dataclasses.replace(batch, images=noisy))


class Backward(GAN):
    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        terms = super().terms(nets, batch)
        terms["gan"].backward(retain_graph=True)
        return terms


class Forgetful(VAE):
    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        mean, _ = nets["enc"](batch.images)
        error = (batch.images - nets["dec"](mean)).square().mean()
        return {"prior": mean.square().mean(), "reconstruction": error}


class Recognised(GAN):
    """The course code's generator, which learns to be recognised as fake."""

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"dec": {"recognised": 1.0}, "dis": {"gan": 1.0}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        fake, _ = nets["dis"](nets["dec"](batch.noise("z_p")))
        return {**super().terms(nets, batch), "recognised": cross_entropy_fake(fake).mean()}


class Leaked(VAEGAN):
    """A decoder whose update holds the discriminator's own gradient besides its weighted opposite."""

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        losses = super().losses
        return {**losses, "dec": {"llike": losses["dec"]["llike"], "gan": 1.0 - 0.8}}


class Deaf(VAE):
    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return self.decode(nets, torch.zeros_like(latents), labels)


class Restless(VAE):
    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return self.decode(nets, torch.randn(latents.shape), labels)


class Peeking(VAE):
    """Weights its prior by a number that it reads from a tensor in the middle of a step."""

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        terms = super().terms(nets, batch)
        return {**terms, "prior": terms["prior"] * (1 + batch.images.square().mean().item())}


class Counting(VAE):
    """Warms its prior up by a counter that no checkpoint holds."""

    updates = 0

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        terms = super().terms(nets, batch)
        return {**terms, "prior": terms["prior"] * (1 + self.updates)}

    def after_update(self, nets: nn.ModuleDict, players: tuple[str, ...]) -> None:
        self.updates += 1


class Redrawn(GAN):
    def build(self, context: Context) -> dict[str, nn.Module]:
        def fresh() -> nn.Module:
            dec = copy.deepcopy(context.shared("dec"))
            for layer in dec.modules():
                if isinstance(layer, (nn.Linear, nn.ConvTranspose2d, nn.Conv2d)):
                    layer.reset_parameters()
            return dec

        return {"dec": context.own("dec", fresh), "dis": context.shared("dis")}


class Squeezed(VAE):
    def encode(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> Tensor:
        return super().encode(nets, images, labels).squeeze()


class Glaring(VAE):
    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return 3 + super().decode(nets, latents, labels)
