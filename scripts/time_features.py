"""Time feature extractors on MNIST at 32 x 32, one thread: images a second of CPU time, the best of three.

    python scripts/time_features.py pixels random lite0

The figures in docs/reference/features.md come from here.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

from triptych.data import dataset
from triptych.evaluation import features

COUNTS = {"inception": 20, "lite0": 300}  # images; others have the default
DEFAULT = 2000


def main() -> None:
    torch.set_num_threads(1)
    data = dataset.load_images("mnist", size=32)
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            (extractor,) = features.choose([name], data, Path(folder))
            made = time.process_time() - start
        images = data.test.images(torch.arange(COUNTS.get(name, DEFAULT)))
        seconds = []
        for _ in range(3):
            start = time.process_time()
            extractor(images)
            seconds.append(time.process_time() - start)
        print(f"{name}: made in {made:.1f} s, {len(images) / min(seconds):.0f} images/s")


if __name__ == "__main__":
    main()
