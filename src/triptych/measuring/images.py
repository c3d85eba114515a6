"""Sets of images from anywhere, brought to one size and one number of channels, with a note on all that was changed.

The real images decide: their number of channels, and the median of their shorter sides, which is their own size where
they all have one. So no real image of the usual size is enlarged, and a few small or large ones change nothing. What is
not square needs `fit`, as in a study, because each way of making it square changes what is measured.

Resizing and grey from colour are those of `triptych.data.prepare`, in bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from triptych.data import sources
from triptych.data.dataset import RESIDENT_BYTES
from triptych.data.prepare import resize
from triptych.data.sources import Raw, RawSplit
from triptych.errors import InputError
from triptych.rng import stream
from triptych.spec import DataSpec, checked

Role = Literal["samples", "real", "train"]
Progress = Callable[[int, int], None]
SMALLEST, LARGEST = 8, 1024
"""Sides in pixels."""
FITS = ("crop", "pad", "stretch")


@dataclass(frozen=True)
class Shape:
    """What all images are brought to: squares of `size` pixels, `channels` of them, made square as `fit` says."""

    size: int
    channels: int
    fit: str | None = None

    def __str__(self) -> str:
        return f"{self.size} x {self.size} pixels, {'colour' if self.channels == 3 else 'grey'}"


@dataclass(frozen=True)
class Source:
    """Images as they are found, not yet read: the splits that count, their labels' names, and notes."""

    text: str
    where: str
    name: str
    splits: tuple[RawSplit, ...]
    label_names: list[str] | None
    notes: list[str]

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(map(len, self.splits))

    @property
    def sizes(self) -> Counter[tuple[int, int]]:
        """The images by (height, width)."""
        return sum((split.sizes for split in self.splits), Counter())

    @property
    def colour(self) -> int:
        """How many images have colour."""
        return sum(split.colour for split in self.splits)


@dataclass(frozen=True)
class ImageSet:
    """Images [N, C, S, S] in uint8, in memory or mapped; int64 labels [N] or None; of how many they were chosen."""

    text: str
    pixels: np.ndarray
    labels: np.ndarray | None = None
    label_names: list[str] | None = None
    total: int = 0
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.pixels)


def opened(text: str, role: Role, where: str, broken: str = "error") -> Source:
    """The images that a name or a path stands for, in the words of the command line's DATA.

    Of a source with splits of its own, real images are its test images and training images its training images; samples
    are all that there are. Raises InputError, which names `where`, for what cannot be read.
    """
    try:
        name, path = sources.guess_source(text)
        spec = checked(DataSpec, {"source": name, "path": path, "broken": broken}, where)
        raw = sources.load(spec)
    except InputError as error:
        if error.where not in ("DATA", "data.path"):
            raise
        hint = "Several sets are NAME=A,B,C." if role == "samples" and "," in text else error.hint
        raise InputError(error.what, where=where, value=error.value, hint=hint) from None
    splits, notes = _chosen(raw, role)
    return Source(
        text=text, where=where, name=name, splits=splits, label_names=raw.label_names, notes=[*raw.notes, *notes]
    )


def _chosen(raw: Raw, role: Role) -> tuple[tuple[RawSplit, ...], list[str]]:
    """The splits that count for this role, and what to say of it."""
    every = raw.splits()
    if len(every) == 1 or role == "samples":
        return tuple(every.values()), []
    if role == "real" and raw.test is not None:
        return (raw.test,), [
            f"its {len(raw.test):,} test images are taken, not its {len(raw.train):,} training images."
        ]
    if role == "train":
        return (raw.train,), [f"its {len(raw.train):,} training images are taken, not those of other splits."]
    return tuple(every.values()), []


def shape_of(real: Source, size: int | None, channels: int | None, fit: str | None) -> tuple[Shape, list[str]]:
    """The shape that all images are brought to, and a note where it is a choice; raises InputError for a wrong one."""
    if fit is not None and fit not in FITS:
        raise InputError("unknown way to make images square", where="--fit", value=fit, hint=f"Use {', '.join(FITS)}.")
    if channels not in (None, 1, 3):
        raise InputError("images have 1 channel or 3", where="--channels", value=channels)
    if size is not None and not SMALLEST <= size <= LARGEST:
        raise InputError(f"a side has {SMALLEST} to {LARGEST} pixels", where="--size", value=size)
    notes = []
    if size is None:
        sides = np.repeat(*np.array([(min(shape), count) for shape, count in real.sizes.items()]).T)
        size = int(np.median(sides))
        if len(real.sizes) > 1:
            notes.append(
                f"{real.text} has images of {len(real.sizes)} sizes; {size} is the median of the shorter sides."
            )
        if not SMALLEST <= size <= LARGEST:
            hint = f"Give --size, {SMALLEST} to {LARGEST}."
            raise InputError(f"images with a side of {size} pixels", where=real.where, value=real.text, hint=hint)
    return Shape(size, channels or (3 if real.colour else 1), fit), notes


