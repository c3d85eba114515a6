"""Extractors fitted to data, and observations: the shipped classifier, what is kept, independence of batches."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
import pytest
import safetensors.torch
import torch

from triptych.data.dataset import random_subset
from triptych.errors import InputError
from triptych.evaluation.classifier import Classifier, Halve, accuracy, resize, train
from triptych.evaluation.features import Extractor, choose, default_names, in_batches, mnist_extractor
from triptych.evaluation.features import classifier as module
from triptych.evaluation.features._fitted import to_fit
from triptych.evaluation.observations import Observations
from triptych.training.model import prior_latents

pytestmark = pytest.mark.slow

WEIGHTS = resources.files("triptych.evaluation") / "weights"


@pytest.fixture(scope="module")
def mnist_test():
    """The test images [10000, 1, 28, 28] in [-1, 1] and their labels, from the package's own files."""
    folder = resources.files("triptych.data.sources") / "mnist_idx"
    pixels, labels = (
        np.frombuffer(gzip.decompress((folder / f"t10k-{name}-ubyte.gz").read_bytes()), np.uint8)
        for name in ("images-idx3", "labels-idx1")
    )
    images = torch.from_numpy(pixels[16:].reshape(-1, 1, 28, 28).copy()).float() / 127.5 - 1
    return images, torch.from_numpy(labels[8:].astype(np.int64))


@dataclass
class Split:
    pictures: torch.Tensor
    labels: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.pictures)

    def images(self, indices: torch.Tensor) -> torch.Tensor:
        return self.pictures[indices]


@dataclass
class Data:
    train: Split
    validation: Split
    test: Split
    source: str = "arrays"
    channels: int = 3
    label_names: list[str] | None = None
    fingerprint: str = "some data"


