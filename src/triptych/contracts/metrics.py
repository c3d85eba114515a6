"""The metric contract as checks, on small observations: real images, and copies of them that noise has damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch

from triptych.contracts.base import Broken, Check, NotApplicable, global_generator_untouched
from triptych.evaluation.features._extractor import Extractor
from triptych.evaluation.metrics import Metric, load, score
from triptych.evaluation.observations import Measured, Observations, Undefined
from triptych.rng import stream
from triptych.spec import checked
from triptych.verdicts.scales import is_legal_margin

COUNT, SIZE = 120, 16


def _extractor() -> Extractor:
    """Features that need no fitting: every fourth pixel's block mean."""

    def embed(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1)

    return Extractor(name="blocks", sha256="0" * 64, dimension=16, embed=embed)


def _images(seed: int) -> torch.Tensor:
    """Smooth images [COUNT, 1, SIZE, SIZE] in [-1, 1]: blobs at random places."""
    generator = stream(seed, "check/metric")
    centres = torch.rand(COUNT, 2, 1, 1, generator=generator) * 0.6 + 0.2
    axis = torch.linspace(0, 1, SIZE)
    squares = (axis[None, :, None] - centres[:, 0]) ** 2 + (axis[None, None, :] - centres[:, 1]) ** 2
    return ((-squares / 0.02).exp() * 2 - 1)[:, None]


def observations(noise: float) -> Observations:
    """What may be observed of a model whose samples and reconstructions are real images with so much noise."""

    def damaged(images: torch.Tensor) -> torch.Tensor:
        generator = stream(1, "check/damage")
        return (images + noise * torch.randn(images.shape, generator=generator)).clamp(-1, 1)

    real, others = _images(0), _images(1)
    half = SIZE // 2
    return Observations(
        real=real,
        sample=lambda n: damaged(others)[torch.arange(n) % COUNT],
        extractor=_extractor(),
        reconstruct=lambda images, labels: damaged(images),
        posterior=lambda images, labels: (images[:, 0, half, :3], images[:, 0, half, 3:6] - 4),
        latent=3,
        training=lambda n: (_images(2)[:n], None),
        validation=lambda n: (_images(3)[:n], None),
    )


def checks(name: str) -> list[Check]:
    """The checks of one metric."""
    metric = load([name])[0]
    parts: dict[str, Callable[[Metric], None]] = {
        "its declaration is complete": declared,
        "it gives a value or a reason for each output": gives,
        "the same observations give the same values": repeats,
        "nothing uses the global random generator": no_global_generator,
        "heavy noise is worse than none": direction,
    }
    return [Check(label, partial(part, metric)) for label, part in parts.items()]


def declared(metric: Metric) -> None:
    names = [output.metric for output in metric.outputs]
    if not names or len(set(names)) < len(names):
        raise Broken("its outputs are missing or share a name", "an empty tuple, or a copied Output")
    for output in metric.outputs:
        if output.smallest_effect != 0 and not is_legal_margin(output.scale, output.smallest_effect):
            cause = "a difference where the scale asks for a factor above 1" if output.scale == "factor" else "a sign"
            raise Broken(f"{output.metric}: the smallest effect is {output.smallest_effect}", cause)
        if not (output.label and output.about):
            raise Broken(f"{output.metric} has no label or does not say what it is", "an empty text")


def _values(metric: Metric, noise: float) -> dict[str, float | None]:
    return {row["metric"]: row["value"] for row in score(observations(noise), [metric])}


def gives(metric: Metric) -> None:
    options = () if metric.options is None else (checked(metric.options, {}, f"scoring.options.{metric.name}"),)
    try:
        values = metric.compute(observations(0.3), *options)
    except Exception as error:
        if type(error) is ValueError:  # the reason why there are no values
            return
        raise Broken(
            f"compute() raised {type(error).__name__}: {error}",
            "a mistake in the code; what cannot be computed is a ValueError with why",
        ) from error
    if not isinstance(values, Mapping):
        raise Broken(f"compute() gives a {type(values).__name__}", "the value itself, not in a dictionary by its name")
    for output in metric.outputs:
        if output.metric not in values:
            raise Broken(f"compute() leaves out {output.metric}", "another name in the result than in the Output")
        value = values[output.metric]
        value = value.value if isinstance(value, Measured) else value
        if output.counted and not isinstance(value, Undefined) and value not in (0, 1):
            raise Broken(f"{output.metric} is {value:g}, and an event is 0 or 1", "a share or a count with this scale")


def repeats(metric: Metric) -> None:
    if _values(metric, 0.3) != _values(metric, 0.3):
        raise Broken("the same observations give other values", "random numbers that are not from triptych.rng.stream")


def no_global_generator(metric: Metric) -> None:
    with global_generator_untouched("compute()"):
        _values(metric, 0.3)


def direction(metric: Metric) -> None:
    clean, noisy = _values(metric, 0.0), _values(metric, 1.5)
    pairs = [(output, clean.get(output.metric), noisy.get(output.metric)) for output in metric.outputs]
    judged = [(output, a, b) for output, a, b in pairs if output.role == "primary" and output.better != "none"]
    judged = [(output, a, b) for output, a, b in judged if a is not None and b is not None]
    if not judged:
        raise NotApplicable("no primary output with a direction has a value here")
    for output, a, b in judged:
        if (b < a) if output.better == "lower" else (b > a):
            raise Broken(
                f"{output.metric} is {output.better} for images under heavy noise ({b:.4g}) than for clean ones "
                f"({a:.4g}), though {output.better} is declared better",
                "`better` the wrong way round",
            )
