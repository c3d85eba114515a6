"""Raw images of any source to squares of one size on disk, once: split, fitted, resized, hashed.

Splits. What a source holds itself stays as it is; the rest is held out of its training images: for test 10 %
(never used for choosing anything), for validation the last 10,000 when 60,000 or more remain, else the last
10 %. Where test images have to be held out, or the images stand in order of class (folders), they are first
shuffled by one fixed permutation, so that every split has every class; otherwise the source's order is kept,
as MNIST's is.

Resizing is bilinear with antialiasing, in float64 on the CPU, rounded to uint8 once at the end, ties upwards:
so the same images give the same bytes, and the same fingerprint, whatever the machine and number of threads.
Grey from colour is ITU-R BT.601 luma. Padding is black and happens before resizing.

Dequantised images (Uria et al. 2013, arXiv:1306.0186) are 256 x + u - 32768 in int16, where x is the uint8 pixel and u
a byte drawn uniformly, once, from a stream of the split: the pixel stands for (x + (u + 1/2) / 256) / 256 on [0, 1].

Writing follows the rule of this project: temporary files next to the final ones, fsync, rename, and
`data.json` last as the commit. A preparation killed at any moment is simply done again. While it is under way, the
folder holds the mark `.preparing`: nothing is removed from a folder that has neither this mark nor our `data.json`.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from triptych import store
from triptych.data.sources import Raw, RawSplit, load
from triptych.directory import DATA_JSON, PREPARING, holds_prepared_data, images_file, labels_file
from triptych.errors import InputError
from triptych.rng import stream
from triptych.spec import DataSpec

SPLITS = ("train", "validation", "test")
FILES = tuple(file(split) for split in SPLITS for file in (images_file, labels_file))
FEWEST = 20  # 16 + 2 + 2: every split then has the two images that a variance or a pair needs
LUMA = (0.299, 0.587, 0.114)

Part = tuple[RawSplit, np.ndarray]


def prepare(
    spec: DataSpec, folder: Path, progress: Callable[[int, int], None] | None = None, replace: bool = False
) -> None:
    """Write the images of `spec` into `folder` as `{train,validation,test}-images.npy` (uint8 [N, C, S, S], int16
    when dequantised), `-labels.npy` (int64 [N], where there are labels) and `data.json`; do nothing if just that is
    there already.

    `progress(done, total)` is called after every batch, in images. With `replace`, other prepared data in the folder
    give way, but only once the new images have been read. Raises InputError for images that cannot be used as the
    specification says, and when the folder holds files of somebody else or, without `replace`, other prepared data.
    """
    if folder.is_dir() and any(folder.iterdir()) and not holds_prepared_data(folder):
        raise InputError(
            "holds files that triptych has not written",
            where=str(folder),
            hint="Choose another folder: prepared images would take the place of files of their names.",
        )
    if _is_done(spec, folder, replace):
        (folder / PREPARING).unlink(missing_ok=True)  # of a process killed just before that
        return
    where = spec.path or spec.source
    raw = load(spec)
    sizes = sum((split.sizes for split in raw.splits().values()), Counter())
    _check_sizes(sizes, spec, where)
    parts = split_up(raw, where)
    channels, notes = channels_of(spec, raw)
    _begin(folder)
    writer = _Writer(folder)
    _write(parts, spec, channels, writer, progress)
    record = {
        "source": spec.source,
        "path": spec.path,
        "size": spec.size,
        "channels": channels,
        "counts": {name: len(indices) for name, (_, indices) in parts.items()},
        "label_names": raw.label_names,
        "notes": [*raw.notes, *notes],
        "fingerprint": writer.hash.hexdigest(),
        "original_sizes": {f"{w}x{h}": count for (h, w), count in sizes.most_common(20)},
        "skipped": raw.skipped,
        "spec": spec.model_dump(mode="json"),
    }
    writer.commit(record)


def _is_done(spec: DataSpec, folder: Path, replace: bool) -> bool:
    """Whether the folder holds just these data, finished; raises InputError if it holds others that are to stay."""
    prepared = store.Reader([]).table(folder / DATA_JSON).get("spec")
    if prepared is None:  # not there, or damaged
        return False
    if prepared == spec.model_dump(mode="json"):
        return True
    if not replace:
        raise InputError(
            "holds data prepared from another specification",
            where=str(folder),
            hint="Choose another folder, or delete this one to prepare it again.",
        )
    return False


def _begin(folder: Path) -> None:
    """Mark the folder as one that images are prepared in, and remove what was prepared there before."""
    folder.mkdir(parents=True, exist_ok=True)
    store.creating(folder / PREPARING).close()
    store.flush(folder)  # the mark is there before anything that it stands for
    for left_over in (folder / DATA_JSON, *folder.glob(".*.tmp"), *(folder / file for file in FILES)):
        left_over.unlink(missing_ok=True)
    store.remove_partials(folder)


def _write(
    parts: dict[str, Part],
    spec: DataSpec,
    channels: int,
    writer: _Writer,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Stream the images and labels of all splits through `resize` into their files."""
    done, total = 0, sum(len(indices) for _, indices in parts.values())
    for name, (split, indices) in parts.items():
        shape = (len(indices), channels, spec.size, spec.size)
        noise = stream(0, f"data/dequantise/{name}") if spec.dequantise else None
        with writer.array(images_file(name), shape, "|u1" if noise is None else "<i2") as write:
            for batch in split.read(indices):
                images = resize(batch, spec.size, channels, spec.fit)
                write(images if noise is None else dequantise(images, noise))
                done += len(batch)
                if progress:
                    progress(done, total)
        if split.labels is not None:
            with writer.array(labels_file(name), (len(indices),), "<i8") as write:
                write(split.labels[indices].astype("<i8"))


