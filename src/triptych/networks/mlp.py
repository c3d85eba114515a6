"""Fully connected encoder, decoder and discriminator, at any size and channel count.

Source: Wu et al. 2017 (arXiv:1611.04273), section 5.2, and the authors' published code: decoders 50-1024-1024-1024-784
and 10-64-256-256-1024-784, tanh after each hidden layer of Enc and Dec. Their output is a sigmoid in [0, 1]; ours is
the tanh of it in [-1, 1], the same functions with the last weights halved. They do not publish their discriminator:
ours has Dec's layers backwards with LeakyReLU unless `dis_hidden` says otherwise. No layer has BatchNorm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from triptych.spec import Frozen, NetworkSpec

Units = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=16)]
Activation = Literal["tanh", "relu", "leaky_relu"]
ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.2)}


class Options(Frozen):
    """The units of each hidden layer, before `network.width` scales them, in the order in which a network runs.

    `hidden` are Dec's; Enc and Dis have the same backwards unless `enc_hidden` and `dis_hidden` give their own.
    `activation` is Enc's and Dec's. `tap_layer` counts Dis's hidden layers from 1, the last when None: Dis_l is that
    layer after its activation.
    """

    hidden: Units = (1024, 1024, 1024)
    enc_hidden: Units | None = None
    dis_hidden: Units | None = None
    activation: Activation = "tanh"
    dis_activation: Activation = "leaky_relu"
    tap_layer: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _the_tap_exists(self) -> Options:
        layers = len(self.dis_hidden or self.hidden)
        if self.tap_layer is not None and self.tap_layer > layers:
            raise ValueError(f"tap_layer is {self.tap_layer}, but Dis has {layers} hidden layers")
        return self


def _layers(units: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Linear layers between neighbouring `units`, each with its activation."""
    return [
        module
        for before, after in itertools.pairwise(units)
        for module in (nn.Linear(before, after), ACTIVATIONS[activation]())
    ]


class Encoder(nn.Module):
    """Images [B, C, S, S] to the mean and log variance [B, L] of q(z|x)."""

    def __init__(self, pixels: int, hidden: Sequence[int], latent: int, activation: Activation) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), *_layers([pixels, *hidden], activation))
        self.mean = nn.Linear(hidden[-1], latent)
        self.log_variance = nn.Linear(hidden[-1], latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(nn.Module):
    """Latents [B, L] to images [B, C, S, S] in [-1, 1]; the GAN's generator is this network."""

    def __init__(self, shape: tuple[int, int, int], hidden: Sequence[int], latent: int, activation: Activation) -> None:
        super().__init__()
        channels, side, _ = shape
        self.body = nn.Sequential(
            *_layers([latent, *hidden], activation),
            nn.Linear(hidden[-1], channels * side * side),
            nn.Tanh(),
            nn.Unflatten(1, shape),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class Discriminator(nn.Module):
    """Images [B, C, S, S] to the logit that each is real, [B], and its Dis_l features, [B, F]."""

    def __init__(self, pixels: int, hidden: Sequence[int], tap_layer: int, activation: Activation) -> None:
        super().__init__()
        layers = _layers([pixels, *hidden], activation)
        self.to_features = nn.Sequential(nn.Flatten(), *layers[: 2 * tap_layer])
        self.to_logit = nn.Sequential(*layers[2 * tap_layer :], nn.Linear(hidden[-1], 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.to_features(images)
        return self.to_logit(features).squeeze(1), features


def build(spec: NetworkSpec, options: Options, size: int, channels: int) -> dict[str, nn.Module]:
    """The three networks with `spec.width` times the hidden units (rounded, at least 1)."""

    def scaled(units: Sequence[int]) -> list[int]:
        return [max(1, round(count * spec.width)) for count in units]

    pixels, backwards = channels * size * size, options.hidden[::-1]
    enc, dis = scaled(options.enc_hidden or backwards), scaled(options.dis_hidden or backwards)
    return {
        "enc": Encoder(pixels, enc, spec.latent, options.activation),
        "dec": Decoder((channels, size, size), scaled(options.hidden), spec.latent, options.activation),
        "dis": Discriminator(pixels, dis, options.tap_layer or len(dis), options.dis_activation),
    }


@torch.no_grad()
def initialise(module: nn.Module, options: Options, generator: torch.Generator) -> None:
    """Draw one network's weights from Glorot's uniform distribution (Glorot and Bengio 2010), biases zero."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            layer.bias.zero_()
