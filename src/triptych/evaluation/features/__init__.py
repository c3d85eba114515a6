"""Feature extractors: what turns images into the vectors that Frechet distance, KID and PRDC compare.

One file per feature space, from those that are always available to those that papers use; docs/reference/features.md
compares them. Each file defines a function `extractor(dataset, folder, say) -> Extractor`. Every score names its
extractor: values in different features are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triptych import plugins, store
from triptych.errors import InputError
from triptych.evaluation.features._extractor import BATCH, Extractor, in_batches
from triptych.evaluation.features.classifier import has_classes, mnist_extractor

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset

__all__ = [
    "BATCH",
    "Extractor",
    "choose",
    "default_names",
    "fitting_ratio",
    "in_batches",
    "mnist_extractor",
]

WHERE = "scoring.features"


def _silent(text: str) -> None:
    """Say nothing."""


def default_names(dataset: Dataset) -> tuple[str, str]:
    """The two feature spaces that are used by default: a classifier where there are classes to tell apart."""
    return ("classifier", "pixels") if has_classes(dataset) else ("pixels", "random")


def choose(
    names: Sequence[str] | None, dataset: Dataset, folder: Path, say: Callable[[str], None] = _silent
) -> list[Extractor]:
    """The extractors of these names, or "package.module:Name" from outside; the first is the primary one.

    None stands for `default_names`. What has to be fitted to the data is kept in `folder` and used again for the same
    data; `say` is called with what takes long. Raises InputError for an unknown name, for an extractor that cannot be
    had here, and for two of one name.
    """
    extractors: dict[str, Extractor] = {}
    for name in names or default_names(dataset):
        extractor = _made(name, dataset, folder, say)
        if extractor.name in extractors:
            raise InputError(f"two extractors are called {extractor.name!r}", where=WHERE, value=name)
        extractors[extractor.name] = extractor
    return list(extractors.values())


def fitting_ratio(name: str, counts: Mapping[str, int], other: Mapping[str, int]) -> float:
    """How many times as long making an extractor takes for data of these `counts` by split as for the `other`.

    Its file says so by `fitting_images(counts)`, the images that it is fitted on in all; without that, as long.
    """
    images: Any = getattr(plugins.module_of("features", name, WHERE), "fitting_images", None)
    return 1.0 if images is None else images(counts) / max(images(other), 1)


def _made(name: str, dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """One extractor, ready; one from outside without a hash gets that of its name and the file it stands in."""
    found = plugins.find("features", name, WHERE)
    outside = plugins.is_outside(name)
    if callable(found) and not isinstance(found, Extractor):
        try:
            found = found(dataset, folder, say)
        except (InputError, OSError, MemoryError):
            raise
        except Exception as error:
            if not outside:
                raise
            what = f"making this extractor raised {type(error).__name__}: {error}"
            hint = "A function must take (dataset, folder, say) and return an Extractor."
            raise InputError(what, where=WHERE, value=name, hint=hint) from error
    if not isinstance(found, Extractor):
        hint = "It must name a triptych.evaluation.features.Extractor, or a function that returns one."
        raise InputError("not an Extractor", where=WHERE, value=name, hint=hint)
    if outside and not found.sha256:  # features are kept by this hash: an edited file must not find the old ones
        source = plugins.module_of("features", name).__file__
        assert source is not None
        return replace(found, sha256=store.sha256(name.encode() + Path(source).read_bytes()))
    return found
