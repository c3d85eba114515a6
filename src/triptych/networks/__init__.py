"""Network families: one file each, every one giving the same three networks to all frameworks.

A family's file defines `Options` (a subclass of `triptych.spec.Frozen`), `build(spec, options, size, channels)`, which
returns {"enc", "dec", "dis"} with

    enc: images [B, C, S, S] -> (mean [B, L], log variance [B, L])
    dec: latents [B, L] -> images [B, C, S, S] in [-1, 1]
    dis: images [B, C, S, S] -> (logits [B], Dis_l features [B, F])

and `initialise(module, options, generator)`, which draws one module's weights. A network may say `foldable = True`
(`triptych.networks.folding`), which makes its evaluation faster. `family = "package.module"` takes such
a file from outside the package.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from triptych import plugins
from triptych.errors import InputError
from triptych.rng import stream
from triptych.spec import Frozen, NetworkSpec, checked

WHERE = "network.family"
NETWORKS = {"enc", "dec", "dis"}


TITLES = {"enc": "Encoder", "dec": "Decoder (generator)", "dis": "Discriminator"}
"""The shared networks as people call them."""


def example_inputs(spec: NetworkSpec, size: int, channels: int, batch: int) -> dict[str, torch.Tensor]:
    """An input of the meta device for each shared network: images [B, C, S, S], or latents [B, L]."""
    images = torch.empty(batch, channels, size, size, device="meta")
    return {"enc": images, "dec": torch.empty(batch, spec.latent, device="meta"), "dis": images}


def options_of(spec: NetworkSpec) -> Frozen:
    """The family's own options, validated; raises InputError for a family whose file is not complete."""
    for name in ("build", "initialise"):
        plugins.function("networks", spec.family, name, WHERE)
    plugins.member("networks", spec.family, "Options", WHERE)
    kind: Any = plugins.options_of("networks", spec.family, Frozen, WHERE)
    return checked(kind, spec.options, "network.options")


def describe(spec: NetworkSpec, size: int, channels: int) -> nn.ModuleDict:
    """The three networks on the meta device: shapes without memory or numbers, at any size."""
    options, build_family = options_of(spec), plugins.function("networks", spec.family, "build", WHERE)
    with torch.device("meta"):
        networks = build_family(spec, options, size, channels)
    complete = isinstance(networks, dict) and networks.keys() == NETWORKS
    if not complete or not all(isinstance(network, nn.Module) for network in networks.values()):
        what = f"`build` of the network family returned {_shown(networks)}, not the three networks"
        raise InputError(what, where=WHERE, value=spec.family, hint='Return {"enc": ..., "dec": ..., "dis": ...}.')
    return nn.ModuleDict(networks)


def _shown(found: object) -> str:
    """What `build` returned, in short."""
    if not isinstance(found, dict):
        return f"a {type(found).__name__}"
    return "{" + ", ".join(f"{key!r}: {type(value).__name__}" for key, value in found.items()) + "}"


def build(spec: NetworkSpec, size: int, channels: int, seed: int, device: str = "cpu") -> nn.ModuleDict:
    """The three networks with the weights that belong to `seed`, the same for every framework and device.

    On the "meta" device there are no weights to draw.
    """
    if device == "meta":
        return describe(spec, size, channels)
    initialise = plugins.function("networks", spec.family, "initialise", WHERE)
    networks = describe(spec, size, channels).to_empty(device="cpu")
    for name, network in networks.items():
        initialise(network, options_of(spec), stream(seed, f"weights/{name}"))
    return networks.to(device)
