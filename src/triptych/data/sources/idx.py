"""A folder of IDX files, plain or .gz: Fashion-MNIST, KMNIST, EMNIST and MNIST itself.

Format: http://yann.lecun.com/exdb/mnist (big-endian magic 0x00000803 for images, 0x00000801 for labels, then
one 32-bit count per dimension, then the bytes). Plain image files are memory-mapped; compressed ones are read
whole. EMNIST stores each image transposed, so files whose names begin with "emnist-" are turned upright.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from triptych.data.sources import Raw, array_split, dense_labels, path_of
from triptych.errors import InputError
from triptych.spec import DataSpec

NAME = re.compile(r"(?P<family>emnist-\w+-)?(?P<split>train|t10k|test)-(?P<kind>images|labels)[-.]idx[13]-ubyte(\.gz)?")


def recognises(path: Path) -> bool:
    """Whether the path is a folder of IDX files, or one training image file, whose siblings then are read
    too.
    """
    candidates = path.iterdir() if path.is_dir() else [path]
    return any(NAME.fullmatch(candidate.name) for candidate in candidates)


def load(spec: DataSpec) -> Raw:
    """The IDX files of a folder; `spec.path` may also name one file, to choose among several sets in its
    folder.
    """
    path = path_of(spec)
    if path.is_dir():
        return read_folder(path)
    match = NAME.fullmatch(path.name)
    if match is None:
        raise InputError("not a name of an IDX file", where="data.path", value=spec.path, hint=_EXPECTED)
    return read_folder(path.parent, match["family"] or "")


def read_folder(folder: Path, family: str | None = None) -> Raw:
    """Training and, where there is one, test split of the IDX files in a folder, in their original order.

    `family` chooses among several sets, such as "emnist-letters-". Raises InputError, naming the file, for a
    bad magic number, a truncated file, or unequal numbers of images and labels.
    """
    files = _files(folder, family)
    transposed = any(path.name.startswith("emnist-") for path in files.values())
    splits = [split for split in ("train", "test") if (split, "images") in files]
    notes = ["EMNIST stores its images transposed: they were turned upright."] if transposed else []
    images = {split: read_idx(files[split, "images"], 3) for split in splits}
    labels = {split: read_idx(files[split, "labels"], 1) for split in splits if (split, "labels") in files}
    for split, own in labels.items():
        if len(own) != len(images[split]):
            raise InputError(
                f"{len(own)} labels for {len(images[split])} images",
                where=str(files[split, "labels"]),
                hint="The two files of a split must belong together.",
            )
    label_names = None
    if len(labels) == len(splits):
        labels, label_names = dense_labels(labels)
    elif labels:
        labels = {}
        notes.append("Only one of the two splits has a label file: no labels were used.")
    raw = {
        split: array_split((own.swapaxes(1, 2) if transposed else own)[..., None], labels.get(split))
        for split, own in images.items()
    }
    return Raw(raw["train"], test=raw.get("test"), label_names=label_names, notes=notes)


_EXPECTED = "Expected names: train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k, plain or .gz."


def _files(folder: Path, family: str | None) -> dict[tuple[str, str], Path]:
    """The files of one set by (split, "images" or "labels"); a plain file goes before its .gz."""
    found: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(folder.iterdir()):
        if match := NAME.fullmatch(path.name):
            split = "train" if match["split"] == "train" else "test"
            found.setdefault(match["family"] or "", {}).setdefault((split, match["kind"]), path)
    if family is not None:
        found = {family: found.get(family, {})}
    elif len(found) > 1:
        raise InputError(
            f"several data sets in one folder ({', '.join(name.strip('-') or 'unnamed' for name in found)})",
            where=str(folder),
            hint="Give the path of the training image file of the one that you mean.",
        )
    files = next(iter(found.values()), {})
    if ("train", "images") not in files:
        raise InputError("no IDX file of training images", where=str(folder), hint=_EXPECTED)
    return files


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The uint8 array in one IDX file, plain (then a read-only memory map) or .gz; `dimensions` is what it
    must have.

    Raises InputError, naming the file, for a bad magic number, a truncated or overlong file, or one without
    entries.
    """
    where, header = str(path), 4 + 4 * dimensions
    body = b""
    if path.suffix == ".gz":
        try:
            body = gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"truncated or damaged gzip file ({error})", where=where, hint=_FETCH_AGAIN) from error
    else:
        with path.open("rb") as file:
            body = file.read(header)
    total = len(body) if path.suffix == ".gz" else path.stat().st_size
    if body[:4] != bytes((0, 0, 8, dimensions)):
        raise InputError(
            f"not an IDX file of {'images' if dimensions == 3 else 'labels'}: bad magic number",
            where=where,
            value=body[:4].hex(),
            hint=f"It must begin with 000008{dimensions:02x}, the code for uint8.",
        )
    shape = tuple(int(n) for n in np.frombuffer(body[4:header].ljust(4 * dimensions, b"\0"), ">u4"))
    expected = header + int(np.prod(shape, dtype=np.int64))
    if total != expected:
        fault = "truncated" if total < expected else "overlong"
        raise InputError(f"{fault} IDX file: {total} bytes, not {expected}", where=where, hint=_FETCH_AGAIN)
    if 0 in shape:
        raise InputError("an IDX file without entries", where=where, value=shape)
    if path.suffix == ".gz":
        return np.frombuffer(body, np.uint8, offset=header).reshape(shape)
    return np.memmap(path, np.uint8, "r", offset=header, shape=shape)


_FETCH_AGAIN = "Fetch the file again."
