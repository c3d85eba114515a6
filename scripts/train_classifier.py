"""Train the MNIST classifier that the package ships; some minutes of one core.

    python scripts/train_classifier.py

Trained on the first 50,000 training images. Every choice (widths, rate, augmentation, length) is judged on
the last 10,000, whose accuracy is printed and written to src/triptych/evaluation/weights/mnist_classifier.json, next to
the weights. Only when the choice is made, `python scripts/train_classifier.py --test` looks at the test
images, once, and adds their accuracy to the record.

The record also holds mean and standard deviation of each feature over the 50,000 images, by which the features are
standardised; `--statistics` computes these again for the weights that are there.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from triptych.evaluation.classifier import FEATURES, Classifier, accuracy, from_weights, resize, train
from triptych.evaluation.features.classifier import statistics

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "triptych"
WEIGHTS = PACKAGE / "evaluation" / "weights" / "mnist_classifier.safetensors"
HELD_OUT = 10_000


def read(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Images [N, 1, 28, 28] in [-1, 1] and labels [N] of "train" or "t10k", from IDX files."""
    pixels = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    images = torch.from_numpy(np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, 28, 28).copy())
    return images.float() / 127.5 - 1, torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))


def accuracies(network: Classifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy as the images are, and seen through 32 and 16 pixels."""
    seen = {"28": images, "28-32-28": resize(resize(images, 32)), "28-16-28": resize(resize(images, 16))}
    return {path: accuracy(network, x, labels) for path, x in seen.items()}


def fit(options: argparse.Namespace) -> dict[str, object]:
    """Train, write the weights, and return their record with the accuracies on the held-out images."""
    images, labels = read(options.data, "train")
    start = time.perf_counter()

    def progress(seen: int, loss: float) -> None:
        if seen % (128 * 100) == 0:
            print(f"{seen:8d} images  loss {loss:.4f}  {time.perf_counter() - start:.0f} s", flush=True)

    network = train(
        images[:-HELD_OUT],
        labels[:-HELD_OUT],
        10,
        total_images=options.total_images,
        seed=options.seed,
        progress=progress,
    )
    arguments = f"--total-images {options.total_images} --seed {options.seed}"
    weights = safetensors.torch.save(network.state_dict())
    WEIGHTS.write_bytes(weights)
    return {
        "sha256": hashlib.sha256(weights).hexdigest(),
        "channels": 1,
        "label_names": [str(digit) for digit in range(10)],
        "features": FEATURES,
        **statistics(network, images[:-HELD_OUT]),
        "total_images": options.total_images,
        "seed": options.seed,
        "torch": torch.__version__,
        "command": f"python scripts/train_classifier.py {arguments}",
        "held_out_accuracy": accuracies(network, images[-HELD_OUT:], labels[-HELD_OUT:]),
    }


def test(folder: Path) -> dict[str, object]:
    """The shipped record with the accuracies on the test images added."""
    record, network = shipped()
    return record | {"test_accuracy": accuracies(network, *read(folder, "t10k"))}


def standardise(folder: Path) -> dict[str, object]:
    """The shipped record with the features' means and standard deviations over the training images added."""
    record, network = shipped()
    return record | statistics(network, read(folder, "train")[0][:-HELD_OUT])


def shipped() -> tuple[dict[str, Any], Classifier]:
    """The record and the classifier that are there."""
    record = json.loads(WEIGHTS.with_suffix(".json").read_text())
    weights = safetensors.torch.load(WEIGHTS.read_bytes())
    return record, from_weights(weights, record["channels"], len(record["label_names"]))


def main() -> None:
    """Train and record, or add to the record of the weights that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=PACKAGE / "data" / "sources" / "mnist_idx", help="folder of IDX .gz files"
    )
    parser.add_argument("--total-images", type=int, default=700_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", action="store_true", help="train nothing; test the weights that are there")
    parser.add_argument("--statistics", action="store_true", help="train nothing; standardise the features again")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the thread count can change bits
    task = test if options.test else standardise if options.statistics else None
    record = task(options.data) if task else fit(options)
    text = json.dumps(record, indent=2)
    WEIGHTS.with_suffix(".json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
