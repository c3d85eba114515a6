"""The contract of data sources as checks: a source of one's own, loaded with its default options."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from triptych.contracts.base import Broken, Check, NotApplicable, global_generator_untouched
from triptych.data.sources import Raw, RawSplit, load
from triptych.errors import InputError
from triptych.spec import DataSpec

READ = 40
"""Images of each split that are read."""


@cache
def _raw(name: str) -> Raw:
    try:
        return load(DataSpec(source=name))
    except InputError as error:
        if error.where in ("data.path", "data.options"):  # the fields that such a source needs
            raise NotApplicable(f"it cannot be loaded without a path or options ({error})") from error
        raise Broken(error.what, "an exception inside load(), or no `return`") from error


def checks(name: str) -> list[Check]:
    """The checks of one data source."""
    parts: dict[str, Callable[[str], None]] = {
        "it loads, and its splits say what they hold": loads,
        "images are read in the order asked for": order,
        "the same images are loaded each time": repeats,
        "labels fit the images and their names": labels,
        "nothing uses the global random generator": no_global_generator,
    }
    return [Check(label, partial(part, name)) for label, part in parts.items()]


def loads(name: str) -> None:
    for split, held in _raw(name).splits().items():
        if not len(held):
            raise Broken(f"the split {split!r} holds no image", "a filter that leaves nothing")
        if not 0 <= held.colour <= len(held):
            raise Broken(f"the split {split!r} counts {held.colour} colour images of {len(held)}", "a wrong count")


def _read(held: RawSplit, split: str, indices: np.ndarray) -> list[np.ndarray]:
    """The images of a split at these indices, one by one, checked for type and shape."""
    images: list[np.ndarray] = []
    for batch in held.read(indices):
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] not in (1, 3):
            raise Broken(
                f"read() of {split!r} gives {batch.dtype} {list(batch.shape)} instead of uint8 [b, H, W, 1 or 3]",
                "floats, or channels first",
            )
        if batch.shape[1:3] not in held.sizes:
            raise Broken(f"{split!r} has images of {batch.shape[1:3]}, which `sizes` does not count", "(width, height)")
        images.extend(batch)
    if len(images) != len(indices):
        raise Broken(f"read() of {split!r} gives {len(images)} images for {len(indices)} indices", "a lost batch")
    return images


def _alike(images: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(images, others, strict=True))


def order(name: str) -> None:
    for split, held in _raw(name).splits().items():
        indices = np.arange(min(READ, len(held)))
        if not _alike(_read(held, split, indices), _read(held, split, indices[::-1])[::-1]):
            raise Broken(
                f"read() of {split!r} does not follow the order of its indices", "sorted indices, or an iterator"
            )


def repeats(name: str) -> None:
    splits, again = _raw(name).splits(), load(DataSpec(source=name)).splits()
    if [len(held) for held in splits.values()] != [len(held) for held in again.values()]:
        raise Broken("it has another number of images when it is loaded again", "random splits without a fixed seed")
    for split, held in splits.items():
        indices = np.arange(min(READ, len(held)))
        if not _alike(_read(held, split, indices), _read(again[split], split, indices)):
            raise Broken(f"{split!r} has other images when it is loaded again", "a generator without a fixed seed")


def labels(name: str) -> None:
    raw = _raw(name)
    for split, held in raw.splits().items():
        if held.labels is None:
            continue
        if raw.label_names is None:
            raise Broken(f"{split!r} has labels, and there are no label_names", "label_names left out of Raw")
        if len(held.labels) != len(held):
            raise Broken(f"{split!r} has {len(held.labels)} labels for {len(held)} images", "another order or filter")
        if held.labels.dtype != np.int64 or held.labels.min() < 0 or held.labels.max() >= len(raw.label_names):
            raise Broken(f"labels of {split!r} are no int64 places in label_names", "names or one-hot rows as labels")


def no_global_generator(name: str) -> None:
    _raw(name)
    with global_generator_untouched("load()"):
        load(DataSpec(source=name))
