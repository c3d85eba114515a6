"""Names to objects: a module's name in one of our folders, or "package.module:Name" from anywhere else.

This is the whole plug-in mechanism. A framework, a metric, a data source or a network family is one file in its
folder; dropping the file there makes its name known, and nothing has to be registered.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from triptych.errors import InputError


class Kind(NamedTuple):
    """One kind of plug-in: what people call it, the package of the built-in ones, and what a file of it defines."""

    noun: str
    package: str
    attribute: str


KINDS = {
    "frameworks": Kind("framework", "triptych.frameworks", "FRAMEWORK"),
    "networks": Kind("network family", "triptych.networks", "build"),
    "metrics": Kind("metric", "triptych.evaluation.metrics", "METRIC"),
    "features": Kind("feature space", "triptych.evaluation.features", "extractor"),
    "sources": Kind("data source", "triptych.data.sources", "load"),
    "executors": Kind("executor", "triptych.study.executors", "EXECUTOR"),
}


def names(kind: str) -> list[str]:
    """The names of the built-in plug-ins of one kind, sorted; imports none of them.

    A file is a plug-in if it defines the kind's attribute; other files in the folder are what plug-ins share.
    """
    _, package, attribute = KINDS[kind]
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None
    defines = re.compile(rf"^(def |class )?{attribute}\b", re.MULTILINE)
    files = [file for folder in spec.submodule_search_locations for file in Path(folder).glob("[!_]*.py")]
    return sorted(file.stem for file in files if defines.search(file.read_text(encoding="utf-8")))


def suggest(name: str, choices: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest choice if one is near, and all the choices."""
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(choices)}."


def find(kind: str, name: str, attribute: str = "", where: str = "") -> object:
    """The plug-in of one kind called `name`, or whatever "package.module:Name" points at.

    `attribute` asks for another object of the same file than the kind's own. Raises InputError, with the nearest
    known name, when there is none.
    """
    noun, package, own = KINDS[kind]
    attribute = attribute or own
    if ":" in name:
        module_name, _, attribute = name.partition(":")
    elif name in names(kind):
        module_name = f"{package}.{name}"
    else:
        raise InputError(
            f"unknown {noun}",
            where=where,
            value=name,
            mend=suggest(name, names(kind)) + ' From outside the package: "package.module:Name".',
        )
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"cannot load {name!r} ({error})", where=where) from error
