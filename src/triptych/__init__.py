"""Triptych: which generative framework should I use on my images, and how sure can I be?

The names below are imported when they are first used, so that `import triptych` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "InputError": "errors",
    "StudySpec": "spec",
    "RunSpec": "spec",
    "load_study": "spec",
    "comparison": "presets",
    "compare": "api",
    "run_study": "api",
    "open_run": "api",
    "open_study": "api",
    "load_images": "dataset",
    "build_networks": "api",
    "train": "api",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(importlib.import_module(f"triptych.{_HOMES[name]}"), name)
