"""Prepared images in batches: the splits on the device or in a memory map, and the order they are drawn in.

A set that fits lives as one tensor of integers on the training device, and a batch is an index selection there,
scaled to [-1, 1] there. A larger one stays in a memory map, from which the same bytes are gathered: the
batches are equal bit for bit. Which images make up a batch is a pure function of (seed, step), so a resumed
run needs no saved position.
"""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from triptych.data.prepare import SPLITS, prepare
from triptych.data.sources import guess_source
from triptych.directory import DATA_JSON, images_file, labels_file
from triptych.errors import InputError
from triptych.rng import stream
from triptych.spec import DataSpec

__all__ = [
    "Dataset",
    "Split",
    "batch_indices",
    "epoch_order",
    "load_images",
    "open",
    "prepare",
    "random_subset",
    "redrawn",
    "scale",
    "to_uint8",
]


RESIDENT_BYTES = 2 * 2**30
"""A larger set stays in a memory map."""


@dataclass(frozen=True)
class Mixed:
    """Rows out of two memory maps one after the other, which stay on disk."""

    first: np.ndarray
    second: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.first.shape[1:]

    def take(self, indices: np.ndarray) -> np.ndarray:
        """The images [b, C, S, S] at these indices."""
        rows = self.rows[indices]
        found = np.empty((len(rows), *self.shape[1:]), self.first.dtype)
        is_second = rows >= len(self.first)
        found[~is_second] = self.first[rows[~is_second]]
        found[is_second] = self.second[rows[is_second] - len(self.first)]
        return found


@dataclass(frozen=True)
class Split:
    """One split: `pixels` [N, C, S, S] are uint8, or int16 when dequantised, a tensor on the device, or in a memory
    map or two; `labels` are int64 on the CPU, or None.
    """

    pixels: torch.Tensor | np.ndarray | Mixed
    labels: torch.Tensor | None
    device: torch.device

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, indices: torch.Tensor) -> torch.Tensor:
        """The images of a LongTensor of indices, float32 [b, C, S, S] in [-1, 1] on the device."""
        if isinstance(self.pixels, torch.Tensor):
            return scale(self.pixels[indices.to(self.device)])
        rows, pixels = indices.cpu().numpy(), self.pixels
        found = pixels.take(rows) if isinstance(pixels, Mixed) else np.take(pixels, rows, axis=0)
        return scale(torch.from_numpy(found).to(self.device))


@dataclass(frozen=True)
class Dataset:
    """Prepared images: train to learn from, validation to choose by, test to report on.

    `fingerprint` is the SHA-256 over the image and label bytes of all splits; `label_names` is None without
    labels.
    """

    source: str
    train: Split
    validation: Split
    test: Split
    channels: int
    size: int
    counts: dict[str, int]
    label_names: list[str] | None
    fingerprint: str
    notes: list[str]

    @property
    def classes(self) -> int:
        """The number of classes, 0 without labels."""
        return len(self.label_names or ())

    @property
    def class_counts(self) -> list[int]:
        """The number of training images of each class; empty without labels."""
        labels = self.train.labels
        return [] if labels is None else torch.bincount(labels, minlength=self.classes).tolist()