def read(
    source: Source, shape: Shape, most: int, folder: Path, why: str = "", progress: Progress | None = None
) -> ImageSet:
    """The images of a source in this shape, at most so many, chosen at random; `folder` takes what memory should not.

    `why` says why there are no more. Raises InputError for images that are not square without a `fit`.
    """
    notes = [*source.notes, *_conversions(source, shape)]
    chosen = torch.arange(source.total)
    if source.total > most:
        chosen = torch.randperm(source.total, generator=stream(0, "measure/images"))[:most].sort().values
        notes.append(f"{most:,} of {source.total:,} images were chosen at random{why}.")
    pixels = room((len(chosen), shape.channels, shape.size, shape.size), folder)
    labels, done, start = [], 0, 0
    for split in source.splits:
        own = chosen[(chosen >= start) & (chosen < start + len(split))].numpy() - start
        for batch in split.read(own):
            pixels[done : done + len(batch)] = _fitted(batch, shape)
            done += len(batch)
            if progress:
                progress(done, len(chosen))
        labels.append(None if split.labels is None else split.labels[own])
        start += len(split)
    whole = np.concatenate(labels) if all(own is not None for own in labels) else None
    return ImageSet(
        text=source.text,
        pixels=pixels,
        labels=whole,
        label_names=source.label_names if whole is not None else None,
        total=source.total,
        notes=notes,
    )


def room(shape: tuple[int, ...], folder: Path) -> np.ndarray:
    """An empty array of bytes: in memory, or a file in the folder where it is large."""
    if int(np.prod(shape, dtype=np.int64)) <= RESIDENT_BYTES:
        return np.empty(shape, np.uint8)
    path = folder / f"images-{len(list(folder.glob('images-*.npy')))}.npy"
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _fitted(batch: np.ndarray, shape: Shape) -> np.ndarray:
    """Images [b, H, W, C] as [b, channels, size, size]; those that have this shape already are left as they are."""
    if batch.shape[1:] == (shape.size, shape.size, shape.channels):
        return np.moveaxis(batch, 3, 1)
    return resize(batch, shape.size, shape.channels, shape.fit)


def _conversions(source: Source, shape: Shape) -> list[str]:
    """A note on every image that has to change; raises InputError for what is not square without a `fit`."""
    total, notes = source.total, []
    oblong = Counter({size: count for size, count in source.sizes.items() if size[0] != size[1]})
    if oblong and shape.fit is None:
        common = ", ".join(f"{count:,} of {w} x {h}" for (h, w), count in oblong.most_common(2))
        raise InputError(
            f"{oblong.total():,} of {total:,} images are not square: {common} (width x height)",
            where=source.where,
            value=source.text,
            hint="Say how they become squares: --fit crop (the middle), pad (with black) or stretch.",
        )
    if oblong:
        notes.append(f"{oblong.total():,} of {total:,} images were made square by {shape.fit}.")
    for verb, sign in (("enlarged", 1), ("made smaller", -1)):
        changed = [(h, n) for (h, w), n in source.sizes.items() if np.sign(shape.size - min(h, w)) == sign]
        if changed:
            sides = sorted({side for side, _ in changed})
            span = f"{sides[0]}" if len(sides) == 1 else f"{sides[0]} to {sides[-1]}"
            count = sum(n for _, n in changed)
            notes.append(f"{count:,} of {total:,} images were {verb} from {span} to {shape.size} pixels a side.")
    if shape.channels == 1 and source.colour:
        notes.append(f"{source.colour:,} of {total:,} images have colour and were made grey: colours are not measured.")
    grey = total - source.colour
    if shape.channels == 3 and grey:
        notes.append(f"{grey:,} of {total:,} images are grey; their grey was repeated in 3 channels.")
    return notes


def named_sets(samples: Sequence[str]) -> dict[str, list[str]]:
    """The sets of each name, from arguments such as "samples/" or "GAN=a/,b/,c/"; raises InputError for a wrong one.

    Without a name, a set goes by the last part of its path, or by all of it where two have the same last part.
    """
    plain = [text for text in samples if "=" not in text or Path(text).exists()]
    short = Counter(Path(text).stem for text in plain)
    found: dict[str, list[str]] = {}
    for text in samples:
        if text in plain:
            stem = Path(text).stem
            name, sets = (stem if short[stem] == 1 and stem else text), [text]
        else:
            name, _, rest = text.partition("=")
            name = name.strip()
            sets = [part.strip() for part in rest.split(",") if part.strip()]
            if not name or not sets:
                raise InputError("a name and its sets are NAME=A,B,C", where="SAMPLES", value=text)
        if name in found:
            raise InputError("two of one name", where="SAMPLES", value=name, hint="List all its sets: NAME=A,B,C.")
        found[name] = sets
    if not found:
        raise InputError("no samples are given", where="SAMPLES", hint="Give a folder, an .npy or an .npz file.")
    return found
