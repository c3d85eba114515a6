"""Names to objects: a module's name in one of our folders, or "package.module:Name" from anywhere else.

This is the whole plug-in mechanism. A framework, a metric, a data source or a network family is one file in its
folder; dropping the file there makes its name known, and nothing has to be registered.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable

from triptych.errors import InputError


def names(folder: str) -> list[str]:
    """The public names in a folder of this package, e.g. `names("frameworks")`, sorted; imports none of them."""
    package = importlib.import_module(f"triptych.{folder}")
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def suggest(name: str, choices: Iterable[str]) -> str:
    """A mending sentence for an unknown name: the nearest choice if one is near, and all the choices."""
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(choices)}."


def find(folder: str, name: str, attribute: str, where: str = "") -> object:
    """The object called `attribute` in `triptych.<folder>.<name>`, or whatever "package.module:Name" points at.

    Raises InputError, with the nearest known name, when there is none.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
    elif name in names(folder):
        module_name = f"triptych.{folder}.{name}"
    else:
        raise InputError(
            f"unknown {folder.rstrip('s')}", where=where, value=name,
            mend=suggest(name, names(folder)) + ' From outside the package: "package.module:Name".',
        )  # fmt: skip
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot load {name!r} ({error})", where=where) from error
