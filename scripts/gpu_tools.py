"""What the checks on a GPU measure with; nothing here knows of Triptych."""

from __future__ import annotations

import statistics
import subprocess
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]
Steps = list[tuple[dict[str, float], dict[str, Tensor]]]
"""The terms of each step, and each network's weights after it."""


def said(folder: Path, *command: str) -> str | None:
    """What a command prints, or None if it is not here or fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def wait(device: str) -> None:
    """Let the GPU finish what it has been given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def median_seconds(work: Work, device: str, calls: int = 11) -> float:
    """The median of so many calls after 3 to warm up, each waited for."""
    taken = []
    for _ in range(3):
        work()
    for _ in range(calls):
        wait(device)
        start = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def matrix_product(side: int, kind: torch.dtype, device: str) -> dict[str, float]:
    """Seconds and TFLOP/s of a square matrix product."""
    a, b = (torch.randn(side, side, device=device).to(kind) for _ in range(2))
    seconds = median_seconds(lambda: a @ b, device)
    return {"seconds": seconds, "tflops": 2 * side**3 / seconds / 1e12}


def differences(there: Steps, here: Steps) -> dict[str, float]:
    """The largest relative differences: of the terms, and of each network's weights as one vector."""
    terms = [
        max(abs(a[name] - value) / max(abs(value), 1e-6) for name, value in b.items())
        for (a, _), (b, _) in zip(there, here, strict=True)
    ]
    weights = there[-1][1], here[-1][1]
    apart = max(float((weights[0][name] - value).norm() / value.norm()) for name, value in weights[1].items())
    return {"terms_first_step": terms[0], "terms": max(terms), "weights": apart}


def waiting_sites(work: Work, calls: int, root: Path) -> Counter[str]:
    """The lines at which PyTorch tells of a wait for the GPU, over so many calls."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            for _ in range(calls):
                work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [warning for warning in caught if "synchronizing" in str(warning.message)]
    return Counter(f"{_short(warning.filename, root)}:{warning.lineno}" for warning in waits)


def _short(file: str, root: Path) -> str:
    """A file's path in the repository or in its package."""
    return file.rpartition("site-packages/")[2].removeprefix(f"{root}/")


def runtime_calls(work: Work, calls: int) -> dict[str, float]:
    """Calls of the CUDA runtime, and copies, a call of `work`."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(calls):
            work()
    rows: dict[str, Any] = {row.key: row.count / calls for row in seen.key_averages()}
    return {name: count for name, count in rows.items() if name.startswith(("cuda", "cuLaunch", "Memcpy", "Memset"))}
