"""Small frameworks as somebody outside the package would write them, each with one thing that the built-in ones lack.

They are found by "toy_frameworks:Critic" and the like, because pytest has this folder on its path.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from triptych.frameworks import Batch, Context, Framework, Turn
from triptych.frameworks.gan import GAN
from triptych.frameworks.vae import VAE
from triptych.spec import Frozen

HIDDEN = 6
"""Hidden units of the critic."""


def critic(pixels: int) -> nn.Module:
    """A score [B, 1] of images: two linear layers."""
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))


def pixels(context: Context) -> int:
    return context.channels * context.size**2


def penalty(network: nn.Module, images: Tensor) -> Tensor:
    """Gulrajani et al. 2017 (arXiv:1704.00028), equation 3: the mean of (|gradient of the score| - 1)^2."""
    images = images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square().mean()


class Watched(Framework):
    """Keeps every batch that its terms have seen."""

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.seen: list[Batch] = []


class Critic(Watched):
    """WGAN-GP: five updates of a critic of its own, each on fresh images, then one of the generator."""

    name = "WGAN-GP"

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"critic": ("critic",), "generator": ("dec",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"critic": {"fake": 1.0, "real": -1.0, "penalty": 10.0}, "generator": {"fake": -1.0}}

    @property
    def turns(self) -> tuple[Turn, ...]:
        return (*(Turn(("critic",)) for _ in range(5)), Turn(("generator",)))

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"critic": context.own("critic", lambda: critic(pixels(context))), "dec": context.shared("dec")}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(batch)
        fake = batch.cut(nets["dec"](batch.noise("z_p")))
        terms = {"fake": nets["critic"](fake).mean()}
        if "critic" in batch.active:
            share = batch.noise("mix", 1, 1, 1, law="uniform")
            terms["real"] = nets["critic"](batch.images).mean()
            terms["penalty"] = penalty(nets["critic"], share * batch.images + (1 - share) * fake)
        return terms


class Stale(Critic):
    """As above, but the generator sees the last batch of the critic."""

    @property
    def turns(self) -> tuple[Turn, ...]:
        return Turn(("critic",)), Turn(("critic",)), Turn(("generator",), fresh=False)


class Twin(Critic):
    """Another framework with a network of the same name, made after one that has drawn random numbers too."""

    def build(self, context: Context) -> dict[str, nn.Module]:
        first = context.own("first", lambda: nn.Linear(3, 3))
        return {**super().build(context), "first": first}


class Unseeded(Critic):
    """A critic made without `context.own`."""

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"critic": critic(pixels(context)).to(context.device), "dec": context.shared("dec")}


class Slope(Watched):
    """The gradient penalty alone, on a critic without biases, which the penalty would not reach."""

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"critic": ("critic",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"critic": {"penalty": 1.0}}

    def build(self, context: Context) -> dict[str, nn.Module]:
        def make() -> nn.Module:
            layers = nn.Linear(pixels(context), HIDDEN, bias=False), nn.Linear(HIDDEN, 1, bias=False)
            return nn.Sequential(nn.Flatten(), layers[0], nn.LeakyReLU(0.2), layers[1])

        return {"critic": context.own("critic", make)}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        return {"penalty": penalty(nets["critic"], batch.images)}


class Conditional(VAE, Watched):
    """A VAE whose decoder is told the class."""

    conditional = True

    def build(self, context: Context) -> dict[str, nn.Module]:
        self.classes = context.classes
        return {"enc": context.shared("enc"), "dec": context.shared("dec", latent=context.latent + context.classes)}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        self.seen.append(batch)
        mean, log_variance = nets["enc"](batch.images)
        made = self.decode(nets, mean + (log_variance / 2).exp() * batch.noise("z"), batch.labels)
        prior = (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
        return {"prior": prior.mean(), "reconstruction": (made - batch.images).square().sum((1, 2, 3)).mean()}

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        assert labels is not None
        return nets["dec"](torch.cat([latents, one_hot(labels, self.classes).to(latents)], 1))


class Autoencoder(Framework):
    """Without a posterior: half of the shared encoder's heads has no use."""

    unused = ("enc.log_variance",)

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"both": ("enc", "dec")}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"both": {"error": 1.0}}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        return {"error": (nets["dec"](nets["enc"](batch.images)[0]) - batch.images).square().mean()}


class Average(GAN):
    """A GAN with a moving average of its generator, which no player owns, and which samples."""

    class Options(GAN.Options):
        decay: float = 0.75

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self.calls: list[tuple[bool, tuple[str, ...]]] = []

    def build(self, context: Context) -> dict[str, nn.Module]:
        shared = super().build(context)
        return {**shared, "average": copy.deepcopy(shared["dec"])}

    def after_update(self, nets: nn.ModuleDict, players: tuple[str, ...]) -> None:
        self.calls.append((torch.is_grad_enabled(), players))
        if "dec" in players:
            for mean, parameter in zip(nets["average"].parameters(), nets["dec"].parameters(), strict=True):
                mean.lerp_(parameter, 1 - self.options.decay)

    def sample(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return nets["average"](latents)


class Energy(Framework):
    """Neither encoder nor decoder nor discriminator: an energy that is low on images and high on noise."""

    class Options(Frozen):
        decay: float = 0.1

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"energy": ("energy",)}

    @property
    def losses(self) -> dict[str, dict[str, float]]:
        return {"energy": {"gap": 1.0, "size": self.options.decay}}

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"energy": context.own("energy", lambda: critic(pixels(context)))}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        low = nets["energy"](batch.images)
        high = nets["energy"](batch.noise("grey", *batch.images.shape[1:], law="uniform") * 2 - 1)
        return {"gap": (low - high).mean(), "size": (low.square() + high.square()).mean()}


class Inner(VAE):
    """A VAE with an option that is called as a part of a run is, and with defaults of its own."""

    class Options(VAE.Options):
        optimiser: str = "sgd"

    defaults = {"optimiser": {"rate": 0.02, "options": {"betas": (0.0, 0.9)}}, "training": {"snapshots": 4}}


class Blended(VAE):
    """A VAE whose networks have names of their own."""

    @property
    def players(self) -> dict[str, tuple[str, ...]]:
        return {"vae": ("reader", "writer")}

    def build(self, context: Context) -> dict[str, nn.Module]:
        return {"reader": context.shared("enc"), "writer": context.shared("dec")}

    def terms(self, nets: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
        return super().terms(nn.ModuleDict({"enc": nets["reader"], "dec": nets["writer"]}), batch)

    def posterior(self, nets: nn.ModuleDict, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        return nets["reader"](images)

    def decode(self, nets: nn.ModuleDict, latents: Tensor, labels: Tensor | None) -> Tensor:
        return nets["writer"](latents)


class Heir(Blended):
    """Nothing of its own."""
