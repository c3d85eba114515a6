"""Network families: one file each, every one giving the same three networks to all frameworks.

A family's file defines `Options` (a pydantic model of its own options), `build(spec, options, size, channels)`, which
returns {"enc", "dec", "dis"} with

    enc: images [B, C, S, S] -> (mean [B, L], log variance [B, L])
    dec: latents [B, L] -> images [B, C, S, S] in [-1, 1]
    dis: images [B, C, S, S] -> (logits [B], Dis_l features [B, F])

and `initialise(module, options, generator)`, which draws one module's weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from triptych import plugins
from triptych.rng import stream
from triptych.spec import Frozen, NetworkSpec, checked


def options_of(spec: NetworkSpec) -> Frozen:
    """The family's own options, validated."""
    kind: Any = plugins.find("networks", spec.family, "Options", "network.family")
    return checked(kind, spec.options, "network.options")


def describe(spec: NetworkSpec, size: int, channels: int) -> nn.ModuleDict:
    """The three networks on the meta device: shapes without memory or numbers, at any size."""
    family: Any = plugins.find("networks", spec.family, "build", "network.family")
    with torch.device("meta"):
        return nn.ModuleDict(family(spec, options_of(spec), size, channels))


def build(spec: NetworkSpec, size: int, channels: int, seed: int, device: str = "cpu") -> nn.ModuleDict:
    """The three networks with the weights that belong to `seed`, the same for every framework and device.

    On the "meta" device there are no weights to draw.
    """
    if device == "meta":
        return describe(spec, size, channels)
    initialise: Any = plugins.find("networks", spec.family, "initialise", "network.family")
    networks = describe(spec, size, channels).to_empty(device="cpu")
    for name, network in networks.items():
        initialise(network, options_of(spec), stream(seed, f"weights/{name}"))
    return networks.to(device)
