"""Folding: BatchNorm in evaluation mode, which is a scale and a shift, goes into the layer before it.

A network is folded only if it says `foldable = True`: that only its outputs are looked at, and each `nn.Sequential` in
it is called as a whole, so that nobody sees what lies between a layer and its BatchNorm. Outputs change by the rounding
of float32 alone.
"""

from __future__ import annotations

import itertools

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval


def fold(network: nn.Module) -> None:
    """Fold the BatchNorms of a network, if it is foldable, into the layers just before them, in place.

    A BatchNorm that takes the statistics of each batch stays.
    """
    if not getattr(network, "foldable", False):
        return
    for sequence in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (name, layer), (after, norm) in itertools.pairwise(list(sequence.named_children())):
            if isinstance(norm, _BatchNorm) and norm.track_running_stats and not norm.training:
                if folded := _folded(layer, norm):
                    sequence.add_module(name, folded)
                    sequence.add_module(after, nn.Identity())


def _folded(layer: nn.Module, norm: _BatchNorm) -> nn.Module | None:
    """The layer with the scale and the shift of its BatchNorm in its weights; None for one that is not linear."""
    layer = layer.eval()
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return fuse_conv_bn_eval(layer, norm, transpose=isinstance(layer, nn.ConvTranspose2d))
    return None