def split_up(raw: Raw, where: str) -> dict[str, Part]:
    """For train, validation and test: the raw split that the images come from, and their indices there."""
    train = _order("train", len(raw.train), raw.by_class or raw.test is None)
    held: dict[str, Part] = {}
    for name, own in (("test", raw.test), ("validation", raw.validation)):
        if own is not None:
            held[name] = own, _order(name, len(own), raw.by_class)
        else:
            count = 10_000 if name == "validation" and len(train) >= 60_000 else (len(train) + 5) // 10
            train, last = np.split(train, [len(train) - count])
            held[name] = raw.train, last
    parts = {"train": (raw.train, train), "validation": held["validation"], "test": held["test"]}
    if small := [f"{len(indices)} for {name}" for name, (_, indices) in parts.items() if len(indices) < 2]:
        total = sum(map(len, raw.splits().values()))
        raise InputError(
            f"too few images: the {total} found leave {', '.join(small)}",
            where=where,
            hint=f"Every split needs at least 2; {FEWEST} training images are always enough.",
        )
    return parts


def counts_of(raw: Raw, where: str) -> dict[str, int]:
    """How many images train, validation and test will have; raises InputError for too few."""
    return {name: len(indices) for name, (_, indices) in split_up(raw, where).items()}


def _order(name: str, count: int, shuffled: bool) -> np.ndarray:
    """The numbers below `count`, shuffled by the fixed permutation of that split or as they are."""
    if not shuffled:
        return np.arange(count)
    return torch.randperm(count, generator=stream(0, f"data/split/{name}")).numpy()


def _check_sizes(sizes: Counter[tuple[int, int]], spec: DataSpec, where: str) -> None:
    """Raise unless all images are squares of one size, or `spec.fit` says what to do with others."""
    common = [f"{count} of {w} x {h}" for (h, w), count in sizes.most_common(2)]
    if spec.fit is not None or (len(sizes) == 1 and all(h == w for h, w in sizes)):
        return
    what = f"images of {len(sizes)} sizes, most often" if len(sizes) > 1 else "images that are not square,"
    raise InputError(
        f"{what} {', then '.join(common)} (width x height)",
        where=where,
        hint='Say how they become squares: fit = "crop" (the middle), "pad" (with black) or "stretch"; '
        "on the command line --fit.",
    )


def channels_of(spec: DataSpec, raw: Raw) -> tuple[int, list[str]]:
    """The number of channels, and a note on every image that has to change for it."""
    splits = list(raw.splits().values())
    colour = sum(split.colour for split in splits)
    grey = sum(map(len, splits)) - colour
    channels = spec.channels or (3 if colour else 1)
    if channels == 1 and colour:
        return 1, [f"{colour} colour images were made grey (ITU-R BT.601 luma)."]
    if channels == 3 and grey:
        return 3, [f"{grey} images without colour had their grey repeated in 3 channels."]
    return channels, []


def resize(batch: np.ndarray, size: int, channels: int, fit: str | None) -> np.ndarray:
    """Images [b, H, W, C] in uint8 as [b, channels, size, size] in uint8, made square as `fit` says."""
    images = torch.from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2).to(torch.float64)
    height, width = images.shape[2:]
    side = min(height, width)
    if fit == "crop":
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, :, top : top + side, left : left + side]
    elif fit == "pad":
        down, right = max(height, width) - height, max(height, width) - width
        images = F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))
    if images.shape[1] == 3 and channels == 1:
        images = (images * torch.tensor(LUMA, dtype=torch.float64).view(1, 3, 1, 1)).sum(1, keepdim=True)
    images = F.interpolate(images.contiguous(), (size, size), mode="bilinear", antialias=True)
    # A hair above one half, since exact ties are common (28 to 32) and must not depend on the last bit.
    images = (images + (0.5 + 1e-6)).floor().clamp(0, 255).to(torch.uint8)
    return images.expand(-1, channels, -1, -1).contiguous().numpy()


def dequantise(images: np.ndarray, generator: torch.Generator) -> np.ndarray:
    """Images in uint8 as little-endian int16 of the same shape, each pixel anywhere in its grey level."""
    noise = torch.randint(0, 256, images.shape, generator=generator).numpy()
    return (images.astype(np.int32) * 256 + noise - 32768).astype("<i2")


class _Writer:
    """Writes arrays piece by piece under temporary names, hashing their bytes, and gives them their names at
    once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.hash, self.written = folder, hashlib.sha256(), list[str]()

    @contextmanager
    def array(self, name: str, shape: tuple[int, ...], dtype: str) -> Iterator[Callable[[np.ndarray], None]]:
        """An .npy file of that shape, open for the `with` block; yields what appends the next rows."""
        path = self.folder / name  # named in errors: that of a full disk names no file
        with store.creating(self.folder / f".{name}.tmp") as file:
            header = {"descr": dtype, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)

            def write(rows: np.ndarray) -> None:
                data = np.ascontiguousarray(rows).data
                with store.named(path):
                    file.write(data)
                self.hash.update(data)

            yield write
            with store.named(path):
                file.flush()
                os.fsync(file.fileno())
        self.written.append(name)

    def commit(self, record: dict[str, Any]) -> None:
        """Rename all arrays into place, then write `data.json`, which makes them count, and take the mark away."""
        for name in self.written:
            os.replace(self.folder / f".{name}.tmp", self.folder / name)
        store.flush(self.folder)  # the arrays are there before what says so
        store.write(self.folder / DATA_JSON, store.to_json(record))
        (self.folder / PREPARING).unlink(missing_ok=True)
