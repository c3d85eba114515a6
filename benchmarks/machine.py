"""Where figures were measured: the processor and what it can do, versions, how busy it was, and the commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from triptych.training.environment import available_cores, environment

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
"""What decides how fast matrix products are; those with bf16 decide whether a lower precision pays."""
ALLOCATOR = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def facts(device: str = "cpu") -> dict[str, Any]:
    """Versions, processor, memory, threads, and what the allocator was asked for in environment variables."""
    return {
        **environment(device),
        "platform": f"{platform.system()}, {platform.machine()}",
        "pythae": _version("pythae"),
        "usable_cores": available_cores(),
        "flags": _flags(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "memory_bytes": _memory_bytes(),
        "allocator": {name: _file_names(os.environ[name]) for name in ALLOCATOR if name in os.environ},
        "commit": _commit(),
    }


def load() -> float | None:
    """Processes that wanted to run over the last minute, ours included; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _flags() -> list[str] | None:
    """Those of `FLAGS` that the processor has; None where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    found = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), None)
    return None if found is None else [flag for flag in FLAGS if flag in found]


def _memory_bytes() -> int | None:
    if platform.system() == "Windows":
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _file_names(value: str) -> str:
    """A setting without the folders of this machine."""
    return ":".join(Path(part).name for part in value.split(":"))


def _commit() -> str | None:
    """The commit of the source, "changed" appended where files differ from it; None outside a git repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks")
        return git("rev-parse", "--short=12", "HEAD") + (", changed" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
