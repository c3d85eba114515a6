"""What every metric in the folder owes, on real digits; a new file there is tested from the start."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import itertools
import math
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np
import pytest
import torch

from triptych import plugins, topics
from triptych.errors import InputError
from triptych.evaluation.classifier import resize
from triptych.evaluation.features import Extractor, mnist_extractor
from triptych.evaluation.metrics import Metric, Output, Values, load, score
from triptych.evaluation.observations import Measured, Observations
from triptych.verdicts import scales

pytestmark = pytest.mark.slow

NAMES = plugins.names("metrics")
FIELDS = {"metric", "value", "error", "unit", "better", "undefined", "n", "features", "note", "curve"}
COUNT = 500
LATENT = 8
OPTIONS: dict[str, dict[str, Any]] = {}
"""What makes dear metrics cheap enough for a contract."""

BY_PLACE = {"likelihood", "translated_frechet"}
"""What is done to an image there hangs on its place."""

OF_SAMPLES = {
    output.metric
    for metric in load(NAMES)
    for output in metric.outputs_for([str(i) for i in range(10)])
    if output.topic.name in ("samples", "diversity")
}

# what stands when samples and reconstructions are the real images themselves
IDEAL = {
    "frechet_distance": 0,
    "precision": 1,
    "recall": 1,
    "density": 1,
    "coverage": 1,
    "reconstruction_mse": 0,
    "reconstruction_frechet": 0,
    "ssim": 1,
    "class_distance": 0,
    "classes_shown": 10,
    "sharpness": 1,
    "sharpness_gap": 0,
}


@pytest.fixture(scope="module")
def digits():
    """Real digits [500, 1, 32, 32], as many others, and the others' labels, all from the test images."""
    images, labels = some_digits(0)
    return images[::2], images[1::2], labels[1::2]


