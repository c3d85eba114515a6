"""The convolutions with few channels give PyTorch's values and gradients, in their own faster forms."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from triptych.networks import convolution
from triptych.networks.convolution import Conv2d, ConvTranspose2d

CHANNELS = [(1, 4), (1, 8), (1, 16), (3, 4), (3, 8), (4, 16), (8, 16), (16, 32)]
LAYERS = [(5, 2, 2), (5, 1, 2), (6, 2, 2), (3, 1, 1)]
"""Kernel, stride and padding."""


def pair(kind: type, channels: tuple[int, int], layer: tuple[int, int, int], bias: bool) -> tuple[nn.Module, nn.Module]:
    """Our layer in float32, and PyTorch's with the same numbers in float64."""
    torch.manual_seed(0)
    ours = kind(*channels, *layer, bias=bias)
    plain = {Conv2d: nn.Conv2d, ConvTranspose2d: nn.ConvTranspose2d}[kind](*channels, *layer, bias=bias).double()
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def gradients(layer: nn.Module, x: torch.Tensor, slope: torch.Tensor) -> list[torch.Tensor]:
    """The output, the gradients of (output * slope).sum(), and those of their squares: what a penalty needs."""
    x = x.clone().requires_grad_()
    output = layer(x)
    inputs = [x, *layer.parameters()]
    once = torch.autograd.grad((output * slope).sum(), inputs, create_graph=True)
    twice = torch.autograd.grad(once[0].square().sum(), [layer.weight])
    return [output, *once, *twice]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
def test_values_and_gradients_are_those_of_pytorch(kind: type, layer: tuple[int, int, int], bias: bool) -> None:
    for (few, many), side in itertools.product(CHANNELS, (8, 10)):
        channels = (few, many) if kind is Conv2d else (many, few)
        ours, plain = pair(kind, channels, layer, bias)
        x = torch.randn(3, channels[0], side, side)
        slope = torch.randn(plain(x.double()).shape)
        found, exact = gradients(ours, x, slope), gradients(plain, x.double(), slope.double())
        for value, right in zip(found, exact, strict=True):
            assert value.shape == right.shape
            assert (value.double() - right).abs().max() <= 3e-6 * right.abs().max().clamp(min=1)


def test_each_fast_form_is_used_where_it_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    for name in ("_by_phases", "_in_blocks"):
        form = getattr(convolution, name)
        monkeypatch.setattr(convolution, name, lambda *a, form=form, name=name: used.append(name) or form(*a))
    cases = {
        ConvTranspose2d(16, 4, 6, 2, 2): "_by_phases",
        ConvTranspose2d(32, 8, 6, 2, 2): "_by_phases",
        ConvTranspose2d(4, 1, 5, 1, 2): "_in_blocks",
        Conv2d(1, 4, 5, 1, 2): "_in_blocks",
        Conv2d(4, 16, 5, 2, 2): "_by_phases",
        ConvTranspose2d(64, 32, 6, 2, 2): None,
        Conv2d(64, 128, 5, 2, 2): None,
    }
    for layer, form in cases.items():
        used.clear()
        x = torch.randn(2, layer.in_channels, 16, 16, requires_grad=True)
        layer(x).sum().backward()
        assert set(used) == ({form} if form else set()), layer


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(1, 4, 5, 1, 2, groups=1, dilation=2),
        Conv2d(4, 4, 5, 1, 2, groups=4),
        Conv2d(1, 4, 5, 1, 2, padding_mode="reflect"),
        Conv2d(1, 4, (5, 3), 1, (2, 1)),
        Conv2d(1, 4, 5, 1, "same"),
        ConvTranspose2d(4, 1, 6, 2, 2, output_padding=1),
    ],
    ids=["dilation", "groups", "reflect", "oblong", "same", "output padding"],
)
def test_what_the_fast_forms_do_not_know_is_left_to_pytorch(layer: nn.Module) -> None:
    x = torch.randn(2, layer.in_channels, 8, 8)
    plain = nn.Conv2d.forward if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d.forward
    assert torch.equal(layer(x), plain(layer, x))


def test_oblong_images_and_lower_precision_are_left_to_pytorch() -> None:
    layer = ConvTranspose2d(4, 1, 5, padding=2)
    x = torch.randn(2, 4, 8, 12)
    assert torch.equal(layer(x), F.conv_transpose2d(x, layer.weight, layer.bias, padding=2))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16


def test_the_same_input_gives_the_same_bits() -> None:
    layer = Conv2d(1, 4, 5, padding=2)
    x, slope = torch.randn(64, 1, 32, 32), torch.randn(64, 4, 32, 32)
    first, second = gradients(layer, x, slope), gradients(layer, x, slope)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("layer", [Conv2d(1, 4, 5, 1, 2), ConvTranspose2d(16, 4, 6, 2, 2)])
def test_only_the_gradient_that_is_asked_for_is_computed(layer: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    for name in ("weight_gradient", "spread"):
        form = getattr(convolution, name)
        monkeypatch.setattr(convolution, name, lambda *a, form=form, name=name: done.append(name) or form(*a))
    gathers = F.conv2d
    monkeypatch.setattr(convolution.F, "conv2d", lambda *a, **b: done.append("conv2d") or gathers(*a, **b))
    x = torch.randn(2, layer.in_channels, 8, 8, requires_grad=True)
    total = layer(x).sum()
    done.clear()
    torch.autograd.grad(total, layer.weight, retain_graph=True)
    assert done == ["weight_gradient"]
    done.clear()
    torch.autograd.grad(total, x, retain_graph=True)
    assert done and "weight_gradient" not in done


def test_a_weight_that_changes_before_backward_is_an_error() -> None:
    layer = Conv2d(1, 4, 5, 1, 2)
    x = torch.randn(2, 1, 8, 8, requires_grad=True)
    total = layer(x).sum()
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        total.backward()


@pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")  # of torch.func.jvp itself
def test_torch_func_works_with_few_channels() -> None:
    layer, x = Conv2d(1, 4, 5, 1, 2).requires_grad_(False), torch.randn(2, 1, 8, 8)
    slopes = torch.func.grad(lambda images: layer(images).square().sum())(x)
    images = x.clone().requires_grad_()
    torch.testing.assert_close(slopes, torch.autograd.grad(layer(images).square().sum(), images)[0])
    _, forward = torch.func.jvp(layer, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(forward, F.conv2d(torch.ones_like(x), layer.weight, padding=2), rtol=1e-4, atol=1e-5)
    assert torch.equal(torch.vmap(layer)(x[None])[0], F.conv2d(x, layer.weight, layer.bias, padding=2))
