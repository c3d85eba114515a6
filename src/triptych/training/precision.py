"""Precision: what the networks compute in while they are trained, a stated choice and part of a run's specification.

"float32"  everything in float32.
"bf16"     convolutions and products in bfloat16, by PyTorch's autocast. What networks give, and so all losses and what
           is reduced to them, is float32; so are weights, gradients, BatchNorm's statistics and the optimiser's state.
           bfloat16 has float32's range, so that no loss is scaled (Kalamkar et al. 2019, arXiv:1905.12322).

A run is scored in float32 whatever it was trained in.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from triptych.spec import Precision


def train_in(precision: Precision, nets: nn.ModuleDict) -> None:
    """Let every network of a state compute in this precision whenever it is called, in place."""
    if precision == "float32":
        return
    for network in nets.values():
        network.__class__ = _lowered(type(network))  # of the class, so that a deep copy computes with its own weights


def _lowered(kind: type[nn.Module]) -> type[nn.Module]:
    """A network's class whose forward computes in bfloat16, from and to tensors of float32."""

    def forward(self: Any, *inputs: Any, **options: Any) -> Any:
        given = [*inputs, *options.values(), *self.parameters()]
        device = next((value.device.type for value in given if isinstance(value, Tensor)), "cpu")
        with torch.autocast(device, torch.bfloat16):
            return _float32(kind.forward(self, *inputs, **options))

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def _float32(outputs: Any) -> Any:
    """The tensors of an output, or of a tuple, list or dictionary of outputs, in float32."""
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    if isinstance(outputs, dict):
        return type(outputs)({name: _float32(value) for name, value in outputs.items()})
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*map(_float32, outputs))
    if isinstance(outputs, tuple | list):
        return type(outputs)(map(_float32, outputs))
    return outputs
