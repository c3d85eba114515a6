"""Names to objects: a module's name in one of our folders, or "package.module:Name" from anywhere else.

This is the whole plug-in mechanism. A framework, a metric, a data source or a network family is one file in its
folder; dropping the file there makes its name known, and nothing has to be registered. From outside the package,
"package.module:Name" names an object, and "package.module" the object of the kind's usual name in that module.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import os
import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from triptych.errors import InputError

_PACKAGE = str(Path(__file__).parent) + os.sep


class Kind(NamedTuple):
    """One kind of plug-in: what people call it, the package of the built-in ones, and what a file of it defines.

    A `whole` kind is a module as a whole, of which several objects are used: "package.module:Name" does not name one.
    """

    noun: str
    package: str
    attribute: str
    whole: bool = False


KINDS = {
    "frameworks": Kind("framework", "triptych.frameworks", "FRAMEWORK"),
    "networks": Kind("network family", "triptych.networks", "build", whole=True),
    "metrics": Kind("metric", "triptych.evaluation.metrics", "METRIC"),
    "features": Kind("feature space", "triptych.evaluation.features", "extractor"),
    "sources": Kind("data source", "triptych.data.sources", "load"),
    "executors": Kind("executor", "triptych.study.executors", "EXECUTOR"),
}


def names(kind: str) -> list[str]:
    """The names of the built-in plug-ins of one kind, sorted; imports none of them.

    A file is a plug-in if it defines the kind's attribute; other files in the folder are what plug-ins share.
    """
    return sorted(file.stem for file in _files(kind) if _is_plugin(kind, file))


@functools.cache
def display_names(kind: str) -> dict[str, str]:
    """The built-in plug-ins of one kind as people write them ("VAE-GAN"), where their files say so; imports none."""
    pattern = r'^    name = "(.+)"$'
    found = {file.stem: _found(pattern, file, file.stat().st_mtime_ns) for file in _files(kind)}
    return {name: match[1] for name, match in found.items() if match}


def _folders(kind: str) -> list[Path]:
    spec = importlib.util.find_spec(KINDS[kind].package)
    assert spec is not None and spec.submodule_search_locations is not None
    return [Path(folder) for folder in spec.submodule_search_locations]


def _files(kind: str) -> list[Path]:
    """The files in a kind's folder that may be plug-ins."""
    return [file for folder in _folders(kind) for file in folder.glob("[!_]*.py")]


def _is_plugin(kind: str, file: Path) -> bool:
    pattern = rf"^(def |class )?{KINDS[kind].attribute}\b"
    return _found(pattern, file, file.stat().st_mtime_ns) is not None


def _is_built_in(kind: str, name: str) -> bool:
    """Whether `name` is one of `names(kind)`, without a look at all the others."""
    files = [folder / f"{name}.py" for folder in _folders(kind)] if name.isidentifier() and name[0] != "_" else []
    # A disk that does not tell "VAE.py" from "vae.py" has both if asked for one.
    return any(file.is_file() and file.name in os.listdir(file.parent) and _is_plugin(kind, file) for file in files)


@functools.cache
def _found(pattern: str, file: Path, mtime: int) -> re.Match[str] | None:
    """Where a line of a file has the pattern; a file is read again once it has changed."""
    return re.search(pattern, file.read_text(encoding="utf-8"), re.MULTILINE)


def suggest(name: str, choices: Iterable[str]) -> str:
    """A hint for an unknown name: the nearest choice if one is near, and all the choices."""
    choices = list(choices)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Known: {', '.join(choices)}."


def is_outside(name: str) -> bool:
    """Whether a plug-in of this name comes from outside the package, so that its file may change under the name."""
    return ":" in name or "." in name


def raised_at(error: BaseException, *libraries: str) -> str:
    """Where the code of a plug-in raised, as "FILE, line N"; empty where that is not known.

    It is the last place outside this package, or else in it, that is in none of the folders `libraries`.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((*libraries, "<"))]
    own = [frame for frame in frames if not frame.filename.startswith(_PACKAGE)]
    return next((f"{frame.filename}, line {frame.lineno}" for frame in reversed(own or frames)), "")


def module_of(kind: str, name: str, where: str = "") -> ModuleType:
    """The module of the plug-in of one kind called `name`.

    Raises InputError for an unknown name, with the nearest known one, and for a module that cannot be imported.
    """
    noun, package, attribute, whole = KINDS[kind]
    module_name, colon, object_name = name.partition(":")
    if not is_outside(name):
        if not _is_built_in(kind, name):
            outside = '"package.module"' if whole else '"package.module:Name"'
            hint = f"{suggest(name, names(kind))} From outside the package: {outside}."
            raise InputError(f"unknown {noun}", where=where, value=name, hint=hint)
        module_name = f"{package}.{name}"
    elif whole and colon:
        hint = f'Write "{module_name}"; its file defines `{attribute}`.'
        raise InputError(f"a {noun} is a module, without a name after it", where=where, value=name, hint=hint)
    elif colon and not object_name:
        hint = f'Write "{module_name}:Name", or "{module_name}" for its `{attribute}`.'
        raise InputError(f"no name after the colon of a {noun}", where=where, value=name, hint=hint)
    try:
        return importlib.import_module(module_name)
    except Exception as error:  # a module from outside can fail to import in any way
        if not is_outside(name):
            raise
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        hint = "Run the command from the folder that holds the package, or put that folder on PYTHONPATH."
        raise InputError(
            f"cannot load {name!r} ({what})",
            where=where,
            hint=hint if isinstance(error, ModuleNotFoundError) else "",
        ) from error


def find(kind: str, name: str, where: str = "") -> object:
    """The plug-in of one kind called `name`, or whatever "package.module:Name" points at.

    Raises InputError for an unknown name, and where the module has no such object.
    """
    return member(kind, name, name.partition(":")[2] or KINDS[kind].attribute, where)


def member(kind: str, name: str, attribute: str, where: str = "") -> Any:
    """Another object of the file that defines the plug-in; raises InputError where the file has none of that name."""
    module = module_of(kind, name, where)
    try:
        return getattr(module, attribute)
    except AttributeError:
        file = getattr(module, "__file__", None) or module.__name__
        raise InputError(
            f"cannot load {name!r} ({file} does not define `{attribute}`, which a {KINDS[kind].noun} needs)",
            where=where,
        ) from None


def function(kind: str, name: str, attribute: str = "", where: str = "") -> Any:
    """A plug-in that must be callable, or another function of its file; raises InputError for anything else."""
    found = member(kind, name, attribute, where) if attribute else find(kind, name, where)
    if not callable(found):
        attribute = attribute or name.partition(":")[2] or KINDS[kind].attribute
        what = f"`{attribute}` of the {KINDS[kind].noun} is a {type(found).__name__}, not a function"
        raise InputError(what, where=where, value=name)
    return found


def options_of(kind: str, name: str, base: type, where: str = "") -> Any:
    """The class `Options` in the plug-in's file, None where it has none; raises InputError for what is no `base`."""
    found = getattr(module_of(kind, name, where), "Options", None)
    if found is not None and not (isinstance(found, type) and issubclass(found, base)):
        hint = f"Make it a subclass of {base.__module__}.{base.__name__}."
        raise InputError(
            f"`Options` of the {KINDS[kind].noun} is no class of options", where=where, value=name, hint=hint
        )
    return found