def scale(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels as float32 in [-1, 1]; all devices give the same bits. Of uint8, 0 is -1 and 255 is 1, exactly.

    Dequantised ones are int16, the middles of 65,536 steps, and become (level + noise) / 256 on [0, 1] without
    rounding. Only exact steps and one product are used, since GPUs divide by a constant with a rounded reciprocal.
    """
    if pixels.dtype == torch.int16:
        return pixels.to(torch.float32).add_(0.5).mul_(2**-15)
    return pixels.to(torch.float32).mul_(2).sub_(255).mul_(1 / 255)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Images in [-1, 1], clipped to that, as the nearest uint8 pixels on the CPU: the inverse of `scale`; NaN is 0."""
    return ((images.detach().float().cpu().nan_to_num(-1.0).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def random_subset(total: int, most: int) -> torch.Tensor:
    """At most `most` of the indices below `total`: a LongTensor, the first ones of one random order.

    The order depends on `total` alone. So every framework and seed gets the same draw, and a smaller draw is the
    beginning of a larger one. Draws at even distances would meet whatever structure the order of a data set has:
    MNIST's training file alternates between two sources of digits.
    """
    return torch.randperm(total, generator=stream(0, "data/subset"))[:most]


def open(folder: Path, device: str | torch.device = "cpu", resident_bytes: int = RESIDENT_BYTES) -> Dataset:
    """The data that `prepare` wrote into a folder; memory-mapped if all splits together exceed
    `resident_bytes`.

    Raises InputError when the folder holds no prepared data, or incomplete ones.
    """
    try:
        record = json.loads((folder / DATA_JSON).read_text(encoding="utf-8"))
        mapped = {name: np.load(folder / images_file(name), mmap_mode="r") for name in SPLITS}
        labels = {name: np.load(folder / labels_file(name)) for name in SPLITS} if record["label_names"] else {}
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise InputError(
            f"no prepared data, or incomplete ({error})", where=str(folder), hint="Prepare the data again."
        ) from error
    counts, device = record["counts"], torch.device(device)
    if {name: len(pixels) for name, pixels in mapped.items()} != counts:
        raise InputError("image files and data.json disagree", where=str(folder), hint="Prepare the data again.")
    resident = sum(pixels.nbytes for pixels in mapped.values()) <= resident_bytes
    splits = {
        name: Split(
            torch.from_numpy(np.array(pixels)).to(device) if resident else pixels,
            torch.from_numpy(labels[name]) if labels else None,
            device,
        )
        for name, pixels in mapped.items()
    }
    return Dataset(
        **splits,
        channels=record["channels"],
        size=record["size"],
        counts=counts,
        label_names=record["label_names"],
        source=record["source"],
        fingerprint=record["fingerprint"],
        notes=record["notes"],
    )


def redrawn(data: Dataset, seed: int | None) -> Dataset:
    """The data with training and validation images drawn again out of both, as many as before; test images stay.

    None leaves the split as it was prepared. So no image is tested on that a feature extractor was fitted to, and
    scores at all seeds are on the same images.
    """
    if seed is None:
        return data
    train, validation = data.train, data.validation
    n = len(train)
    order = torch.randperm(n + len(validation), generator=stream(seed, "data/split/redrawn"))
    return replace(
        data,
        train=_mixed(train, validation, order[:n]),
        validation=_mixed(train, validation, order[n:]),
        fingerprint=hashlib.sha256(f"{data.fingerprint}/split/{seed}".encode()).hexdigest(),
    )


def _mixed(one: Split, other: Split, rows: torch.Tensor) -> Split:
    """These rows of two splits one after the other."""
    labels = None if one.labels is None or other.labels is None else torch.cat([one.labels, other.labels])[rows]
    if isinstance(one.pixels, torch.Tensor) and isinstance(other.pixels, torch.Tensor):
        pixels = torch.cat([one.pixels, other.pixels])[rows.to(one.device)]
        return Split(pixels, labels, one.device)
    assert isinstance(one.pixels, np.ndarray) and isinstance(other.pixels, np.ndarray), "drawn again once"
    return Split(Mixed(one.pixels, other.pixels, rows.numpy()), labels, one.device)


def load_images(
    data: str = "mnist",
    size: int = 32,
    channels: Literal[1, 3] | None = None,
    fit: Literal["crop", "pad", "stretch"] | None = None,
    broken: Literal["error", "skip"] = "error",
    device: str | torch.device = "cpu",
) -> Dataset:
    """The images that `data` means on the command line, prepared and wholly in memory: for notebooks.

    `data` is "mnist", a folder of IDX files or of images, or an .npy or .npz file; `size` is in pixels.
    """
    source, path = guess_source(str(data))
    spec = DataSpec(source=source, path=path, size=size, channels=channels, fit=fit, broken=broken)
    with tempfile.TemporaryDirectory() as folder:
        prepare(spec, Path(folder))
        total = sum(file.stat().st_size for file in Path(folder).iterdir())
        return open(Path(folder), device, resident_bytes=total)


def epoch_order(seed: int, epoch: int, n: int) -> torch.Tensor:
    """The order in which one epoch visits `n` images: a LongTensor [n]."""
    return torch.randperm(n, generator=stream(seed, "data/order", epoch))


_recent_order = functools.lru_cache(maxsize=4)(epoch_order)  # a batch asks for the same epoch as the one before


def batch_indices(seed: int, step: int, n: int, batch_size: int) -> torch.Tensor:
    """The images of the batch of one step, counted from 0, out of `n`: a LongTensor [batch_size].

    An epoch has n // batch_size batches and leaves out the last n % batch_size images of its order, which
    differ from epoch to epoch. Raises InputError if the batch is larger than the data.
    """
    if not 1 <= batch_size <= n:
        raise InputError(
            f"a batch has to hold between 1 and all {n} training images",
            where="training.batch_size",
            value=batch_size,
        )
    epoch, position = divmod(step, n // batch_size)
    return _recent_order(seed, epoch, n)[position * batch_size : (position + 1) * batch_size].clone()
