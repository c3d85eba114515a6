"""The penultimate layer of a classifier (64-d): the shipped one for MNIST, else one trained on the user's labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from torch import Tensor

from triptych import store
from triptych.errors import InputError
from triptych.evaluation.classifier import accuracy, from_weights, train
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.features._fitted import Fitted, fitted, some

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

    def embed(images: Tensor) -> Tensor:  # a classifier of grey images sees colour ones in grey
        return network.features(images.mean(1, keepdim=True) if record["channels"] == 1 else images)

    return Extractor(
        name=record["name"],
        sha256=record["sha256"],
        dimension=record["features"],
        embed=embed,
        logits=network.logits,
        label_names=names,
        networks=(network,),
    )


def _fit(dataset: Dataset) -> Fitted:
    """The classifier trained on the labels."""
    chosen, images = some(dataset.train)
    assert dataset.train.labels is not None
    labels = dataset.train.labels.cpu()
    names = list(dataset.label_names or map(str, range(int(labels.max()) + 1)))
    total_images = min(60_000, max(6_400, 20 * len(images)))  # half a minute of one core at most, in grey
    network = train(images, labels[chosen], len(names), total_images=total_images)
    record: dict[str, Any] = {"name": "own-classifier", "channels": dataset.channels, "label_names": names}
    record |= {"features": network.head.in_features, "total_images": total_images}
    if len(dataset.validation) and dataset.validation.labels is not None:
        chosen, images = some(dataset.validation)
        record["held_out_accuracy"] = accuracy(network, images, dataset.validation.labels.cpu()[chosen])
    return dict(network.state_dict()), record
