"""The paper's encoder, decoder and discriminator, at any size, width, channel count and latent dimension.

Source: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021), appendices A to C, and the code that it extends. At
size 64, width 1, one channel and 128 latent dimensions they have 35,112,064, 5,834,753 and 10,953,409 parameters.
Deviation: Dis returns logits, and the sigmoid is part of the losses, where it can be computed without overflow.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from triptych.errors import InputError
from triptych.networks.convolution import Conv2d, ConvTranspose2d
from triptych.spec import Frozen, NetworkSpec


class Options(Frozen):
    """Where Dis_l is read, how weights start, and BatchNorm's momentum (PyTorch's convention: weight of the new).

    `tap_layer` counts Dis's four convolutions from 1; `tap_point` reads after the convolution itself, after its
    BatchNorm, or after its LeakyReLU. `init` "dcgan" draws weights from N(0, 0.02) and BatchNorm scales from
    N(1, 0.02) (Radford et al. 2016); "torch" is PyTorch's own. "notebook" is that of the paper's code: linear layers
    and all biases as "torch", the rest as "dcgan"; "notebook-vaegan" leaves Dis to "torch", as its VAE-GAN does.
    """

    tap_layer: int = Field(default=4, ge=1, le=4)
    tap_point: Literal["convolution", "norm", "activation"] = "activation"
    init: Literal["dcgan", "torch", "notebook", "notebook-vaegan"] = "dcgan"
    momentum: float = Field(default=0.1, gt=0, le=1)

    @model_validator(mode="after")
    def _first_layer_has_no_norm(self) -> Options:
        if self.tap_layer == 1 and self.tap_point == "norm":
            raise ValueError("Dis's first convolution has no BatchNorm: tap_point must be convolution or activation")
        return self


def _block(layer: nn.Module, norm: nn.Module | None) -> nn.Sequential:
    """A layer, its BatchNorm if it has one, and LeakyReLU(0.2)."""
    stages = {"linear" if isinstance(layer, nn.Linear) else "convolution": layer, "norm": norm}
    present = OrderedDict((name, stage) for name, stage in stages.items() if stage is not None)
    return nn.Sequential(OrderedDict(present, activation=nn.LeakyReLU(0.2)))


class Encoder(nn.Module):
    """Images [B, C, S, S] to the mean and log variance [B, L] of q(z|x)."""

    foldable = True

    def __init__(self, size: int, channels: int, widths: list[int], hidden: int, latent: int, momentum: float) -> None:
        super().__init__()
        convolutions = [
            _block(Conv2d(before, after, 5, stride=2, padding=2), nn.BatchNorm2d(after, momentum=momentum))
            for before, after in itertools.pairwise([channels, *widths])
        ]
        flat = widths[-1] * (size // 8) ** 2
        self.body = nn.Sequential(
            *convolutions,
            nn.Flatten(),
            _block(nn.Linear(flat, hidden), nn.BatchNorm1d(hidden, momentum=momentum)),
        )
        self.mean = nn.Linear(hidden, latent)
        self.log_variance = nn.Linear(hidden, latent)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


class Decoder(nn.Module):
    """Latents [B, L] to images [B, C, S, S] in [-1, 1]; the GAN's generator is this network."""

    foldable = True

    def __init__(self, size: int, channels: int, widths: list[int], latent: int, momentum: float) -> None:
        super().__init__()
        side, flat = size // 8, widths[0] * (size // 8) ** 2
        upsampling = [
            _block(
                ConvTranspose2d(before, after, 6, stride=2, padding=2),
                nn.BatchNorm2d(after, momentum=momentum),
            )
            for before, after in itertools.pairwise(widths)
        ]
        self.body = nn.Sequential(
            _block(nn.Linear(latent, flat), nn.BatchNorm1d(flat, momentum=momentum)),
            nn.Unflatten(1, (widths[0], side, side)),
            *upsampling,
            ConvTranspose2d(widths[-1], channels, 5, padding=2),
            nn.Tanh(),
        )

    def forward(self, latents: Tensor) -> Tensor:
        return self.body(latents)


class Discriminator(nn.Module):
    """Images [B, C, S, S] to the logit that each is real, [B], and its Dis_l features, [B, F]."""

    def __init__(self, size: int, channels: int, widths: list[int], hidden: int, options: Options) -> None:
        super().__init__()
        self.tap = (options.tap_layer - 1, options.tap_point)
        first = _block(Conv2d(channels, widths[0], 5, padding=2), None)
        strided = [
            _block(
                Conv2d(before, after, 5, stride=2, padding=2),
                nn.BatchNorm2d(after, momentum=options.momentum),
            )
            for before, after in itertools.pairwise(widths)
        ]
        flat = widths[-1] * (size // 8) ** 2
        self.convolutions = nn.ModuleList([first, *strided])
        self.head = nn.Sequential(
            nn.Flatten(),
            _block(nn.Linear(flat, hidden), nn.BatchNorm1d(hidden, momentum=options.momentum)),
            nn.Linear(hidden, 1),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = hidden = images
        tap_layer, tap_point = self.tap
        for index, convolution in enumerate(self.convolutions):
            for name, stage in convolution.named_children():
                hidden = stage(hidden)
                if index == tap_layer and name == tap_point:
                    features = hidden
        return self.head(hidden).squeeze(1), features.flatten(1)


def build(spec: NetworkSpec, options: Options, size: int, channels: int) -> dict[str, nn.Module]:
    """The three networks with `spec.width` times the paper's channels (rounded, at least 1).

    Raises InputError for a side that cannot be halved three times.
    """
    if size % 8:
        raise InputError("the conv networks need a multiple of 8", where="data.size", value=size)

    def scaled(*widths: int) -> list[int]:
        return [max(1, round(width * spec.width)) for width in widths]

    return {
        "enc": Encoder(size, channels, scaled(64, 128, 256), scaled(2048)[0], spec.latent, options.momentum),
        "dec": Decoder(size, channels, scaled(256, 256, 128, 32), spec.latent, options.momentum),
        "dis": Discriminator(size, channels, scaled(32, 128, 256, 256), scaled(512)[0], options),
    }


@torch.no_grad()
def initialise(module: nn.Module, options: Options, generator: torch.Generator) -> None:
    """Draw every weight of one network from `generator`, in the order in which its layers stand."""
    init = options.init
    if init == "notebook-vaegan":
        init = "torch" if isinstance(module, Discriminator) else "notebook"
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            if init == "torch":
                layer.weight.fill_(1)
            else:
                layer.weight.normal_(1, 0.02, generator=generator)
            layer.bias.zero_()
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            assert layer.bias is not None
            if init == "dcgan" or (init == "notebook" and not isinstance(layer, nn.Linear)):
                layer.weight.normal_(0, 0.02, generator=generator)
            else:
                nn.init.kaiming_uniform_(layer.weight, a=5**0.5, generator=generator)
            if init == "dcgan":
                layer.bias.zero_()
            else:
                fan_in, _ = nn.init._calculate_fan_in_and_fan_out(layer.weight)
                layer.bias.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)
