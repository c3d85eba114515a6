"""Feature extractors: what turns images into the vectors that Frechet distance, KID and PRDC compare.

For MNIST the shipped classifier's penultimate layer; for other labelled images the same network trained on
their labels; for the rest, principal components of the pixels. Every score names its extractor: values in
different features do not compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import scipy.linalg
import torch
from torch import Tensor

from triptych import store
from triptych.classifier import accuracy, from_weights, resize, train

if TYPE_CHECKING:
    from triptych.dataset import Dataset, Split

BATCH = 250
MOST_TRAINING = 20_000  # images that a user's own classifier or components are fitted on
MOST_COMPONENTS = 64


@torch.no_grad()
def in_batches(function: Callable[[Tensor], Tensor], inputs: Tensor, size: int = BATCH) -> Tensor:
    """`function` of inputs [N, ...] in batches of exactly `size`, on the CPU.

    The last batch is filled up with copies of its first row and cut after: the size of a batch can change the
    last bits of a result, so all have the same.
    """
    results = []
    for part in inputs.split(size):
        full = torch.cat([part, part[:1].expand(size - len(part), *part.shape[1:])])
        results.append(function(full)[: len(part)].cpu())
    return torch.cat(results)


@dataclass(frozen=True)
class Extractor:
    """Images [B, C, H, W] in [-1, 1] to features [B, d] in float64, with probabilities if a classifier."""

    name: str
    sha256: str  # of its weights
    dimension: int
    embed: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor] | None = None  # of features
    label_names: tuple[str, ...] | None = None

    @property
    def identity(self) -> str:
        """Its name and the first eight digits of its weights' hash, as it stands beside scores."""
        return f"{self.name}@{self.sha256[:8]}"

    def __call__(self, images: Tensor) -> np.ndarray:
        return in_batches(self.embed, images.detach().float()).double().numpy()

    def classify(self, features: np.ndarray) -> np.ndarray | None:
        """Class probabilities [B, K] in float64 of features [B, d]; None if this is no classifier."""
        if self.logits is None:
            return None
        return in_batches(self.logits, torch.from_numpy(features).float()).double().softmax(1).numpy()


def choose_extractor(dataset: Dataset, folder: Path, say: Callable[[str], None] = lambda text: None) -> Extractor:
    """The shipped classifier for MNIST, else one trained on the labels, else the pixels' components.

    `say` is told when one has to be fitted, which takes up to minutes. A fitted extractor is kept in `folder` as
    extractor.safetensors and extractor.json and used again for the same data; files that do not belong together
    or to these data are made anew.
    """
    if dataset.source == "mnist":
        return mnist_extractor()
    with store.locked(folder, wait=True):  # runs scored side by side fit it once
        kept = _kept(folder, dataset.fingerprint)
        if kept is None:
            labels = dataset.train.labels
            say("Fitting a feature extractor to these images, for the scores ...")
            fit = _fit_components if labels is None or len(labels.unique()) < 2 else _fit_classifier
            tensors, record = fit(dataset)
            weights = safetensors.torch.save(tensors)
            record |= {"fingerprint": dataset.fingerprint, "sha256": store.sha256(weights)}
            store.write(folder / "extractor.safetensors", weights)
            store.write(folder / "extractor.json", store.to_json(record))
            kept = tensors, record
    return _extractor(*kept)


def mnist_extractor() -> Extractor:
    """The shipped MNIST classifier; raises ValueError if its weights are not those of its record."""
    files = resources.files("triptych") / "weights"
    weights = (files / "mnist_classifier.safetensors").read_bytes()
    record = json.loads((files / "mnist_classifier.json").read_text())
    if store.sha256(weights) != record["sha256"]:
        raise ValueError("weights/mnist_classifier.safetensors is not the file of mnist_classifier.json; reinstall")
    return _extractor(safetensors.torch.load(weights), record | {"name": "mnist-classifier"})


def _kept(folder: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The extractor in a folder, if it is whole and was fitted on these data."""
    try:
        record = store.read_json(folder / "extractor.json")
        weights = (folder / "extractor.safetensors").read_bytes()
    except (OSError, ValueError):
        return None
    if record.get("fingerprint") != fingerprint or record.get("sha256") != store.sha256(weights):
        return None
    return safetensors.torch.load(weights), record


def _extractor(tensors: dict[str, Tensor], record: dict[str, Any]) -> Extractor:
    """An extractor from its tensors and their record."""
    names = record.get("label_names")
    if names is None:
        mean, components = tensors["mean"], tensors["components"]

        def project(images: Tensor) -> Tensor:
            return (resize(images).flatten(1).double() - mean) @ components

        return Extractor(record["name"], record["sha256"], components.shape[1], project)
    network = from_weights(tensors, record["channels"], len(names))

    def embed(images: Tensor) -> Tensor:  # a classifier of grey images sees colour ones in grey
        return network.features(images.mean(1, keepdim=True) if record["channels"] == 1 else images)

    return Extractor(record["name"], record["sha256"], record["features"], embed, network.logits, tuple(names))


def _some(split: Split) -> tuple[Tensor, Tensor]:
    """At most MOST_TRAINING evenly spaced indices of a split, and these images at the classifier's size."""
    count = min(len(split), MOST_TRAINING)
    chosen = torch.arange(count) * len(split) // max(count, 1)
    return chosen, torch.cat([resize(split.images(part).cpu()) for part in chosen.split(1000)])


def _fit_classifier(dataset: Dataset) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The classifier trained on the labels: tensors and record."""
    chosen, images = _some(dataset.train)
    assert dataset.train.labels is not None
    labels = dataset.train.labels.cpu()
    names = list(dataset.label_names or map(str, range(int(labels.max()) + 1)))
    total_images = min(60_000, max(6_400, 20 * len(images)))  # half a minute of one core at most, in grey
    network = train(images, labels[chosen], len(names), total_images=total_images)
    record: dict[str, Any] = {"name": "own-classifier", "channels": dataset.channels, "label_names": names}
    record |= {"features": network.head.in_features, "total_images": total_images}
    if len(dataset.validation) and dataset.validation.labels is not None:
        chosen, images = _some(dataset.validation)
        record["held_out_accuracy"] = accuracy(network, images, dataset.validation.labels.cpu()[chosen])
    return dict(network.state_dict()), record


def _fit_components(dataset: Dataset) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Principal components of the pixels at 28 x 28, at most 64: tensors and record.

    Each component's sign makes its largest weight positive. All are scaled by one number, so that the
    features' variances average to 1 as the classifier's do, and a smallest effect means about the same in
    either.
    """
    _, images = _some(dataset.train)
    pixels = images.flatten(1).double().numpy()
    mean = pixels.mean(0)
    pixels -= mean  # in place: this may be 20,000 colour images
    covariance = pixels.T @ pixels / max(len(pixels) - 1, 1)
    size = len(covariance)
    keep = max(1, min(MOST_COMPONENTS, size, len(pixels) - 1))
    variances, vectors = scipy.linalg.eigh(covariance, subset_by_index=(size - keep, size - 1))
    variances, vectors = variances[::-1], vectors[:, ::-1]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(keep)])
    average = variances.clip(min=0).mean()
    components = vectors / (np.sqrt(average) if average > 0 else 1.0)
    tensors = {"mean": torch.from_numpy(mean), "components": torch.from_numpy(components.copy())}
    return tensors, {"name": "pixel-components", "channels": dataset.channels}
