"""Images in a NumPy file: one array in .npy (memory-mapped), or an .npz with any of the usual keys.

Keys of an .npz: `images`, `x`, `x_train`, `train_images` ... for the training images; `x_val`, `val_images`
... and `x_test`, `test_images` ... for splits of its own (Keras' and MedMNIST's layouts); `labels`, `y`,
`y_train`, `train_labels` ... for labels. Images are uint8, or floats that lie in [0, 1] or [-1, 1]; their
shape is [N, H, W], [N, H, W, C] or [N, C, H, W]. Pickled arrays are refused, since unpickling runs code.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from triptych.data.sources import BATCH_BYTES, Raw, array_split, dense_labels, path_of
from triptych.errors import InputError
from triptych.spec import DataSpec

IMAGE_KEYS = {
    "train": ("train_images", "x_train", "X_train", "images_train", "images", "x", "X", "data", "arr_0"),
    "validation": ("val_images", "validation_images", "x_val", "X_val", "x_valid", "images_val"),
    "test": ("test_images", "x_test", "X_test", "images_test"),
}
LABEL_KEYS = {
    "train": ("train_labels", "y_train", "labels_train", "labels", "y", "arr_1"),
    "validation": ("val_labels", "validation_labels", "y_val", "y_valid", "labels_val"),
    "test": ("test_labels", "y_test", "labels_test"),
}
PICKLE = b"\x80"  # the first byte of every pickle since protocol 2


def recognises(path: Path) -> bool:
    """Whether the path is an .npy or .npz file."""
    return path.is_file() and path.suffix.lower() in (".npy", ".npz")


def load(spec: DataSpec) -> Raw:
    """The splits in an .npy or .npz file, in their original order."""
    path = path_of(spec)
    where = str(path)
    arrays, labels = _read(path, where)
    if "train" not in arrays:
        raise InputError("no training images in the file", where=where, hint=f"Call them {IMAGE_KEYS['train'][0]!r}.")
    notes: list[str] = []
    images = {split: _channels_last(array, f"{where} ({split})") for split, array in arrays.items()}
    to_uint8 = _conversion(images, where, notes)
    labels, label_names = _labels(labels, images, where, notes)
    raw = {split: array_split(array, labels.get(split), to_uint8) for split, array in images.items()}
    return Raw(
        train=raw["train"], validation=raw.get("validation"), test=raw.get("test"), label_names=label_names, notes=notes
    )


def _read(path: Path, where: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Image and label arrays by split; raises InputError for no NumPy file, or one of pickled objects."""
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        try:
            if magic == b"\x93NUMPY":
                return {"train": np.load(path, mmap_mode="r", allow_pickle=False)}, {}
            if magic[:2] == b"PK":
                archive = np.load(file, allow_pickle=False)
                return _pick(archive, IMAGE_KEYS), _pick(archive, LABEL_KEYS)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            # What numpy says when it refuses to unpickle an array, or to map one of objects.
            if "allow_pickle" not in str(error) and "Python objects" not in str(error):
                raise InputError(f"cannot be read as a NumPy file ({error})", where=where) from error
            magic = PICKLE
    if magic.startswith(PICKLE):
        raise InputError(
            "holds pickled Python objects, which are never loaded: unpickling can run any code",
            where=where,
            hint="Save the images again as one uint8 array.",
        )
    raise InputError("not a NumPy file", where=where, value=magic, hint="np.save and np.savez write such files.")


def _pick(archive: np.lib.npyio.NpzFile, keys: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray]:
    """The first of each split's keys that the archive has."""
    chosen = {split: next((key for key in own if key in archive.files), None) for split, own in keys.items()}
    return {split: archive[key] for split, key in chosen.items() if key is not None}


def _channels_last(array: np.ndarray, where: str) -> np.ndarray:
    """A view [N, H, W, C] with C = 1 or 3; where first and last could both be channels, the last are."""
    if array.ndim == 3 and 0 not in array.shape:
        return array[..., None]
    if array.ndim == 4 and 0 not in array.shape:
        if array.shape[3] in (1, 3):
            return array
        if array.shape[1] in (1, 3):
            return np.moveaxis(array, 1, 3)
    raise InputError(
        "not an array of images",
        where=where,
        value=array.shape,
        hint="Shapes are [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels.",
    )


def _conversion(
    images: dict[str, np.ndarray], where: str, notes: list[str]
) -> Callable[[np.ndarray], np.ndarray] | None:
    """How to make uint8 of the arrays: None when they are; one rule for all splits, from their common
    range.
    """
    if all(array.dtype == np.uint8 for array in images.values()):
        return None
    for split, array in images.items():
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(
                "pixels are neither uint8 nor floats",
                where=f"{where} ({split})",
                value=str(array.dtype),
                hint="If they lie in 0 to 255, save them with .astype('uint8').",
            )
    extremes = [(float(c.min()), float(c.max())) for array in images.values() for c in _chunks(array)]
    if not np.isfinite(extremes).all():
        raise InputError("NaN or infinite pixels", where=where, hint="Remove or repair those images.")
    low, high = min(e[0] for e in extremes), max(e[1] for e in extremes)
    if low < -1 or high > 1:
        raise InputError(
            f"floats from {low:g} to {high:g}",
            where=where,
            hint="Scale them to [0, 1] or [-1, 1], or save uint8.",
        )
    scale, shift = (127.5, 127.5) if low < 0 else (255.0, 0.0)
    total = sum(map(len, images.values()))
    notes.append(f"{total} images were floats in [{'-1' if low < 0 else '0'}, 1]: scaled to 0 to 255 and rounded.")
    return lambda batch: np.rint(batch.astype(np.float64) * scale + shift).astype(np.uint8)


def _chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The array in pieces of bounded size, so that a memory map is never in memory whole."""
    step = max(1, BATCH_BYTES // max(1, array[0].nbytes))
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _labels(
    labels: dict[str, np.ndarray], images: dict[str, np.ndarray], where: str, notes: list[str]
) -> tuple[dict[str, np.ndarray], list[str] | None]:
    """One label per image and their names; without labels, or with several per image, none."""
    labels = {split: own.reshape(len(own)) if own.shape[1:] == (1,) else own for split, own in labels.items()}
    labels = {split: own for split, own in labels.items() if split in images}
    for split, own in labels.items():
        if own.ndim == 0 or len(own) != len(images[split]):
            raise InputError(f"{own.size} labels for {len(images[split])} images", where=f"{where} ({split})")
    if not labels:
        return {}, None
    if any(own.ndim > 1 for own in labels.values()):
        notes.append("The file holds several labels per image: none were used.")
        return {}, None
    if len(labels) < len(images):
        notes.append("Not every split has labels: none were used.")
        return {}, None
    if any(own.dtype.kind == "f" and not np.array_equal(own, np.rint(own)) for own in labels.values()):
        raise InputError("labels are not whole numbers", where=where)
    whole = {split: own.astype(np.int64) if own.dtype.kind == "f" else own for split, own in labels.items()}
    return dense_labels(whole)
