"""Time Frechet distance, kernel distance and precision, recall, density, coverage against torchmetrics and prdc.

    OMP_NUM_THREADS=2 python scripts/benchmark_metrics.py [--images 10000] [--features 256] [--repeats 3]

All see the same arrays in float64, in one run. Ours give standard errors, too, but where it says alone. Times are in
seconds, by the clock and of the processor, each the best of the repeats; printed as the tables in
docs/results/benchmark-metrics.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import prdc as naeem
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from triptych.evaluation.metrics.frechet import frechet_distance, with_error
from triptych.evaluation.metrics.kid import kernel_distance
from triptych.evaluation.metrics.prdc import prdc


class Identity(torch.nn.Module):
    """Features that are the images themselves."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def seen(metric: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """A torchmetrics metric in float64 with both sets of features in it."""
    metric.set_dtype(torch.float64)
    for features, real in ((x, True), (y, False)):
        metric.update(torch.from_numpy(features)[:, None, None], real=real)
    return metric


def rivals(x: np.ndarray, y: np.ndarray) -> Mapping[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """By name: ours, and theirs."""
    n, d = x.shape

    def frechet() -> float:
        return float(seen(FrechetInceptionDistance(Identity(d)), x, y).compute())

    def subsets() -> float:
        metric = KernelInceptionDistance(Identity(d), subset_size=min(n, 1000))
        return float(seen(metric, x, y).compute()[0])

    return {
        "Fréchet distance alone; torchmetrics": (lambda: frechet_distance(x, y), frechet),
        "Fréchet distance and its error; torchmetrics": (lambda: with_error(x, y).value, frechet),
        "Kernel distance; torchmetrics on all images": (
            lambda: kernel_distance(x, y).value,
            lambda: float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))),
        ),
        "Kernel distance; torchmetrics on 100 subsets of 1000, its default": (
            lambda: kernel_distance(x, y).value,
            subsets,
        ),
        "Precision, recall, density, coverage; prdc": (
            lambda: [found.value for found in prdc(x, y).values()],
            lambda: list(naeem.compute_prdc(x, y, 5).values()),
        ),
    }


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, float, Any]:
    """The least time in seconds by the clock, the least of the processor, and the result."""
    clock, processor, result = [], [], None
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            result = function()
        clock.append(time.perf_counter() - start)
        processor.append(time.process_time() - busy)
    return min(clock), min(processor), result


def main() -> None:
    parser = argparse.ArgumentParser(description="Time our metrics against torchmetrics and prdc.")
    for name, default in (("images", 10_000), ("features", 256), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    random = np.random.default_rng(0)
    x = random.standard_normal((arguments.images, arguments.features))
    y = random.standard_normal(x.shape) * 1.05 + 0.05
    print("| metric; library | ours | theirs | theirs / ours | ours, CPU | theirs, CPU | relative difference |")
    print("|---|---|---|---|---|---|---|")
    for name, (ours, theirs) in rivals(x, y).items():
        (own, own_cpu, found), (other, other_cpu, expected) = (
            timed(each, arguments.repeats) for each in (ours, theirs)
        )
        difference = np.max(np.abs(np.subtract(found, expected)) / np.abs(expected))
        times = f"{own:.2f} | {other:.2f} | {other / own:.1f} | {own_cpu:.2f} | {other_cpu:.2f}"
        print(f"| {name} | {times} | {difference:.0e} |", flush=True)


if __name__ == "__main__":
    main()
