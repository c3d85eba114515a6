"""Convolutions with few channels, in forms that a processor's library computes fast.

`Conv2d` and `ConvTranspose2d` are PyTorch's, with the same parameters and, up to the rounding of float32, the same
values. oneDNN, which computes PyTorch's convolutions on a CPU, is made for many channels: with one to eight of them
it falls to a tenth of what it reaches else, and that is where images come in and go out. There, and only on a CPU in
float32, an equal sum is computed in another order (docs/performance.md has the figures):

- Spreading with stride 2 (a transposed convolution, or the gradient for the input of a strided one): each of the four
  pixels that lie between two inputs has 3 x 3 weights of its own, so it is one convolution to four times the channels,
  whose pixels are then shuffled (Shi et al., "Real-time single image super-resolution", 2016, section 3.2).
- Spreading with stride 1 to a single channel: a convolution with the mirrored weights that gives 4 x 4 pixels at once.
- The gradient for the weights, where the wide side has 1 or 4 channels: with channels last.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function, forward_ad
from torch.nn import functional as F

Geometry = tuple[int, int]
"""Stride and padding, the same in both directions."""


class Conv2d(nn.Conv2d):
    """PyTorch's, fast with few channels."""

    def forward(self, input: Tensor) -> Tensor:
        shape = _shape(self)
        if shape is None or not _is_plain(input, self.weight) or not _gains(self.weight, shape):
            return super().forward(input)
        return convolved(input, self.weight, self.bias, shape, None)


class ConvTranspose2d(nn.ConvTranspose2d):
    """PyTorch's, fast with few channels."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        shape = _shape(self)
        plain = output_size is None and not any(map(int, self.output_padding))
        if shape is None or not plain or not _is_plain(input, self.weight) or not _gains(self.weight, shape):
            return super().forward(input, output_size)
        side = (input.shape[-1] - 1) * shape[0] - 2 * shape[1] + self.kernel_size[0]
        return convolved(input, self.weight, self.bias, shape, side)


def _shape(layer: nn.Conv2d | nn.ConvTranspose2d) -> Geometry | None:
    """Stride and padding of a layer without groups, dilation or other padding than zeros, the same both ways."""
    if layer.groups != 1 or layer.dilation != (1, 1) or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    sizes = [layer.kernel_size, layer.stride, layer.padding]
    return None if any(a != b for a, b in sizes) else (layer.stride[0], layer.padding[0])  # type: ignore[return-value]


_left_to_pytorch: ContextVar[bool] = ContextVar("_left_to_pytorch", default=False)


@contextmanager
def as_pytorch() -> Iterator[None]:
    """Let the layers compute as PyTorch's own in the block: to count FLOPs, of which the fast forms take a few more, or
    to see what they gain.
    """
    token = _left_to_pytorch.set(True)
    try:
        yield
    finally:
        _left_to_pytorch.reset(token)


def _is_plain(x: Tensor, weight: Tensor) -> bool:
    """Whether these are square images in float32 on a CPU, with nothing around that changes what is computed."""
    return (
        not _left_to_pytorch.get()
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.ndim == 4
        and x.shape[-1] == x.shape[-2]
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._get_tracing_state()
        and not torch._C._are_functorch_transforms_active()
        and forward_ad._current_level < 0
    )


def _gains(weight: Tensor, shape: Geometry) -> bool:
    return _spreads_by_phases(weight, shape) or _spreads_in_blocks(weight, shape) or _is_last_faster(weight)


def _spreads_by_phases(weight: Tensor, shape: Geometry) -> bool:
    """Of weights [N, W, k, k], with N channels on the narrow side and W on the wide one: measured, not derived."""
    narrow, wide, kernel, _ = weight.shape
    return shape == (2, 2) and kernel in (5, 6) and wide <= 8 and narrow * wide <= (256 if kernel == 6 else 128)


def _spreads_in_blocks(weight: Tensor, shape: Geometry) -> bool:
    narrow, wide, kernel, _ = weight.shape
    return wide == 1 and narrow <= 16 and shape == (1, kernel // 2) and kernel % 2 == 1


def _is_last_faster(weight: Tensor) -> bool:
    return weight.shape[1] in (1, 4) and weight.shape[0] <= 32


def spread(y: Tensor, weight: Tensor, bias: Tensor | None, shape: Geometry, side: int) -> Tensor:
    """[B, N, s, s] to [B, W, S, S] with S = `side`, by weights [N, W, k, k]: the transpose of a convolution."""
    stride, padding = shape
    if _spreads_by_phases(weight, shape) and side == 2 * y.shape[-1]:
        return _by_phases(y, weight, bias)
    if _spreads_in_blocks(weight, shape) and side % BLOCK == 0:
        return _in_blocks(y, weight, bias)
    rest = side - ((y.shape[-1] - 1) * stride - 2 * padding + weight.shape[-1])
    return F.conv_transpose2d(y, weight, bias, stride, padding, rest)


def _by_phases(y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Stride 2, padding 2: the pixel 2q + a sums y[q + 1 - m] times weight[2m + a] over m = 0, 1, 2."""
    narrow, wide, kernel, _ = weight.shape
    even = F.pad(weight, (0, 6 - kernel, 0, 6 - kernel)) if kernel < 6 else weight
    phases = even.view(narrow, wide, 3, 2, 3, 2).flip(2, 4).permute(1, 3, 5, 0, 2, 4)
    four = None if bias is None else bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(y, phases.reshape(4 * wide, narrow, 3, 3), four, padding=1), 2)


