"""Where images come from: one file per source, each with `load(spec) -> Raw`.

A source hands out raw uint8 images of whatever size they have; resizing, splitting and scaling belong to
`triptych.data.prepare` and `triptych.data.dataset`, once for all sources. A new source is one new file here (or
"package.module:load" from outside). If its file has `recognises(path) -> bool`, the command line finds it by
path. A source with options of its own defines `Options` (a subclass of `triptych.spec.Frozen`) and
`load(spec, options)`. A file with `path_is_file = False` says that its `path` is not a file path but, for example, a
name or an address: it is then passed on as it is.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from triptych import plugins
from triptych.errors import InputError
from triptych.plugins import names, suggest
from triptych.spec import DataSpec, Frozen, checked

WHERE = "data.source"
BATCH_BYTES = 4 * 2**20


@dataclass(frozen=True)
class RawSplit:
    """Images that are read when asked for, so that a huge folder or array is never in memory whole.

    `sizes` counts the images by (height, width), `colour` those of 3 channels. `read(indices)` yields the
    images in the order of the indices as uint8 batches [b, H, W, C], each of one size and with C = 1 or 3.
    `labels` are int64 positions in `Raw.label_names`, or None.
    """

    sizes: Counter[tuple[int, int]]
    colour: int
    read: Callable[[np.ndarray], Iterator[np.ndarray]]
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return self.sizes.total()


@dataclass(frozen=True)
class Raw:
    """What a source holds: its own splits as far as it has any, and what was done to them.

    `by_class` says that the images stand in order of class and must be shuffled before any are held out.
    `notes` are sentences about whatever was converted; `skipped` names the files that were left out as
    broken.
    """

    train: RawSplit
    validation: RawSplit | None = None
    test: RawSplit | None = None
    label_names: list[str] | None = None
    by_class: bool = False
    notes: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def splits(self) -> dict[str, RawSplit]:
        """The splits that the source has itself, by name."""
        own = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in own.items() if split is not None}


def array_split(
    images: np.ndarray, labels: np.ndarray | None, to_uint8: Callable[[np.ndarray], np.ndarray] | None = None
) -> RawSplit:
    """A split over an array or memory map [N, H, W, C], in batches of at most 4 MiB.

    `to_uint8` converts a batch of anything else than uint8.
    """
    count, height, width, channels = images.shape
    step = max(1, BATCH_BYTES // (height * width * channels * images.itemsize))

    def read(indices: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(indices), step):
            batch = images[indices[start : start + step]]
            yield to_uint8(batch) if to_uint8 else batch

    return RawSplit(
        sizes=Counter({(height, width): count}), colour=count if channels == 3 else 0, read=read, labels=labels
    )


def dense_labels(labels: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """Labels of any values by split, as int64 positions in one sorted list of names; 0 to 9 stay 0 to 9."""
    values = np.unique(np.concatenate(list(labels.values())))
    dense = {split: np.searchsorted(values, own).astype(np.int64) for split, own in labels.items()}
    return dense, [str(value) for value in values.tolist()]


def path_of(spec: DataSpec) -> Path:
    """The source's path; raises InputError when it is missing or does not exist."""
    if spec.path is None:
        raise InputError(f"the source {spec.source!r} needs a path", where="data.path", hint="Set data.path.")
    path = Path(spec.path)
    if not path.exists():
        raise InputError("no such file or folder", where="data.path", value=spec.path)
    return path


def load(spec: DataSpec) -> Raw:
    """The raw images of `spec.source`; raises InputError for an unknown source, wrong options or unusable images."""
    loader, options = plugins.function("sources", spec.source, where=WHERE), options_of(spec)
    arguments = (spec,) if options is None else (spec, options)
    try:
        raw = loader(*arguments)
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:
        if not plugins.is_outside(spec.source):
            raise
        what = f"loading raised {type(error).__name__}: {error}"
        hint = "A source without `Options` is called as load(spec), one with `Options` as load(spec, options)."
        raise InputError(what, where=WHERE, value=spec.source, hint=hint) from error
    if not isinstance(raw, Raw):
        what = f"the data source returned a {type(raw).__name__}, not a triptych.data.sources.Raw"
        raise InputError(what, where=WHERE, value=spec.source)
    return raw


def options_of(spec: DataSpec) -> Frozen | None:
    """The source's own options, validated, or None if it has none; raises InputError for unknown ones."""
    kind = plugins.options_of("sources", spec.source, Frozen, WHERE)
    if kind is not None:
        return checked(kind, spec.options, "data.options")
    if spec.options:
        raise InputError(f"the source {spec.source!r} has no options", where="data.options", value=spec.options)
    return None


def path_is_file(source: str) -> bool:
    """Whether the source's `path` is a file path, so that a relative one in a study is meant from the study's file."""
    return getattr(plugins.module_of("sources", source, WHERE), "path_is_file", True) is not False


_READABLE = "Readable by path: a folder of IDX files or of images (PNG, JPEG ...), an .npy or an .npz file."


def guess_source(text: str) -> tuple[str, str | None]:
    """What DATA on the command line means: (source, path), the path None for a set that needs none, such as
    mnist.

    A name is tried before a path, so `./mnist` is how to say a folder called mnist. Raises InputError for an
    unknown name, a missing path, an empty folder, or one that holds nothing any source can read.
    """
    recognisers = {
        name: getattr(importlib.import_module(f"triptych.data.sources.{name}"), "recognises", None)
        for name in names("sources")
    }
    pathless = [name for name, recognises in recognisers.items() if recognises is None]
    path = Path(text)
    if text in pathless or (":" in text and not path.exists()):
        return text, None
    if not path.exists():
        raise InputError(
            "no data set, file or folder of this name",
            where="DATA",
            value=text,
            hint=f"{suggest(text, pathless)} {_READABLE}",
        )
    for name, recognises in recognisers.items():
        if recognises is not None and recognises(path):
            return name, text
    raise InputError(
        _why_unreadable(path),
        where="DATA",
        value=text,
        hint=_READABLE,
    )


def _why_unreadable(path: Path) -> str:
    """What is the matter with a path that no source recognises."""
    if not path.is_dir():
        return "no data source reads files of this kind"
    held = sorted(entry.name for entry in path.iterdir())
    if not held:
        return "the folder is empty"
    return f"no images found in the folder, which holds {', '.join(held[:5])}{' ...' if len(held) > 5 else ''}"
