"""Triptych: which generative framework should I use on my images, and how sure can I be?

The names below are imported when they are first used, so that `import triptych` costs nothing.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.api import build_networks, compare, measure, open_run, open_study, run_study, train_run
    from triptych.data.dataset import load_images
    from triptych.errors import InputError
    from triptych.spec import RunSpec, StudySpec, load_study
    from triptych.study.presets import comparison

__all__ = [
    "InputError",
    "RunSpec",
    "StudySpec",
    "build_networks",
    "compare",
    "comparison",
    "load_images",
    "load_study",
    "measure",
    "open_run",
    "open_study",
    "run_study",
    "train_run",
]

_HOMES = {"InputError": "errors", "load_images": "data.dataset", "comparison": "study.presets"} | dict.fromkeys(
    ("RunSpec", "StudySpec", "load_study"), "spec"
)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("triptych")
    if name not in __all__:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(importlib.import_module(f"triptych.{_HOMES.get(name, 'api')}"), name)
