"""The contract of feature extractors as checks, fitted to a few hundred images of MNIST at 16 pixels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from triptych.contracts.base import Broken, Check, global_generator_untouched
from triptych.data.dataset import Dataset, load_images
from triptych.evaluation.features import choose
from triptych.evaluation.features._extractor import Extractor

IMAGES = 300


@cache
def _data() -> Dataset:
    return load_images("mnist", size=16)


@cache
def _fitted(name: str) -> Extractor:
    with tempfile.TemporaryDirectory() as folder:
        return choose([name], _data(), Path(folder))[0]


def _images() -> torch.Tensor:
    return _data().test.images(torch.arange(IMAGES))


def checks(name: str) -> list[Check]:
    """The checks of one feature extractor."""
    parts: dict[str, Callable[[str], None]] = {
        "it gives finite features of its dimension": gives,
        "features are the same each time": repeats,
        "features of an image do not depend on the others": alone,
        "features differ between images": differ,
        "nothing uses the global random generator": no_global_generator,
    }
    return [Check(label, partial(part, name)) for label, part in parts.items()]


def gives(name: str) -> None:
    extractor = _fitted(name)
    try:
        extractor(_images())
    except ValueError as error:
        raise Broken(str(error), "another shape or NaN from `embed`") from error


def repeats(name: str) -> None:
    extractor = _fitted(name)
    if not np.array_equal(extractor(_images()), extractor(_images())):
        raise Broken("the same images have other features each time", "dropout, or random numbers in `embed`")


def alone(name: str) -> None:
    extractor, images = _fitted(name), _images()
    together, reverse = extractor(images), extractor(images.flip(0))[::-1]
    if not np.allclose(together, reverse, rtol=1e-4, atol=1e-4 * float(np.abs(together).max())):
        raise Broken("features depend on the other images of the batch", "BatchNorm in training mode")


def differ(name: str) -> None:
    if not np.ptp(_fitted(name)(_images()), axis=0).any():
        raise Broken("all images have the same features", "a constant, or an empty network")


def no_global_generator(name: str) -> None:
    extractor = _fitted(name)
    with global_generator_untouched("embed()"):
        extractor(_images())
