"""Where a run is computed: versions, device and threads, recorded with every result."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import torch

from triptych.errors import InputError

PACKAGES = (
    "triptych",
    "torch",
    "numpy",
    "scipy",
    "pillow",
    "safetensors",
    "torchmetrics",
    "pydantic",
    "matplotlib",
)


def versions() -> dict[str, str | None]:
    """The installed version of each package that can touch a number; None for one that is missing."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def environment(device: str) -> dict[str, str | int | None]:
    """Versions, platform, processor, device and thread count of this process."""
    cuda = device.startswith("cuda")
    return {
        **versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if cuda else device,
        "threads": torch.get_num_threads(),
    }


def available_cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_device(name: str) -> str:
    """The device that "auto" means here: the first GPU, or else the CPU; raises InputError for one that is not here."""
    if name == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"no such device here ({str(error).splitlines()[0]})",
            where="execution.device",
            value=name,
            hint='Use "auto", "cpu" or "cuda:0".',
        ) from error
    return name


def make_exact(device: str) -> None:
    """Fix for this process what could change bits on a GPU: the choice of algorithms, and TF32."""
    if device.startswith("cuda"):
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def _processor() -> str:
    """The processor's name, which the standard library knows on few systems."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        return names[0] if names else platform.processor() or platform.machine()
    except OSError:
        return platform.processor() or platform.machine()
