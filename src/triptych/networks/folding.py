"""Folding: BatchNorm in evaluation mode, which is a scale and a shift, goes into the layer before it.

A network is folded only if it says `foldable = True`: that only its outputs are looked at, that each `nn.Sequential` in
it is called as a whole, and that each `nn.Linear` before a BatchNorm gets rows [B, features]. Outputs then change by
the rounding of float32 alone. A convolution is folded with BatchNorm2d, a linear layer with BatchNorm1d; what is used
twice, has hooks or is parametrised (spectral norm) stays.
"""

from __future__ import annotations

import itertools
from collections import Counter

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.nn.utils.parametrize import is_parametrized


def fold(network: nn.Module) -> None:
    """Fold the BatchNorms of a network, if it is foldable, into the layers just before them, in place.

    A BatchNorm that takes the statistics of each batch stays.
    """
    if not getattr(network, "foldable", False):
        return
    parents = list(network.modules())
    uses = Counter(id(child) for parent in parents for child in parent._modules.values())
    for sequential in [module for module in parents if isinstance(module, nn.Sequential)]:
        for (name, layer), (after, norm) in itertools.pairwise(list(sequential._modules.items())):
            if layer is None or norm is None or uses[id(layer)] > 1 or uses[id(norm)] > 1:
                continue
            if not _is_watched(layer) and not _is_watched(norm) and (folded := _folded(layer, norm)):
                sequential.add_module(name, folded)
                sequential.add_module(after, nn.Identity())


def _is_watched(module: nn.Module) -> bool:
    """Whether something else takes part in what the module computes, or looks at it."""
    return is_parametrized(module) or bool(module._forward_hooks or module._forward_pre_hooks)


def _folded(layer: nn.Module, norm: nn.Module) -> nn.Module | None:
    """The layer with the scale and the shift of its BatchNorm in its weights; None where these do not go together."""
    kind = nn.BatchNorm1d if isinstance(layer, nn.Linear) else nn.BatchNorm2d
    if not isinstance(norm, kind) or norm.training or not norm.track_running_stats or norm.running_mean is None:
        return None
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer.eval(), norm)
    if isinstance(layer, nn.Conv2d):
        return fuse_conv_bn_eval(layer.eval(), norm)
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1:
        return fuse_conv_bn_eval(layer.eval(), norm, transpose=True)
    return None
