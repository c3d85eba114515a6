"""The penultimate layer of a classifier (64-d): the shipped one for MNIST, else one trained on the user's labels.

Each feature is shifted and scaled to mean 0 and variance 1 over training images: BatchNorm ends in a scale of its own,
which leaves the shipped classifier's features variances of 1.6 to 2.5. The numbers for that are in the record; for the
shipped one, `scripts/train_classifier.py --statistics` has written them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from torch import Tensor

from triptych import store
from triptych.errors import InputError
from triptych.evaluation.classifier import Classifier, accuracy, from_weights, train
from triptych.evaluation.features._extractor import Extractor, in_batches
from triptych.evaluation.features._fitted import Fitted, fitted, fitted_on, some, to_fit

if TYPE_CHECKING:
    from triptych.data.dataset import Dataset


def extractor(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Extractor:
    """The classifier for these data; raises InputError if they have no two classes to tell apart."""
    if dataset.source == "mnist":
        return mnist_extractor()
    if not has_classes(dataset):
        raise InputError(
            "the data have no labels of two classes or more to train a classifier on",
            where="scoring.features",
            value="classifier",
            hint='Take "pixels" or "random".',
        )
    return _extractor(*fitted("classifier", _fit, dataset, folder, say))


def has_classes(dataset: Dataset) -> bool:
    """Whether there are two classes to tell apart, or a classifier that is shipped."""
    labels = dataset.train.labels
    return dataset.source == "mnist" or (labels is not None and len(labels.unique()) > 1)


def mnist_extractor() -> Extractor:
    """The shipped MNIST classifier; raises ValueError if its weights are not those of its record."""
    files = resources.files("triptych.evaluation") / "weights"
    weights = (files / "mnist_classifier.safetensors").read_bytes()
    record = json.loads((files / "mnist_classifier.json").read_text())
    if store.sha256(weights) != record["sha256"]:
        raise ValueError("weights/mnist_classifier.safetensors is not the file of mnist_classifier.json; reinstall")
    return _extractor(safetensors.torch.load(weights), record | {"name": "mnist-classifier"})


def _extractor(tensors: dict[str, Tensor], record: dict[str, Any]) -> Extractor:
    """An extractor from its tensors and their record."""
    names = tuple(record["label_names"])
    network = from_weights(tensors, record["channels"], len(names))
    mean, sd = torch.tensor(record["feature_mean"]), torch.tensor(record["feature_sd"])

    def embed(images: Tensor) -> Tensor:  # a classifier of grey images sees colour ones in grey
        grey = record["channels"] == 1
        return (network.features(images.mean(1, keepdim=True) if grey else images) - mean) / sd

    return Extractor(
        name=record["name"],
        sha256=store.sha256(json.dumps([record["sha256"], record["feature_mean"], record["feature_sd"]]).encode()),
        dimension=record["features"],
        embed=embed,
        logits=lambda features: network.logits(features * sd + mean),
        label_names=names,
        batch=50,  # as fast per image as 250, and a fifth of the work for few images: the last batch is filled up
        networks=(network,),
    )


def statistics(network: Classifier, images: Tensor) -> dict[str, list[float]]:
    """Mean and standard deviation of each feature over images [N, C, H, W]; a constant feature keeps its scale."""
    features = in_batches(network.features, images).double()
    sd = features.std(0, correction=0)
    return {"feature_mean": features.mean(0).tolist(), "feature_sd": sd.where(sd > 1e-6, 1.0).tolist()}


def fitting_images(counts: Mapping[str, int]) -> int:
    """The images that a classifier of one's own is trained on in all, for data of these counts by split."""
    return _total_images(fitted_on(counts["train"], counts["test"]))


def _total_images(count: int) -> int:
    return min(60_000, max(6_400, 20 * count))  # half a minute of one core at most, in grey


def _fit(dataset: Dataset) -> Fitted:
    """The classifier trained on the labels."""
    chosen, images = to_fit(dataset)
    assert dataset.train.labels is not None
    labels = dataset.train.labels.cpu()
    names = list(dataset.label_names or map(str, range(int(labels.max()) + 1)))
    total_images = _total_images(len(images))
    network = train(images, labels[chosen], len(names), total_images=total_images)
    record: dict[str, Any] = {"name": "own-classifier", "channels": dataset.channels, "label_names": names}
    record |= {"features": network.head.in_features, "total_images": total_images, **statistics(network, images)}
    if len(dataset.validation) and dataset.validation.labels is not None:
        chosen, images = some(dataset.validation)
        record["held_out_accuracy"] = accuracy(network, images, dataset.validation.labels.cpu()[chosen])
    return dict(network.state_dict()), record
