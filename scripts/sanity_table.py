"""Which metric sees what: real digits, corrupted in known ways, in the place of a framework's samples.

    python scripts/sanity_table.py            writes docs/results/sanity.md, 10,000 images of a kind
    python scripts/sanity_table.py 2000       prints the same of fewer images

`SEES` and `IGNORES` were written down before anything was measured; a test holds the metrics to it.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from triptych.data import dataset
from triptych.data.transforms import translate
from triptych.evaluation.classifier import resize
from triptych.evaluation.features import mnist_extractor
from triptych.evaluation.metrics import Output, load, score
from triptych.evaluation.observations import Observations
from triptych.evaluation.scoring import draws_from
from triptych.rng import stream
from triptych.spec import DataSpec
from triptych.verdicts import scales

PAGE = Path(__file__).resolve().parents[1] / "docs" / "results" / "sanity.md"
METRICS = (
    "frechet",
    "kid",
    "prdc",
    "class_shares",
    "vendi",
    "sharpness",
    "memorisation",
    "pixel_error",
    "ssim",
    "perceptual",
)
SIZE = 32
SHIFT = 3  # pixels: a tenth of the side


def noisy(images: Tensor) -> Tensor:
    noise = torch.randn(images.shape, generator=stream(0, "sanity/noise"))
    return (images + 0.4 * noise).clamp(-1, 1)


def blurred(images: Tensor) -> Tensor:
    return resize(resize(images, 12), SIZE)


def shifted(images: Tensor) -> Tensor:
    by = torch.full((len(images),), SHIFT)
    return translate(images, by, by)


CORRUPTIONS: dict[str, Callable[[Tensor], Tensor]] = {"noise": noisy, "blur": blurred, "shift": shifted}
"""What is done to images, both to other real images as samples, and to the real images as reconstructions."""

SEES = {
    "frechet_distance": "noise blur shift classes",
    "frechet_uncorrected": "noise blur shift classes",
    "kid": "noise blur shift classes",
    "coverage": "noise shift classes",
    "recall": "classes",
    "precision": "noise shift",
    "density": "noise shift",
    "class_distance": "classes",
    "class_entropy": "classes",
    "classes_shown": "classes",
    "vendi_gap": "classes",
    "sharpness_gap": "noise blur",
    "copied_share": "copies",
    "reconstruction_mse": "noise blur shift",
    "ssim": "noise blur shift",
    "ms_ssim": "noise blur shift",
    "feature_error": "noise blur shift",
    "reconstruction_sharpness_gap": "noise blur",
}
IGNORES = {
    "frechet_distance": "copies",
    "frechet_uncorrected": "copies",
    "kid": "copies",
    "coverage": "copies",
    "recall": "copies",
    "precision": "copies",
    "density": "copies",
    "class_distance": "copies",
    "class_entropy": "copies",
    "classes_shown": "copies blur shift",
    "vendi_gap": "copies",
    "sharpness_gap": "copies shift classes",
    "copied_share": "noise blur shift classes",
    "reconstruction_sharpness_gap": "shift",
}


def observations(data: dataset.Dataset, images: int, cache: Path) -> dict[str, Observations]:
    """Observations by corruption; "none" is the real baseline: real images against other real images."""
    real, labels = draws_from(data.test)(images)
    assert data.train.labels is not None
    others, kinds = draws_from(data.train)(images)
    assert kinds is not None
    rest = draws_from(data.train, left_out=images)
    extractor = mnist_extractor()

    def of(
        samples: Tensor, reconstruct: Callable[[Tensor], Tensor], training: dataset.Split | None = None
    ) -> Observations:
        draw = rest if training is None else draws_from(training)
        index = torch.arange(images) % len(samples)
        return Observations(
            real=real,
            sample=lambda n: samples[index[:n]],
            extractor=extractor,
            reconstruct=lambda images, labels: reconstruct(images),
            labels=labels,
            training=draw,
            cache=cache,
        )

    found = {"none": of(others, lambda x: x)}
    for name, corrupt in CORRUPTIONS.items():
        observed = of(corrupt(others), lambda x: x)
        observed.reconstructions = corrupt(real)
        found[name] = observed
    found["classes"] = of(others[kinds < 5], lambda x: x)
    found["copies"] = of(others, lambda x: x, data.train)
    return found


def measure(images: int, training: int | None = None) -> dict[str, dict[str, dict]]:
    """Corruption to output to row, with so many training images (all by default)."""
    with tempfile.TemporaryDirectory() as folder:
        dataset.prepare(DataSpec(size=SIZE), Path(folder))
        data = dataset.open(Path(folder))
        if training is not None:
            assert data.train.labels is not None
            fewer = dataset.Split(data.train.pixels[:training], data.train.labels[:training], data.train.device)
            data = dataclasses.replace(data, train=fewer)
        return {
            name: {row["metric"]: row for row in score(observed, load(METRICS))}
            for name, observed in observations(data, images, Path(folder)).items()
        }


def outputs() -> list[Output]:
    """What the table shows, in its order."""
    return [output for metric in load(METRICS) for output in metric.outputs]


def verdict(output: Output, baseline: dict, row: dict) -> str:
    """ "seen" if the change exceeds what matters and five standard errors, "ignored" if it does not matter."""
    if row["value"] is None or baseline["value"] is None:
        return ""
    change = abs(row["value"] - baseline["value"])
    errors = sum((r["error"] or 0.0) ** 2 for r in (row, baseline)) ** 0.5
    matters = scales.matters(output.scale, row["value"], baseline["value"], output.smallest_effect)
    if matters and change > 5 * errors:
        return "seen"
    return "between" if matters and change > 2 * errors else "ignored"


def table(found: dict[str, dict[str, dict]]) -> list[str]:
    columns = ["none", *CORRUPTIONS, "classes", "copies"]
    lines = ["| score | real images | noise | blur | shift | five classes | copies |", "|" + "---|" * 7]
    for output in outputs():
        cells = [f"`{output.metric}`"]
        for column in columns:
            row = found[column][output.metric]
            about_samples = output.topic.name != "reconstruction"
            if row["value"] is None or (not about_samples and column in ("classes", "copies")):
                cells.append("–")
                continue
            text = f"{row['value']:.3g}"
            seen = column != "none" and verdict(output, found["none"][output.metric], row) == "seen"
            cells.append(f"**{text}**" if seen else text)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    images = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    start = time.monotonic()
    lines = table(measure(images))
    text = "\n".join(lines)
    print(text)
    if len(sys.argv) > 1:
        return
    before = PAGE.read_text(encoding="utf-8")
    head, _, rest = before.partition("<!-- table -->\n")
    PAGE.write_text(f"{head}<!-- table -->\n{text}\n{rest[rest.index('<!-- end -->') :]}", encoding="utf-8")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
