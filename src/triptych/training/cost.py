"""What a run costs, counted and not measured: parameters, FLOPs, memory.

FLOPs are PyTorch's own count (two per multiply-add, in matrix products and convolutions) of one whole training step.
Large images are counted on the meta device, where shapes exist and numbers do not; so the paper's size is counted in a
moment on any machine. Small ones are counted on the CPU, several times faster, with the same result.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from triptych import networks
from triptych.frameworks import Framework, framework_of
from triptych.networks.convolution import as_pytorch
from triptych.plugins import is_outside
from triptych.spec import NetworkSpec, RunSpec
from triptych.training.state import initial
from triptych.training.step import Examples, batch_of, batches_per_step, play, set_modes, update_groups

BATCH = 4
"""Counts are linear in the batch; BatchNorm needs more than one image."""
SMALL = 32
"""Up to this size in pixels, a step of real numbers takes less time than PyTorch's shapes of it."""
_counted: dict[tuple[str, int, int], int] = {}
"""What `flops_per_image` has found, by kind and channels: studies are planned, validated and run in one process."""


@dataclass(frozen=True)
class Cost:
    """What one run takes: the images that it trains on, the FLOPs of each, and the parameters by network."""

    images: int
    flops_per_image: int
    parameters: dict[str, int]

    @property
    def flops(self) -> int:
        return self.images * self.flops_per_image

    @property
    def weight_bytes(self) -> int:
        return 4 * sum(self.parameters.values())


def costs(runs: list[RunSpec], channels: int, classes: int = 0) -> dict[str, Cost]:
    """The cost of every run by its id; runs of one kind are counted once. `classes` is 0 for data without labels."""
    known: dict[str, tuple[int, int, dict[str, int]]] = {}
    costs = {}
    for run in runs:
        if (same := kind(run)) not in known:
            known[same] = (
                batches_per_step(framework_of(run)),
                flops_per_image(run, channels, classes),
                parameters(run, channels, classes),
            )
        batches, flops, sizes = known[same]
        images = 0 if run.is_only_scored else run.training.whole_images(batches)
        costs[run.id] = Cost(images, flops, sizes)
    return costs


def kind(spec: RunSpec) -> str:
    """What decides the arithmetic of a training step, as a key: runs of one kind cost the same per image."""
    irrelevant: Any = {
        "seed": True,
        "seeds": True,
        "condition": True,
        "optimiser": {"rate"},
        "training": {"images", "log_images", "snapshots", "translate", "translate_fill"},
    }
    return json.dumps(spec.model_dump(mode="json", exclude=irrelevant), sort_keys=True)


def parameters(spec: RunSpec, channels: int, classes: int = 0) -> dict[str, int]:
    """The number of parameters in each network that the framework uses."""
    state = initial(spec, channels, "meta", classes)
    return {name: sum(p.numel() for p in net.parameters()) for name, net in state.nets.items()}


def flops_per_image(spec: RunSpec, channels: int, classes: int = 0) -> int:
    """FLOPs of a training step per image, averaged over the phases of the framework.

    Labels are given to conditional frameworks only, so that a study is counted the same before its data are read.
    """
    classes = classes if framework_of(spec).conditional else 0
    device = "cpu" if spec.data.size <= SMALL else "meta"
    if is_outside(spec.framework) or is_outside(spec.network.family):  # a plug-in may be edited, and keep its name
        return count_step(spec, channels, classes, device)
    key = kind(spec), channels, classes
    if key not in _counted:
        _counted[key] = count_step(spec, channels, classes, device)
    return _counted[key]


def phases(framework: Framework) -> dict[tuple[str, ...], tuple[float, int]]:
    """Each group of players that trains together: when it first does, as a share of the budget, and in how many % of
    it.
    """
    found: dict[tuple[str, ...], tuple[float, int]] = {}
    for percent in range(100):
        first, percents = found.get(players := framework.active_players(percent / 100), (percent / 100, 0))
        found[players] = first, percents + 1
    return found


def count_step(spec: RunSpec, channels: int, classes: int, device: Literal["cpu", "meta"]) -> int:
    """FLOPs per image, counted on images of zeros or on shapes alone.

    On the meta device, a step that depends on the values of a tensor raises RuntimeError or NotImplementedError.
    """
    state = initial(spec, channels, device, classes)
    framework = state.framework
    images = torch.zeros(BATCH, channels, spec.data.size, spec.data.size, device=device)
    labels = torch.zeros(BATCH, dtype=torch.int64, device=device) if classes else None
    total = 0.0
    for progress, percents in phases(framework).values():
        turns = update_groups(spec, framework, progress)
        set_modes(state, turns)
        with as_pytorch(), FlopCounter() as counter:
            for index, turn in enumerate(turns):
                if turn.players:
                    play(state, batch_of(state, spec, Examples(images, labels), turn.players, index, progress))
        total += counter.total * percents / 100
    return round(total / BATCH / batches_per_step(framework))


class FlopCounter(TorchDispatchMode):
    """Counts FLOPs by PyTorch's own formulae, second-order gradients included.

    PyTorch's FlopCounterMode follows modules by hooks, which refuse inputs that a gradient penalty differentiates for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def forward_flops(module: nn.Module, *inputs: torch.Tensor) -> int:
    """FLOPs per image of one forward call on inputs of the meta device."""
    with FlopCounter() as counter, torch.no_grad():
        module.eval()(*inputs)
    return round(counter.total / len(inputs[0]))


def layers(spec: NetworkSpec, size: int, channels: int) -> dict[str, list[dict]]:
    """Each network layer by layer: {"layer", "kind", "shape", "parameters", "flops"}, shapes without the batch."""
    nets = networks.describe(spec, size, channels)
    inputs = networks.example_inputs(spec, size, channels, BATCH)
    return {name: _layers(net, inputs[name]) for name, net in nets.items()}


def _layers(network: nn.Module, inputs: torch.Tensor) -> list[dict]:
    rows: list[dict] = []

    def note(module: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor, name: str) -> None:
        rows.append(
            {
                "layer": name,
                "kind": _kind(module),
                "shape": list(output.shape[1:]),
                "parameters": sum(p.numel() for p in module.parameters()),
                "inputs": arguments,
                "module": module,
            }
        )

    handles = [
        module.register_forward_hook(lambda m, a, o, name=name: note(m, a, o, name))
        for name, module in network.named_modules()
        if not list(module.children())
    ]
    with torch.no_grad():
        network.eval()(inputs)
    for handle in handles:
        handle.remove()
    for row in rows:
        row["flops"] = forward_flops(row.pop("module"), *row.pop("inputs"))
    return rows


def _kind(module: nn.Module) -> str:
    """A layer in few words, e.g. "Conv2d 5x5, stride 2, padding 2"."""
    parts = [type(module).__name__]
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        parts[0] += " {}x{}".format(*module.kernel_size)
        parts += [f"stride {module.stride[0]}", f"padding {module.padding[0]}"]
    elif isinstance(module, nn.LeakyReLU):
        parts[0] += f" {module.negative_slope}"
    return ", ".join(parts)
