"""A folder of images in the formats that `triptych.imagefile` opens, at any depth.

The first level of subfolders gives the labels. If all images lie in `train/` and, where there are any,
`test/` and `val/`, these are the splits, and the labels are the subfolders of those. Every image is decoded
twice: once by `load`, which thereby knows the sizes, the colours and the broken files before anything is
written, and once when it is read.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from triptych.data.sources import BATCH_BYTES, Raw, RawSplit, path_of
from triptych.errors import InputError
from triptych.imagefile import open_image
from triptych.spec import DataSpec

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
SPLIT_FOLDERS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "validation")
REMARKS = {
    "alpha": "had transparency: composited over black",
    "deep": "had 16-bit grey values: scaled to 8 bits",
    "frames": "were animated: the first frame was taken",
    "turned": "were turned as their EXIF orientation says",
}


@dataclass
class _Findings:
    """What the first pass over the files found."""

    remarks: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)


def recognises(path: Path) -> bool:
    """Whether the path is a folder with at least one image at any depth."""
    return path.is_dir() and next(_files(path), None) is not None


def load(spec: DataSpec) -> Raw:
    """The images under a folder, in order of their names.

    Raises InputError for a folder without images and, unless `spec.broken` is "skip", for files that cannot
    be decoded: the first is named and all are counted.
    """
    root = path_of(spec)
    if not root.is_dir():
        raise InputError("not a folder of images", where="data.path", value=spec.path)
    survey = _Findings()
    notes: list[str] = []
    listed = _listed(root, notes)
    whole = {split: _survey(root, files, survey) for split, (_, files) in listed.items()}
    if survey.broken and spec.broken == "error":
        first, reason = next(iter(survey.broken.items()))
        total = sum(len(files) for _, files in listed.values())
        raise InputError(
            f"cannot be decoded ({reason}); {len(survey.broken)} of {total} images are broken",
            where=str(root / first),
            hint='Repair or remove them, or leave them out: broken = "skip" (command line: --broken skip).',
        )
    labels = {split: _labels(listed[split][0], list(found)) for split, found in whole.items()}
    label_names = sorted({label for own in labels.values() for label in own if label is not None})
    unlabelled = sum(own.count(None) for own in labels.values())
    if label_names and unlabelled:
        notes.append(f"{unlabelled} images lie outside the labelled subfolders: no labels were used.")
    if unlabelled or len(label_names) < 2:
        label_names = []
    notes += [f"{count} images {REMARKS[remark]}." for remark, count in sorted(survey.remarks.items())]
    if survey.broken:
        notes.append(f"{len(survey.broken)} images could not be decoded and were skipped.")
    raw = {split: _split(found, labels[split], label_names) for split, found in whole.items() if found}
    if "train" not in raw:
        raise InputError("no readable training image in the folder", where=str(root))
    return Raw(
        train=raw["train"],
        validation=raw.get("validation"),
        test=raw.get("test"),
        label_names=label_names or None,
        by_class=True,
        notes=notes,
        skipped=list(survey.broken),
    )


def _listed(root: Path, notes: list[str]) -> dict[str, tuple[Path, list[Path]]]:
    """Each split's own folder and its image files, in order; only "train", the whole folder, without
    `train/`.
    """
    files = list(_files(root))
    if not files:
        raise InputError("no images in the folder", where=str(root), hint=f"Read are {', '.join(SUFFIXES)}.")
    tops = {file.relative_to(root).parts[0] for file in files}
    roles = [SPLIT_FOLDERS.get(top) for top in tops]
    if "train" in tops and None not in roles and len(set(roles)) == len(roles):
        folders = {SPLIT_FOLDERS[top]: root / top for top in sorted(tops, reverse=True)}
        return {split: (folder, list(_files(folder))) for split, folder in folders.items()}
    if "train" in tops:
        notes.append("train/ was taken for a label, since images lie outside train/, test/ and val/.")
    return {"train": (root, files)}


def _files(folder: Path) -> Iterator[Path]:
    """The image files under a folder, hidden ones left out, in an order that no file system changes."""
    for here, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(here, name)


def _survey(root: Path, files: list[Path], survey: _Findings) -> dict[Path, tuple[int, ...]]:
    """Each readable file's shape (height, width, channels); remarks and broken files go into `survey`."""
    shapes = {}
    for path in files:
        try:
            image, remarks = decode(path)
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            if isinstance(error, InputError):
                reason = f"{error.what}; it begins with {error.value!r}"
            else:
                reason = str(error).replace(str(path), path.name) or type(error).__name__
            survey.broken[path.relative_to(root).as_posix()] = reason
        else:
            shapes[path] = image.shape
            survey.remarks.update(remarks)
    return shapes


def _labels(folder: Path, files: list[Path]) -> list[str | None]:
    """Each file's label: the first folder between the split's folder and the file, None if there is none."""
    parts = (path.relative_to(folder).parts for path in files)
    return [own[0] if len(own) > 1 else None for own in parts]


def _split(shapes: dict[Path, tuple[int, ...]], labels: list[str | None], label_names: list[str]) -> RawSplit:
    """The files of one split as a RawSplit that decodes them when they are asked for."""
    paths = list(shapes)

    def read(indices: np.ndarray) -> Iterator[np.ndarray]:
        batch: list[np.ndarray] = []
        for index in indices:
            image, _ = decode(paths[index])
            if batch and (image.shape != batch[0].shape or (len(batch) + 1) * image.nbytes > BATCH_BYTES):
                yield np.stack(batch)
                batch = []
            batch.append(image)
        if batch:
            yield np.stack(batch)

    numbers = {name: number for number, name in enumerate(label_names)}
    return RawSplit(
        sizes=Counter(shape[:2] for shape in shapes.values()),  # type: ignore[arg-type]
        colour=sum(shape[2] == 3 for shape in shapes.values()),
        read=read,
        labels=np.array([numbers[str(label)] for label in labels], np.int64) if label_names else None,
    )


def decode(path: Path) -> tuple[np.ndarray, list[str]]:
    """One image as uint8 [H, W, C], upright, and remarks on what was converted (keys of `REMARKS`).

    C is 1 exactly when the image has no colour, however it was stored. Raises InputError for other formats, whatever
    Pillow raises on damaged files, and ValueError for 32-bit and floating-point pixels, whose range is unknown.
    """
    remarks: list[str] = []
    with open_image(path) as file:
        if getattr(file, "n_frames", 1) > 1:
            remarks.append("frames")
        file.load()
        if file.getexif().get(0x0112, 1) not in (0, 1):
            remarks.append("turned")
        image = ImageOps.exif_transpose(file)
    if image.mode == "F" or (image.mode == "I" and not _fits_16_bits(image)):
        raise ValueError(f"pixels of mode {image.mode}, of unknown range")
    if image.mode.startswith("I"):
        return np.rint(np.asarray(image, np.float64) / 257).astype(np.uint8)[..., None], [*remarks, "deep"]
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        if np.asarray(image)[..., 3].min() < 255:
            remarks.append("alpha")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None], remarks
    pixels = np.asarray(image.convert("RGB"))
    grey = (pixels[..., :1] == pixels).all()
    return (pixels[..., :1] if grey else pixels), remarks


def _fits_16_bits(image: Image.Image) -> bool:
    """Whether a 32-bit image holds nothing but 16-bit values, as older Pillows open 16-bit PNGs."""
    low, high = image.getextrema()
    return low >= 0 and high <= 65535  # type: ignore[operator]