BLOCK = 4
"""So many pixels in each direction that one window of `_in_blocks` gives at once."""


def _in_blocks(y: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Stride 1, one channel: of each window, the weights of one pixel are those of its neighbour moved by one."""
    mirrored, more = weight.flip(2, 3)[:, 0], BLOCK - 1
    moved = [F.pad(mirrored, (a, more - a, b, more - b)) for b in range(BLOCK) for a in range(BLOCK)]
    windows = torch.stack(moved).contiguous(memory_format=torch.channels_last)
    narrow_last = y.contiguous(memory_format=torch.channels_last)
    equal = None if bias is None else bias.repeat(BLOCK**2)
    pixels = F.conv2d(narrow_last, windows, equal, stride=BLOCK, padding=weight.shape[-1] // 2)
    return F.pixel_shuffle(pixels, BLOCK).contiguous()


def weight_gradient(x: Tensor, y: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
    """The gradient [N, W, k, k] of sum(conv2d(x, weight) * y), from x [B, W, S, S] and y [B, N, s, s]."""
    stride, padding = shape
    if _is_last_faster(weight):
        # not contiguous(): with a single channel an image counts as channels last already, and its strides stay
        x, y, weight = (value.to(memory_format=torch.channels_last) for value in (x, y, weight))
    found = torch.ops.aten.convolution_backward(
        y, x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [False, True, False]
    )
    return found[1].contiguous()


def convolved(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Geometry, side: int | None) -> Tensor:
    """The convolution of x [B, W, S, S] with weights [N, W, k, k]; with a `side`, what `spread` gives of [B, N, s, s].

    Two nodes of the graph add up to it, one for the input and one for weights and bias: a backward pass that asks for
    one of the gradients alone then computes one alone, as with PyTorch's own node, which a `Function` cannot be told.
    """
    learns = weight.requires_grad or (bias is not None and bias.requires_grad)
    if not torch.is_grad_enabled() or not (learns or x.requires_grad):
        return _value(x, weight, bias, shape, side)
    if not learns:
        return _ByInput.apply(x, (weight, bias), shape, side)
    values = _ByInput.apply(x, (weight, None), shape, side)
    return values.add_(_ByWeights.apply(weight, bias, (x,), shape, side is not None, values.shape))


def _value(x: Tensor, weight: Tensor, bias: Tensor | None, shape: Geometry, side: int | None) -> Tensor:
    return F.conv2d(x, weight, bias, *shape) if side is None else spread(x, weight, bias, shape, side)


class _ByInput(Function):
    """The whole value; its gradient goes to the input, and is differentiable again by the weights, too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, held: tuple[Tensor, Tensor | None], shape: Geometry, side: int | None) -> Tensor:
        weight, bias = held
        ctx.held, ctx.shape, ctx.side = weight, shape, x.shape[-1] if side is None else None
        ctx.save_for_backward(weight.detach())  # which shares its version: a change before backward is an error
        return _value(x, weight, bias, shape, side)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        return convolved(slopes[0], ctx.held, None, ctx.shape, ctx.side), None, None, None


class _ByWeights(Function):
    """The bias alone, or nothing; its gradients are those of the weights and of the bias."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        bias: Tensor | None,
        held: tuple[Tensor],
        shape: Geometry,
        spreads: bool,
        size: torch.Size,
    ) -> Tensor:
        ctx.held, ctx.shape, ctx.spreads = held[0], shape, spreads
        ctx.save_for_backward(weight, held[0].detach())
        return (weight.new_zeros(()) if bias is None else bias.view(1, -1, 1, 1)).expand(size)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        (weight, _), (slope,), wanted = ctx.saved_tensors, slopes, ctx.needs_input_grad
        wide, narrow = (slope, ctx.held) if ctx.spreads else (ctx.held, slope)
        by_weight = weight_gradient(wide, narrow, weight, ctx.shape) if wanted[0] else None
        return by_weight, slope.sum((0, 2, 3)) if wanted[1] else None, None, None, None, None
