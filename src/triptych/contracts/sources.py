"""The contract of data sources as checks: a source of one's own, loaded with its default options."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from triptych.contracts.base import Broken, Check, NotApplicable, global_generator_untouched
from triptych.data.sources import Raw, load
from triptych.errors import InputError
from triptych.spec import DataSpec


@cache
def _raw(name: str) -> Raw:
    try:
        raw = load(DataSpec(source=name))
    except InputError as error:
        raise NotApplicable(f"it cannot be loaded without a path or options ({error})") from error
    if not isinstance(raw, Raw):
        raise Broken(f"load() gives a {type(raw).__name__}, not a triptych.data.sources.Raw", "a wrong return value")
    return raw


def checks(name: str) -> list[Check]:
    """The checks of one data source."""
    parts: dict[str, Callable[[str], None]] = {
        "it loads, and its splits say what they hold": loads,
        "images are read in the order asked for": order,
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


def _read(name: str, split: str, indices: np.ndarray) -> list[np.ndarray]:
    """The images of a split at these indices, one by one, checked for type and shape."""
    held = _raw(name).splits()[split]
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


def order(name: str) -> None:
    for split, held in _raw(name).splits().items():
        indices = np.arange(min(40, len(held)))
        forwards, backwards = _read(name, split, indices), _read(name, split, indices[::-1])[::-1]
        if not all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True)):
            raise Broken(
                f"read() of {split!r} does not follow the order of its indices", "sorted indices, or an iterator"
            )


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
