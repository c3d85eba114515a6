"""Frameworks: `base` is the contract, `losses` has the terms, and every other file is one framework.

A file defines `FRAMEWORK`, a subclass of `Framework`. Imports the networks and the root modules.
"""

from __future__ import annotations

import inspect
from typing import Any

from triptych import plugins
from triptych.errors import InputError
from triptych.frameworks.base import Ability, Batch, Context, Cut, Framework, Noise, Turn
from triptych.spec import RunSpec, checked

__all__ = ["Ability", "Batch", "Context", "Cut", "Framework", "Noise", "Turn", "framework_class", "framework_of"]


def framework_class(name: str) -> type[Framework]:
    """The class of a framework's file, or "package.module:Name"; raises InputError for what is no framework."""
    kind: Any = plugins.find("frameworks", name, where="frameworks")
    if not (isinstance(kind, type) and issubclass(kind, Framework)):
        raise InputError("not a triptych.frameworks.Framework", where="frameworks", value=name)
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise InputError(f"the framework does not define {missing}", where="frameworks", value=name)
    return kind


def framework_of(spec: RunSpec) -> Framework:
    """The framework that a run plays, with its options validated."""
    kind = framework_class(spec.base_framework)
    return kind(checked(kind.Options, spec.options, f"options of {spec.framework}"))
