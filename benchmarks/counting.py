"""What a step costs whatever the machine: FLOPs, operator calls, and the times that Python reads a tensor's value.

FLOPs are by the formulae of `torch.utils.flop_counter`: two per multiply-add, in matrix products and convolutions,
backward passes included. (Its `FlopCounterMode` sets hooks that refuse inputs which are themselves differentiated for.)
Operator calls are those that reach PyTorch's kernels (what a `TorchDispatchMode` sees), not the calls around them: a
profiler, which counts both, finds about four times as many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from triptych.networks.convolution import as_pytorch

READS = {"item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__", "__array__"}
"""Calls from Python that need a tensor's value: on a GPU each waits for all work before it."""
READING_OPERATORS = {"_local_scalar_dense", "equal", "nonzero"}
"""The same from within PyTorch."""


@dataclass(frozen=True)
class Counts:
    """Counted over one step: FLOPs of the whole batch, operator calls, and reads of a tensor's value."""

    flops: int
    operators: int
    host_reads: int


class _Calls(TorchDispatchMode):
    """Counts the operator calls of aten; `reading` says whether a read from Python is under way, already counted."""

    def __init__(self, reading: Callable[[], bool]) -> None:
        super().__init__()
        self.reading = reading
        self.operators: Counter[str] = Counter()
        self.reads = 0
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        namespace, name = func._schema.name.split("::")
        if namespace == "aten":
            self.operators[name] += 1
            self.reads += name in READING_OPERATORS and not self.reading()
        out = func(*args, **(kwargs or {}))
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


class _Reads(TorchFunctionMode):
    """Counts the calls from Python that read a tensor's value, unless it is one of `known`."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.reads, self.is_reading = known, 0, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") not in READS:
            return func(*args, **(kwargs or {}))
        self.reads += not (args and id(args[0]) in self.known)
        self.is_reading = True
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.is_reading = False


def count(step: Callable[[], object], optimisers: Iterable[torch.optim.Optimizer] = ()) -> Counts:
    """What one of two calls of `step` takes; call it once before, so that optimisers have made their moments.

    Adam reads its own step counters, which PyTorch keeps on the CPU so that nothing waits: reads of what is in the
    state of `optimisers` are not counted as reads.
    """
    states = (entry for optimiser in optimisers for entry in optimiser.state.values())
    known = {id(value) for entry in states for value in entry.values() if isinstance(value, torch.Tensor)}
    reads = _Reads(known)
    calls, arithmetic = _Calls(lambda: reads.is_reading), _Calls(lambda: False)
    with as_pytorch(), arithmetic:  # the arithmetic of the networks, whatever form computes it
        step()
    with reads, calls:
        step()
    return Counts(flops=arithmetic.flops, operators=calls.operators.total(), host_reads=reads.reads + calls.reads)