def coloured(labelled: bool, size: int = 32, count: int = 200) -> Data:
    """Squares bright in the left or in the right half, of random colour."""
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        labels = torch.randint(2, (count,), generator=generator)
        pictures = torch.rand(count, 3, size, size, generator=generator) - 1
        for picture, label in zip(pictures, labels.tolist(), strict=True):
            half = picture[..., label * size // 2 :][..., : size // 2]
            half += torch.rand(3, 1, 1, generator=generator)
        return Split(pictures, labels if labelled else None)

    return Data(split(count), split(100), split(0), label_names=["left", "right"] if labelled else None)


def guesses(extractor: Extractor, images: torch.Tensor) -> np.ndarray:
    """The likeliest class of each image."""
    probabilities = extractor.classify(extractor(images))
    assert probabilities is not None
    np.testing.assert_allclose(probabilities.sum(1), 1)
    return probabilities.argmax(1)


# the shipped classifier


def test_shipped_weights_are_those_of_their_record_and_small():
    weights = (WEIGHTS / "mnist_classifier.safetensors").read_bytes()
    record = json.loads((WEIGHTS / "mnist_classifier.json").read_text())
    assert hashlib.sha256(weights).hexdigest() == record["sha256"]
    assert len(weights) < 3_000_000
    assert record["test_accuracy"]["28"] >= 0.993


def test_shipped_classifier_reads_all_test_images_above_99_3_percent(mnist_test):
    images, labels = mnist_test
    record = json.loads((WEIGHTS / "mnist_classifier.json").read_text())
    right = float((guesses(mnist_extractor(), images) == labels.numpy()).mean())
    assert right >= 0.993
    assert right == pytest.approx(record["test_accuracy"]["28"], abs=5e-4)  # another machine may round a few otherwise


def test_the_shipped_classifiers_features_have_unit_variance_each(mnist_test):
    features = mnist_extractor()(mnist_test[0])
    assert features.var(0).mean() == pytest.approx(1, abs=0.02)  # test images, where training images have exactly 1
    assert features.std(0).min() > 0.9 and features.std(0).max() < 1.1
    assert np.abs(features.mean(0)).max() < 0.1


@pytest.mark.parametrize("size", [16, 32, 64])
def test_shipped_classifier_knows_images_of_other_sizes(mnist_test, size):
    images, labels = (part[::10] for part in mnist_test)
    assert (guesses(mnist_extractor(), resize(images, size)) == labels.numpy()).mean() >= 0.99


def test_shipped_classifier_sees_colour_in_grey(mnist_test):
    images, extractor = mnist_test[0][:200], mnist_extractor()
    np.testing.assert_allclose(extractor(images.expand(-1, 3, -1, -1)), extractor(images), atol=1e-4)


def test_extractor_does_not_depend_on_how_images_are_batched(mnist_test):
    images, extractor = mnist_test[0][:600], mnist_extractor()
    whole = extractor(images)
    assert whole.shape == (600, extractor.dimension) and whole.dtype == np.float64
    np.testing.assert_array_equal(whole[:7], extractor(images[:7]))
    np.testing.assert_array_equal(whole[250:], extractor(images[250:]))
    np.testing.assert_allclose(whole[::-1], extractor(images.flip(0)), atol=1e-4)


def test_in_batches_gives_every_call_the_same_size():
    seen = []

    def double(x: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return 2 * x

    inputs = torch.arange(10.0).reshape(5, 2)
    assert torch.equal(in_batches(double, inputs, size=3), 2 * inputs)
    assert seen == [3, 3]


def test_in_batches_leaves_the_statistics_of_a_last_batch_to_its_own_rows():
    inputs = torch.arange(14.0).reshape(7, 2)
    centred = in_batches(lambda x: x - x.mean(0), inputs, size=5)
    assert torch.equal(centred[:5], inputs[:5] - inputs[:5].mean(0))
    ours = inputs[5:][torch.tensor([0, 1, 0, 1, 0])]  # and no zeros, and no other image
    assert torch.equal(centred[5:], inputs[5:] - ours.mean(0))


# training


def test_training_is_a_function_of_its_seed_and_leaves_the_global_generator_alone():
    data = coloured(labelled=True)
    images, labels = data.train.pictures, data.train.labels
    assert labels is not None
    state = torch.get_rng_state()
    one, same, other = (train(images, labels, 2, total_images=512, seed=seed).state_dict() for seed in (0, 0, 1))
    mnist_extractor()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_accuracy_counts_the_right_ones():
    network = Classifier().eval()
    images = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    guesses = network(images).argmax(1)
    assert accuracy(network, images, guesses, batch_size=3) == 1
    guesses[:2] += 1
    assert accuracy(network, images, guesses) == pytest.approx(5 / 7)


# fitted extractors


def one(name: str, data: Data, folder) -> Extractor:
    """The extractor of this name alone."""
    (extractor,) = choose([name], data, folder)  # pyright: ignore[reportArgumentType]
    return extractor


def test_what_is_chosen_by_default_hangs_on_the_labels(tmp_path):
    unlabelled, single, mnist = coloured(labelled=False), coloured(labelled=True), coloured(labelled=False)
    single.train.labels, mnist.source = torch.zeros(len(single.train), dtype=torch.long), "mnist"
    for data in (unlabelled, single):
        assert default_names(data) == ("pixels", "random")  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="no labels of two classes"):
            one("classifier", data, tmp_path)
    assert default_names(coloured(labelled=True)) == ("classifier", "pixels")  # pyright: ignore[reportArgumentType]
    primary, second = choose(None, mnist, tmp_path)  # pyright: ignore[reportArgumentType]
    assert (primary.identity, second.name) == (mnist_extractor().identity, "pixels")


def test_labelled_images_get_their_own_classifier_kept_and_used_again(tmp_path, monkeypatch):
    data, said = coloured(labelled=True), []
    (first,) = choose(["classifier"], data, tmp_path, said.append)  # pyright: ignore[reportArgumentType]
    assert (first.name, first.label_names) == ("own-classifier", ("left", "right"))
    assert len(said) == 1 and "'classifier'" in said[0]
    assert data.validation.labels is not None
    assert (guesses(first, data.validation.pictures) == data.validation.labels.numpy()).mean() > 0.95
    assert json.loads((tmp_path / "classifier.json").read_text())["held_out_accuracy"] > 0.95
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["classifier.json", "classifier.safetensors"]

    def refuse(_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(module, "_fit", refuse)
    again = one("classifier", data, tmp_path)
    assert again.identity == first.identity
    np.testing.assert_array_equal(again(data.validation.pictures), first(data.validation.pictures))


def test_a_kept_extractor_of_other_data_or_torn_is_made_anew(tmp_path):
    data, name = coloured(labelled=False), "random"
    first = one(name, data, tmp_path)
    weights, record = tmp_path / f"{name}.safetensors", tmp_path / f"{name}.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    assert one(name, data, tmp_path).identity == first.identity
    assert weights.read_bytes() == whole
    record.write_text("[]")
    assert one(name, data, tmp_path).identity == first.identity
    data.fingerprint, data.train.pictures = "other data", data.train.pictures.flip(3).square()
    assert one(name, data, tmp_path).identity != first.identity


def test_pixels_are_their_principal_components(tmp_path):
    data = coloured(labelled=False, size=28)
    extractor = one("pixels", data, tmp_path)
    assert (extractor.name, extractor.dimension, extractor.label_names) == ("pixels", 64, None)
    features = extractor(data.train.pictures)
    assert extractor.classify(features) is None
    covariance = np.cov(features.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-9)  # uncorrelated
    assert np.trace(covariance) / 64 == pytest.approx(1, rel=1e-9)
    pixels = data.train.pictures.flatten(1).double().numpy()
    spectrum = np.linalg.svd(pixels - pixels.mean(0), compute_uv=False)[:64] ** 2
    np.testing.assert_allclose(np.diag(covariance) / np.trace(covariance), spectrum / spectrum.sum(), rtol=1e-9)
    components = safetensors.torch.load_file(tmp_path / "pixels.safetensors")["components"].numpy()
    assert (components[np.abs(components).argmax(0), np.arange(64)] > 0).all()


def test_few_and_constant_images_still_have_components(tmp_path):
    data = coloured(labelled=False)
    data.train.pictures = torch.zeros(3, 3, 32, 32)
    features = one("pixels", data, tmp_path)(data.train.pictures)
    assert features.shape == (3, 2) and (features == 0).all()
    assert (one("random", data, tmp_path)(data.train.pictures) == 0).all()


def test_random_features_have_mean_0_and_variance_1_on_training_images(tmp_path):
    data, state = coloured(labelled=False), torch.get_rng_state()
    extractor = one("random", data, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    features = extractor(data.train.pictures)
    assert features.shape == (200, extractor.dimension) == (200, 64)
    np.testing.assert_allclose(features.mean(0), 0, atol=2e-3)  # a sum in float32
    np.testing.assert_allclose(features.var(0, ddof=1), 1, rtol=1e-2)  # BatchNorm adds 1e-5 to a variance
    assert np.linalg.matrix_rank(np.cov(features.T)) == 64


def test_an_own_classifiers_features_have_unit_variance_each_on_what_it_was_fitted_to(tmp_path):
    data = coloured(labelled=True, count=60)
    data.train.pictures = data.train.pictures * torch.linspace(0.2, 1, 60).view(-1, 1, 1, 1)
    features = one("classifier", data, tmp_path)(data.train.pictures)
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(features.std(0), 1, atol=1e-3)


def test_nothing_is_fitted_to_the_images_of_the_real_baseline():
    """They would not be new to a network, as samples are: its features of images that it knows are others."""
    data = coloured(labelled=False, count=100)
    for tests, left_out in ((0, 0), (15, 15), (60, 20)):
        data.test = Split(torch.zeros(tests, 3, 32, 32), None)
        chosen, images = to_fit(data)  # pyright: ignore[reportArgumentType]
        assert set(chosen.tolist()) == set(range(100)) - set(random_subset(100, left_out).tolist())
        assert torch.equal(images, resize(data.train.pictures[chosen]))
    assert torch.equal(to_fit(data, 30)[0], chosen[:30])  # pyright: ignore[reportArgumentType]


def test_an_extractor_fitted_in_another_way_is_fitted_again(tmp_path):
    data = coloured(labelled=False)
    one("pixels", data, tmp_path)
    record = tmp_path / "pixels.json"
    before = json.loads(record.read_text())
    record.write_text(json.dumps({key: value for key, value in before.items() if key != "fitting"}))
    one("pixels", data, tmp_path)
    assert json.loads(record.read_text()) == before


def test_random_weights_are_the_same_for_all_data(tmp_path):
    other = coloured(labelled=False)
    other.train.pictures, other.fingerprint = other.train.pictures.square(), "other data"
    for name, data in {"one": coloured(labelled=False), "other": other}.items():
        one("random", data, tmp_path / name)
    one_, other_ = (safetensors.torch.load_file(tmp_path / name / "random.safetensors") for name in ("one", "other"))
    same = {name for name in one_ if torch.equal(one_[name], other_[name])}
    assert same == {name for name in one_ if "running" not in name}


# observations


def test_evidence_is_made_once_and_only_when_asked_for():
    calls = []

    def sample(n: int) -> torch.Tensor:
        calls.append(n)
        return torch.zeros(n, 1, 32, 32)

    real = torch.zeros(5, 1, 32, 32)
    observed = Observations(real=real, sample=sample, extractor=mnist_extractor(), n=7)
    assert calls == []
    assert observed.features("samples").shape == (7, 64)
    assert observed.samples is observed.samples and observed.features("samples") is observed.features("samples")
    assert calls == [7]
    with pytest.raises(ValueError, match="no encoder"):
        _ = observed.reconstructions


def test_features_of_real_images_are_kept_by_their_content(tmp_path):
    extractor, real = mnist_extractor(), torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))

    def features(images: torch.Tensor) -> np.ndarray:
        return Observations(real=images, sample=torch.zeros, extractor=extractor, cache=tmp_path / "features").features(
            "real"
        )

    first = features(real)
    (kept,) = (tmp_path / "features").glob("*.npy")
    np.save(kept, first + 1)
    np.testing.assert_array_equal(features(real), first + 1)  # read, not computed
    kept.write_bytes(kept.read_bytes()[:-8])
    np.testing.assert_array_equal(features(real), first)  # torn, so made again
    features(real + 1e-3)
    assert len(list((tmp_path / "features").glob("*.npy"))) == 2


def test_prior_latents_are_a_function_of_the_seed():
    assert torch.equal(prior_latents(3, 50, 8), prior_latents(3, 50, 8))
    assert not torch.equal(prior_latents(3, 50, 8), prior_latents(4, 50, 8))


@pytest.mark.parametrize("shape", [(2, 3, 28, 28), (2, 3, 7, 7), (1, 1, 4, 5)])
def test_halving_is_max_pooling_to_the_last_bit(shape: tuple[int, ...]):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()
    x[0, 0, 0, 0] = torch.nan
    pooled = torch.nn.functional.max_pool2d(x, 2)
    torch.testing.assert_close(Halve(2)(x), pooled, rtol=0, atol=0, equal_nan=True)
    x = x.nan_to_num().requires_grad_()
    ours, theirs = (torch.autograd.grad(f(x).sum(), x)[0] for f in (Halve(2), torch.nn.MaxPool2d(2)))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
