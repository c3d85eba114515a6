"""Precision: what the networks compute in while they are trained, a stated choice and part of a run's specification.

"float32"  everything in float32.
"bf16"     convolutions and products in bfloat16, by PyTorch's autocast. What networks give, and so all losses and what
           is reduced to them, is float32; so are weights, gradients, BatchNorm's statistics and the optimiser's state.
           bfloat16 has float32's range, so that no loss is scaled (Kalamkar et al. 2019, arXiv:1905.12322).

A run is scored in float32 whatever it was trained in.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from triptych.spec import Precision


def train_in(precision: Precision, nets: nn.ModuleDict) -> None:
    """Let every network of a state compute in this precision whenever it is called, in place."""
    if precision == "float32":
        return
    for network in nets.values():
        network.forward = _lower(network.forward)


def _lower(forward: Any) -> Any:
    """The forward of a network in bfloat16, from and to tensors of float32."""

    @wraps(forward)
    def lowered(*inputs: Any, **options: Any) -> Any:
        device = next((value.device.type for value in inputs if isinstance(value, Tensor)), "cpu")
        with torch.autocast(device, torch.bfloat16):
            return _float32(forward(*inputs, **options))

    return lowered


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