def some_digits(start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every tenth test image [1000, 1, 32, 32] from one on, and their labels."""
    folder = resources.files("triptych.data.sources") / "mnist_idx"
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    images = torch.from_numpy(np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, 28, 28)[start::10].copy())
    found = torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8)[start::10].astype(np.int64))
    return resize(images.float() / 127.5 - 1, 32), found


@pytest.fixture(scope="module")
def extractor():
    return mnist_extractor()


@pytest.fixture(scope="module")
def linear():
    """Encoder and decoder of a linear autoencoder, by principal components: (encode, decode)."""
    flat = some_digits(5)[0].flatten(1)
    centre = flat.mean(0)
    _, sizes, axes = torch.linalg.svd(flat - centre, full_matrices=False)
    scale, axes = (sizes[:LATENT] / len(flat) ** 0.5), axes[:LATENT]

    def encode(images: torch.Tensor, labels: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        mean = (images.flatten(1) - centre) @ axes.T / scale
        return mean, torch.full_like(mean, -2.0)

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return (centre + (latents * scale) @ axes).clamp(-1, 1).reshape(-1, 1, 32, 32)

    return encode, decode


LOG = [
    {
        "images": 640 * i,
        "losses": {"vae": 100 / i + i % 3},
        "terms": {"prior": 10.0 + i},
        "gradient_norms": {"vae": 1.0},
    }
    for i in range(1, 21)
]


@pytest.fixture(scope="module")
def make(digits, extractor, linear):
    """`make(corruption, amount)` gives the observations of corrupted digits; its features serve all metrics."""
    real, other, labels = digits
    encode, decode = linear

    @functools.cache
    def observed(corruption: str, amount: float = 0) -> Observations:
        if corruption == "classes":
            some = other[labels < amount]
            found = Observations(
                real=real, sample=lambda n: some[torch.arange(n) % len(some)], extractor=extractor, **splits()
            )
            return replace(found, history={640: found})
        corrupt = {"none": lambda images, _: images, "noise": noisy, "blur": blurred}[corruption]
        found = Observations(
            real=real,
            sample=lambda n: corrupt(other[:n], amount),
            extractor=extractor,
            **splits(),
            reconstruct=lambda images, _: corrupt(images, amount),
            posterior=encode,
            decode=lambda latents: corrupt(decode(latents), amount),
            dis_l=lambda images: images[:, :, ::4, ::4].flatten(1),
            latent=LATENT,
        )
        return replace(found, history={640: found})

    return observed


@functools.cache
def splits() -> dict[str, Any]:
    """What all observations here have: labels, training and validation images, a log."""

    def draw(start: int) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
        images, labels = some_digits(start)
        return lambda most: (images[:most], labels[:most])

    return {"labels": some_digits(0)[1][::2], "training": draw(3), "validation": draw(4), "log": LOG}


def copy_of(images: torch.Tensor, extractor: Extractor) -> Observations:
    """Observations of a framework without encoder that samples the real images themselves."""
    return Observations(real=images, sample=lambda n: images[:n], extractor=extractor, **splits() | {"labels": None})


def scored(name: str, given: Observations) -> list[dict[str, Any]]:
    """The rows of one metric, cheaply."""
    return score(given, load([name]), options=OPTIONS)


def values(name: str, given: Observations) -> dict[str, float]:
    """The defined values of one metric."""
    return {row["metric"]: row["value"] for row in scored(name, given) if row["value"] is not None}


def noisy(images: torch.Tensor, amount: float) -> torch.Tensor:
    noise = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0))
    return (images + amount * noise).clamp(-1, 1)


def blurred(images: torch.Tensor, size: int) -> torch.Tensor:
    return resize(resize(images, size), 32)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_declared_in_full(name):
    (metric,) = load([name])
    outputs = metric.outputs_for(["a", "b"])
    assert metric.name == name and outputs
    for output in outputs:
        assert output.better in ("lower", "higher", "none")
        assert output.smallest_effect > 0 and math.isfinite(output.smallest_effect)
        assert output.role in ("primary", "secondary") and output.topic in topics.BUILT_IN
        assert output.label and output.unit and output.about.endswith(".")


def test_names_of_outputs_are_unique_and_the_primary_ones_few():
    outputs = [output for metric in load(NAMES) for output in metric.outputs_for(["a", "b"])]
    assert len({output.metric for output in outputs}) == len(outputs)
    primary = {output.metric for output in outputs if output.role == "primary"}
    assert primary == {
        "frechet_distance",
        "coverage",
        "reconstruction_mse",
        "translation_error",
        "log_likelihood",
    }


@pytest.mark.parametrize("name", NAMES)
def test_source_and_blind_spot_are_told(name):
    (metric,) = load([name])
    assert metric.source and metric.blind_spots
    assert all(output.metric.partition("@")[2] == "pixels" for output in metric.outputs_in("pixels"))


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_whole_and_values_finite(name, make, extractor):
    for row in scored(name, make("noise", 0.1)):
        assert set(row) == FIELDS
        assert row["undefined"] is None and isinstance(row["value"], float) and math.isfinite(row["value"])
        assert row["error"] is None or (row["error"] >= 0 and math.isfinite(row["error"]))
        assert 0 < row["n"] <= min(COUNT, load([name])[0].max_images or COUNT)
        assert bool(row["curve"]) <= bool(axes(name)[row["metric"]])
        looks = load([name])[0].features
        looks = row["metric"] in looks if isinstance(looks, tuple) else looks
        assert row["features"] == (extractor.identity if looks else "")


def axes(name: str) -> dict[str, str]:
    (metric,) = load([name])
    return {output.metric: output.axis for output in metric.outputs_for([str(i) for i in range(10)])}


@pytest.mark.parametrize("name", NAMES)
def test_the_real_images_themselves_are_ideal(name, digits, extractor):
    perfect = copy_of(digits[0], extractor)
    perfect.reconstructions = digits[0]
    found = values(name, perfect)
    found = {key: value for key, value in found.items() if key in IDEAL or key == "kid"}
    assert found == pytest.approx({key: IDEAL.get(key, value) for key, value in found.items()}, abs=1e-5)
    assert found.get("kid", 0) <= 0  # unbiased, so below zero for a copy


@pytest.mark.parametrize("name", NAMES)
def test_order_does_not_matter(name, make, shuffled):
    (metric,) = load([name])
    if name in BY_PLACE or (metric.max_images is not None and metric.max_images < COUNT):
        pytest.skip("takes some of the images, or draws something for each, and others in another order")
    # float32 features may change in their last bits with an image's place in its batch
    assert values(name, shuffled) == pytest.approx(values(name, make("noise", 0.1)), rel=1e-4, abs=1e-4)


@pytest.fixture(scope="module")
def shuffled(make):
    """The observations of noise in another order."""
    given, order = make("noise", 0.1), torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))
    flipped = given.samples.flip(0)
    return dataclasses.replace(
        given, real=given.real[order], labels=given.labels[order], sample=lambda n: flipped[:n], _features={}
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_values_again(name, make):
    given = make("noise", 0.2)
    assert values(name, dataclasses.replace(given, _features={})) == values(name, given)


def bearing_on(*names: str) -> list[str]:
    """The metrics with an output that has a direction and bears on one of these topics."""
    return [
        metric.name
        for metric in load(NAMES)
        if any(output.topic.name in names and output.better != "none" for output in metric.outputs)
    ]


@pytest.mark.parametrize("name", bearing_on("samples", "reconstruction"))
@pytest.mark.parametrize(("corruption", "amounts"), [("noise", (0.1, 0.2, 0.4, 0.8)), ("blur", (24, 16, 12, 8))])
def test_growing_corruption_never_looks_better(name, corruption, amounts, make):
    steps = [values(name, make(corruption, amount)) for amount in amounts]
    for output in load([name])[0].outputs:
        # blur removes what is untypical, and samples in dense places are what precision and density reward
        rewards_blur = corruption == "blur" and output.metric in ("precision", "density")
        if output.better == "none" or output.topic.name not in ("samples", "reconstruction") or rewards_blur:
            continue
        if output.metric == "copied_share":  # a corrupted copy is none
            continue
        assert_worsens(output, [step[output.metric] for step in steps])


@pytest.mark.parametrize("name", bearing_on("diversity"))
def test_losing_classes_never_looks_more_diverse(name, make):
    steps = [values(name, make("classes", kept)) for kept in (10, 6, 3, 1)]
    for output in load([name])[0].outputs:
        if output.topic.name == "diversity" and output.better != "none":
            assert_worsens(output, [step[output.metric] for step in steps])


def assert_worsens(output: Output, found: list[float]) -> None:
    """No step is an improvement that matters in the declared direction, and together they matter."""
    sign = 1 if output.better == "lower" else -1
    for before, after in itertools.pairwise(found):
        improved = sign * (after - before) < 0 and scales.matters(output.scale, before, after, output.smallest_effect)
        assert not improved, (output.metric, found)
    assert scales.matters(output.scale, found[0], found[-1], output.smallest_effect)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_framework_lacks_is_undefined_with_the_reason(name, make, extractor):
    (metric,) = load([name])
    names = {output.metric: output.topic.name for output in metric.outputs_for(extractor.label_names)}
    for row in scored(name, make("classes", 10)):
        if names[row["metric"]] in ("samples", "diversity"):
            assert row["undefined"] is None
        assert row["undefined"] in (None, "no encoder", "no decoder from latents", "no discriminator")
        assert (row["value"] is None) == (row["undefined"] is not None)


@pytest.mark.parametrize("name", NAMES)
def test_samples_that_are_not_finite_or_too_few_give_a_reason_and_no_number(name, digits, extractor):
    real = digits[0]
    for value in (math.nan, math.inf):
        broken = dataclasses.replace(copy_of(real, extractor), sample=lambda n: torch.full_like(real, value))  # noqa: B023
        for row in scored(name, broken):
            of_samples = "some samples are not finite" in (row["undefined"] or "")
            assert of_samples or (row["metric"] not in OF_SAMPLES and not math.isnan(row["value"] or 0.0))
    for row in scored(name, copy_of(real[:1], extractor)):
        assert (row["value"] is None) == bool(row["undefined"])
        assert row["undefined"] or not math.isnan(row["value"])


def test_without_labels_there_are_no_classes(digits):
    unlabelled = Extractor(
        name="pixels", sha256="0" * 64, dimension=16, embed=lambda images: resize(images, 4).flatten(1)
    )
    rows = score(copy_of(digits[0], unlabelled), load(["class_shares", "frechet"]))
    undefined = {row["metric"]: row["undefined"] for row in rows}
    assert undefined.pop("frechet_distance") is None
    assert undefined.pop("frechet_uncorrected") is None
    assert set(undefined) == {"class_entropy", "class_distance", "classes_shown"}
    assert set(undefined.values()) == {"no classifier: the data have no labels"}


def test_class_shares_sum_to_one_and_follow_the_labels(digits, make):
    found = values("class_shares", make("none"))
    shares = np.array([found[f"class_share_{i}"] for i in range(10)])
    assert shares.sum() == pytest.approx(1)
    expected = np.bincount(digits[2].numpy(), minlength=10) / COUNT
    assert np.abs(shares - expected).sum() / 2 < 0.02  # the classifier errs on less than one image in fifty


def outside(compute: Callable[[Observations], Values]) -> Metric:
    """A metric from outside the package."""
    output = Output(
        metric="outside",
        label="Outside",
        unit="",
        better="none",
        smallest_effect=1.0,
        role="secondary",
        about="From outside.",
        topic=topics.SAMPLES,
    )
    return Metric(name="outside", outputs=(output,), compute=compute)


def test_a_failing_metric_leaves_its_reason_and_the_others_go_on(digits, extractor):
    def fail(_: Observations) -> Values:
        raise RuntimeError("out of luck")

    metrics = [fail, lambda _: {"outside": math.nan}, lambda _: {}, lambda _: {"outside": np.float32(3)}]
    rows = score(copy_of(digits[0], extractor), [outside(compute) for compute in metrics])
    assert [row["value"] for row in rows] == [None, None, None, 3.0]
    reasons = ["RuntimeError: out of luck", "not finite: nan", "the metric gave no such value", None]
    assert [row["undefined"] for row in rows] == reasons
    assert type(rows[3]["value"]) is float


def test_whatever_a_metric_returns_a_run_keeps_its_other_scores(digits, extractor):
    """None, a number or a list in the place of the values, and no number in the place of one."""
    wrong: list[object] = [None, 3.0, [1.0]]
    metrics = [outside(lambda _, value=value: value) for value in wrong]
    metrics += [outside(lambda _, value=value: {"outside": value}) for value in (None, [1.0, 2.0], "3")]
    metrics.append(outside(lambda _: {"outside": Measured(1.0, curve=(1.0, 2.0))}))  # pyright: ignore[reportArgumentType]
    rows = score(copy_of(digits[0], extractor), [*metrics, outside(lambda _: {"outside": 3.0})])
    assert [row["value"] for row in rows] == [*[None] * 7, 3.0]
    assert [row["undefined"] for row in rows[:3]] == [
        f"TypeError: compute() must return a dict of values by output, not {kind}"
        for kind in ("NoneType", "float", "list")
    ]
    for row, kind in zip(rows[3:7], ("NoneType", "list", "str", "float"), strict=True):
        assert row["undefined"].startswith(f"TypeError: compute() gave a {kind}, which is no valid value"), row


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "no space left"), torch.OutOfMemoryError("GPU"), None])
def test_a_machine_out_of_memory_or_disk_is_no_score(digits, extractor, error):
    def fail(_: Observations) -> Values:
        if error is None:
            torch.empty(10**17)  # what PyTorch itself raises when the CPU has no such memory
        raise error

    with pytest.raises(type(error) if error else RuntimeError):
        score(copy_of(digits[0], extractor), [outside(fail)])


def test_metrics_are_found_by_name_inside_and_outside(monkeypatch):
    module = types.ModuleType("somebodys")
    module.SHINE = outside(lambda _: {"outside": 2.5})  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "somebodys", module)
    assert [metric.name for metric in load(["somebodys:SHINE", "kid"])] == ["outside", "kid"]
    with pytest.raises(InputError, match="Did you mean 'frechet'"):
        load(["frechett"])
    with pytest.raises(InputError, match="not a Metric"):
        load(["triptych.evaluation.metrics.prdc:K"])
