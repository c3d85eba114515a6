"""What a check is, which checks a plug-in gets, and how they are run."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from triptych import plugins
from triptych.errors import InputError
from triptych.spec import without_preset


class Broken(AssertionError):
    """A contract that a plug-in breaks: what is broken, and what usually causes it."""

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(f"{what}. Usual cause: {cause}.")
        self.what, self.cause = what, cause


class NotApplicable(Exception):
    """The plug-in does not claim what this check is about."""


@dataclass(frozen=True)
class Check:
    """One promise of a plug-in; `run()` raises Broken, or NotApplicable with the reason."""

    name: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Result:
    """How one check ended; `message` is empty for one that holds."""

    check: str
    status: Literal["holds", "broken", "skipped"]
    message: str = ""


def checks_of(name: str) -> list[Check]:
    """The checks of a plug-in: a built-in name, one with a preset ("vaegan@pythae"), "package.module:Name", or
    "package.module" for the object of the usual name in it.

    Raises InputError for a name that there is not, and for an object that is no plug-in of any kind.
    """
    from triptych.contracts import extractors, frameworks, metrics, sources

    kinds = {
        "frameworks": frameworks.checks,
        "metrics": metrics.checks,
        "sources": sources.checks,
        "features": extractors.checks,
    }
    bare = without_preset(name)
    for kind, checks in kinds.items():
        if not plugins.is_outside(bare) and bare in plugins.names(kind):
            return checks(name)
    if not plugins.is_outside(bare):
        known = [choice for kind in kinds for choice in plugins.names(kind)]
        hint = plugins.suggest(bare, known) + ' From outside the package: "package.module:Name" or "package.module".'
        raise InputError("no such plug-in", where="NAME", value=name, hint=hint)
    found: Any = plugins.find("frameworks", bare, where="NAME") if ":" in bare else _only_plug_in(bare, kinds)
    kind = _kind_of(found, bare)
    if kind is None:
        raise InputError(
            "neither a framework, a metric, a data source nor a feature extractor",
            where="NAME",
            value=name,
            hint="It must be a Framework class, a Metric, or a function called load or extractor.",
        )
    return kinds[kind](name)


def _only_plug_in(module: str, kinds: Iterable[str]) -> object:
    """The object of a module from outside that one of the kinds would use; raises InputError where there is none."""
    known = {plugins.KINDS[kind].attribute: kind for kind in kinds}
    loaded = plugins.module_of("frameworks", module, where="NAME")
    for attribute in known:
        if hasattr(loaded, attribute):
            return getattr(loaded, attribute)
    raise InputError(
        f"the module defines none of {', '.join(known)}",
        where="NAME",
        value=module,
        hint=f'Define one, or name the object: "{module}:Name".',
    )


def _kind_of(found: Any, name: str) -> str | None:
    from triptych.evaluation.metrics import Metric
    from triptych.frameworks import Framework

    if isinstance(found, type) and issubclass(found, Framework):
        return "frameworks"
    if isinstance(found, Metric):
        return "metrics"
    if callable(found):
        module = importlib.import_module(name.partition(":")[0])
        called = getattr(found, "__name__", "")
        return "features" if called == "extractor" or hasattr(module, "extractor") else "sources"
    return None


def run_checks(checks: list[Check], on_result: Callable[[Result], None] = lambda result: None) -> list[Result]:
    """Run every check; `on_result` gets each result at once. What the plug-in raises itself is a broken contract."""
    results = []
    for check in checks:
        try:
            check.run()
            result = Result(check.name, "holds")
        except NotApplicable as reason:
            result = Result(check.name, "skipped", str(reason))
        except Broken as broken:
            result = Result(check.name, "broken", str(broken))
        except Exception as error:
            result = Result(check.name, "broken", _raised(error))
        on_result(result)
        results.append(result)
    return results


def _raised(error: Exception) -> str:
    """An exception in one sentence, with the last place in the plug-in's own code."""
    place = plugins.raised_at(error, torch.__path__[0])
    return f"It raised {type(error).__name__}: {error}{f' ({place})' if place else ''}."


@contextmanager
def global_generator_untouched(what: str) -> Iterator[None]:
    """Raise Broken if PyTorch's global generator is used inside."""
    before = torch.random.get_rng_state()
    yield
    if not torch.equal(torch.random.get_rng_state(), before):
        raise Broken(
            f"{what} uses PyTorch's global random generator, so a run cannot be repeated",
            "torch.rand, torch.randn or dropout without a generator; take numbers from batch.noise(name), "
            "batch.noise.generator(name), or from the latents",
        )
