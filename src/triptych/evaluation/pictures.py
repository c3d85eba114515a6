"""Pictures that the commands make of a trained run."""

from __future__ import annotations

from pathlib import Path

import torch

from triptych.data import dataset
from triptych.directory import RunDirectory
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.training import grids


def reconstructions(folder: Path, data: str | None, n: int | None) -> tuple[bytes, int]:
    """A PNG of the first n test images, 32 by default, each above its reconstruction by the run; and how many they are.

    The images are those of the run's study unless `data` names others. Raises InputError if there are fewer than n.
    """
    opened = Run(folder)
    spec = opened.spec.data
    if data is None:
        images = dataset.open(RunDirectory(folder).study.data, resident_bytes=0).test
    else:
        images = dataset.load_images(data, spec.size, opened.channels, spec.fit, spec.broken).test  # type: ignore[arg-type]
    if n is not None and len(images) < n:
        raise InputError(f"there are only {len(images)} test images", where="--number", value=n)
    rows = torch.arange(n or min(32, len(images)))
    originals, labels = images.images(rows), None if images.labels is None else images.labels[rows]
    return grids.png(grids.alternate(originals, opened.reconstruct(originals, labels))), len(rows)
