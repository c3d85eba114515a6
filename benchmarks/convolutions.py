"""The convolutions of the `conv` networks, PyTorch's form beside ours: processor microseconds per image.

    python benchmarks/convolutions.py [--width 0.125 0.25] [--size 32] [--channels 1] [--batch 64]

One line per layer that `triptych.networks.convolution` computes in forms of its own: the value, the gradient for the
input and that for the weights, each in both forms in turn, the median of nine rounds on one thread.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from triptych import networks
from triptych.networks.convolution import Conv2d, ConvTranspose2d
from triptych.spec import NetworkSpec

ROUNDS, REPEATS = 9, 3
Work = Callable[[], object]


def seconds(work: Work) -> float:
    start = time.process_time()
    for _ in range(REPEATS):
        work()
    return (time.process_time() - start) / REPEATS


def ratio(plain: Work, ours: Work) -> tuple[float, float, float]:
    """The median seconds of both, and the median of their ratios, measured in turn."""
    plain(), ours()
    rounds = [(seconds(plain), seconds(ours)) for _ in range(ROUNDS)]
    a, b = (statistics.median(column) for column in zip(*rounds, strict=True))
    return a, b, statistics.median(first / second for first, second in rounds)


def works(layer: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> list[Work]:
    """The value, the gradient for the input, and that for the weights of one form of a layer."""
    with torch.no_grad():
        slope = torch.ones_like(forward(x))

    def value() -> None:
        with torch.no_grad():
            forward(x)

    free, held = x.clone().requires_grad_(), x.clone()
    by_input = forward(free)
    by_weight = forward(held)
    return [
        value,
        lambda: torch.autograd.grad(by_input, free, slope, retain_graph=True),
        lambda: torch.autograd.grad(by_weight, layer.weight, slope, retain_graph=True),
    ]


def layers(network: nn.Module, inputs: Tensor) -> list[tuple[nn.Module, Tensor]]:
    """The convolutions of a network with what they are given."""
    found: list[tuple[nn.Module, Tensor]] = []
    ours = [module for module in network.modules() if isinstance(module, Conv2d | ConvTranspose2d)]
    hooks = [m.register_forward_hook(lambda layer, given, _: found.append((layer, given[0].detach()))) for m in ours]
    with torch.no_grad():
        network(inputs)
    for hook in hooks:
        hook.remove()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, nargs="+", default=[0.125, 0.25])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    print("| width | layer | value | for the input | for the weights |\n|---|---|---|---|---|")
    for width in asked.width:
        spec = NetworkSpec(width=width)
        nets = networks.build(spec, asked.size, asked.channels, seed=0)
        images = torch.rand(asked.batch, asked.channels, asked.size, asked.size) * 2 - 1
        for name, given in (("enc", images), ("dec", torch.randn(asked.batch, spec.latent)), ("dis", images)):
            for layer, x in layers(nets[name], given):
                plain = nn.Conv2d if isinstance(layer, nn.Conv2d) else nn.ConvTranspose2d
                both = (
                    works(layer, lambda x, layer=layer, plain=plain: plain.forward(layer, x), x),
                    works(layer, layer, x),
                )
                cells = []
                for pair in zip(*both, strict=True):
                    a, b, times = ratio(*pair)
                    cells.append(f"{1e6 * a / asked.batch:.0f} / {1e6 * b / asked.batch:.0f} = {times:.1f}")
                shape = f"{layer.in_channels} to {layer.out_channels}, {layer.kernel_size[0]} x {layer.kernel_size[0]}"
                kind = "transposed, " if isinstance(layer, nn.ConvTranspose2d) else ""
                print(f"| {width:g} | {name}: {kind}{shape}, stride {layer.stride[0]} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
