"""What is fitted to the data: fitted once, kept next to them as NAME.safetensors and NAME.json, and used again.

Nothing is fitted to the training images that take the place of samples in the real baseline: to a network they would
not be new, as samples are. With an own classifier and 300 images a side, the baseline was 3.1 on images that it had
been trained on, and 2.1 on others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from triptych import store
from triptych.data.dataset import random_subset
from triptych.directory import weights_file
from triptych.evaluation.classifier import resize

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset, Split

MOST_TRAINING = 20_000  # images that anything is fitted on
FITTING = 2  # one more whenever it changes how or on what is fitted, so that files of before are made again

Fitted = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and their record."""


def fitted(
    name: str, fit: Callable[[Dataset], Fitted], dataset: Dataset, folder: Path, say: Callable[[str], None]
) -> Fitted:
    """What `fit(dataset)` gives, its record with the tensors' `sha256` added; `say` is called when it has to be made.

    Files in `folder` that do not belong together or to these data are made again.
    """
    with store.locked(folder, wait=True):  # runs scored side by side fit it once
        kept = _kept(name, folder, dataset.fingerprint)
        if kept is None:
            say(f"Fitting the feature extractor {name!r} to these images, for the scores ...")
            tensors, record = fit(dataset)
            weights = safetensors.torch.save(tensors)
            record |= {"fingerprint": dataset.fingerprint, "sha256": store.sha256(weights), "fitting": FITTING}
            store.write(folder / weights_file(name), weights)
            store.write(folder / f"{name}.json", store.to_json(record))
            kept = tensors, record
    return kept


def to_fit(dataset: Dataset, most: int = MOST_TRAINING) -> tuple[Tensor, Tensor]:
    """At most `most` random training images to fit something on: their indices, and they at the classifier's size.

    Those that a draw of as many as there are test images takes are left out, which the real baseline needs; but no more
    than a fifth of the training images.
    """
    left_out = min(len(dataset.test), len(dataset.train) // 5)
    return _shrunk(dataset.train, random_subset(len(dataset.train), left_out + most)[left_out:])


def fitted_on(train: int, test: int, most: int = MOST_TRAINING) -> int:
    """How many images `to_fit` gives, of so many in these splits."""
    return min(most, train - min(test, train // 5))


def some(split: Split, most: int = MOST_TRAINING) -> tuple[Tensor, Tensor]:
    """At most `most` random indices of a split, and these images at the classifier's size, on the CPU."""
    return _shrunk(split, random_subset(len(split), most))


def _shrunk(split: Split, chosen: Tensor) -> tuple[Tensor, Tensor]:
    return chosen, torch.cat([resize(split.images(part).cpu()) for part in chosen.split(1000)])


def _kept(name: str, folder: Path, fingerprint: str) -> Fitted | None:
    """What lies in a folder, if it is whole and was fitted to these data."""
    try:
        record = store.read_json(folder / f"{name}.json")
        weights = (folder / weights_file(name)).read_bytes()
        if (record["fingerprint"], record["sha256"], record["fitting"]) != (
            fingerprint,
            store.sha256(weights),
            FITTING,
        ):
            return None
    except (OSError, ValueError, KeyError, TypeError):  # a record of whatever content
        return None
    return safetensors.torch.load(weights), record
