"""Scores of one set of samples against real images, each with a standard error, and baselines at equal numbers.

A metric's own standard error is taken where it holds for all images (influence functions, the delta method, a
U-statistic's first order: the metric's file says which). Where a metric gives none, as the Fréchet distance of fewer
images than features, or one with something held fixed, as precision and recall, it is `triptych.measuring.jackknife`'s.
A value whose standard error cannot be had for want of images is undefined: it would say nothing.

For baselines the real images are cut at random: m of them take the place of samples, where m is the number of samples
but at most half of the real ones; the rest stays real. Many metrics depend on the number of images, so the samples are
measured in the same way, m of them against the same rest. That value, `matched`, compares with the baselines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from triptych.evaluation import metrics
from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import Metric, Output
from triptych.measuring import jackknife
from triptych.measuring.images import room
from triptych.measuring.observed import PART, Part, Pool, TwoSets, two_sets
from triptych.rng import stream

Row = dict[str, Any]


@dataclass(frozen=True)
class Space:
    """A feature space, and each metric that is computed in it with its outputs by the metric's own names for them.

    `train` are the training images where they are known, as many as the extractor can afford.
    """

    extractor: Extractor
    outputs: list[tuple[Metric, dict[str, Output]]]
    train: Part | None


def space_of(extractor: Extractor, asked: list[Metric], train: Pool | None, is_first: bool) -> Space:
    """The space with the outputs of samples in it; one that is not the first has those that use features alone."""
    outputs: list[tuple[Metric, dict[str, Output]]] = []
    for metric in asked:
        if is_first or metric.per_feature_space:
            named = metric.outputs_for(extractor.label_names) if is_first else metric.outputs_in(extractor.name)
            of_samples = {output.metric.partition("@")[0]: output for output in named if output.of_samples}
            outputs.append((metric, of_samples))
    if train is not None and len(train) > extractor.max_images:
        few = torch.randperm(len(train), generator=stream(0, "measure/train"))[: extractor.max_images]
        train = Pool(train.pixels[few.numpy()], train.watch, train.label)
    return Space(extractor, outputs, None if train is None else whole(train))


def whole(pool: Pool) -> Part:
    """All images of a pool."""
    return Part(pool, np.arange(len(pool)))


def scores(samples: Pool, real: Pool, space: Space) -> Iterator[Row]:
    """A row for every output, with n of both sides, the standard error and how it was found."""

    def observe(first: np.ndarray, second: np.ndarray) -> TwoSets:
        return two_sets(Part(samples, first), Part(real, second), space.extractor, space.train)

    observed = observe(np.arange(len(samples)), np.arange(len(real)))
    for metric, outputs in space.outputs:
        rows = [row for row in metrics.score(observed, [metric]) if row["metric"] in outputs]
        counts = _counts(metric, observed, rows)
        errors: dict[str, float] = {}
        if any(_lacks_error(metric, outputs[row["metric"]], row) for row in rows):
            errors = jackknife.standard_errors(observe, len(samples), len(real), metric)
        for row in rows:
            output = outputs[row["metric"]]
            made = _finished(metric, row, output, counts, errors if _lacks_error(metric, output, row) else None)
            yield made | {"per_class": row["metric"] not in {own.metric for own in metric.outputs}}


def _counts(metric: Metric, observed: TwoSets, rows: list[Row]) -> tuple[int, int]:
    """How many samples and real images a metric takes."""
    if metric.features is False:
        return len(observed.samples), len(observed.real)
    most = metric.max_images
    counts = tuple(len(observed.parts[side]) for side in ("samples", "real"))
    if most is not None:  # fewer in many features, as it says itself
        most = min(most, *(row["n"] for row in rows)) if min(row["n"] for row in rows) < min(*counts, most) else most
        counts = tuple(min(most, count) for count in counts)
    return counts[0], counts[1]


def _lacks_error(metric: Metric, output: Output, row: Row) -> bool:
    """Whether a value needs an error that the metric does not give; an event has none."""
    return row["value"] is not None and not output.counted and (row["error"] is None or metric.conditional_errors)


def _finished(
    metric: Metric, row: Row, output: Output, counts: tuple[int, int], errors: dict[str, float] | None
) -> Row:
    """The row under the output's full name; undefined where images are too few for an error that can be believed.

    `errors` are the jackknife's, for a row that takes them. From few images, only means over them have errors; one of
    0, such as that of a share of 0 of five images, says nothing.
    """
    found = {**row, "metric": output.metric, "label": output.label, "n": counts[0], "n_real": counts[1], "error_by": ""}
    if row["value"] is None:
        return found
    if errors is not None:
        found["error"] = errors.get(row["metric"])
    if min(counts) < jackknife.FEWEST and (metric.features or not found["error"]):
        n, m = (f"{count:,}" for count in counts)
        reason = f"{n} samples and {m} real images are too few for an error: {jackknife.FEWEST} of each are needed"
        return found | {"value": None, "error": None, "undefined": reason, "note": "", "curve": []}
    if found["error"] is not None:
        found["error_by"] = "metric" if errors is None else "jackknife"
    return found


class Baselines:
    """The baselines of `n` samples: other real images and noise in their place, at numbers that are possible.

    `n` and `n_real` are 0 where there are not two real images.
    """

    def __init__(self, real: Pool, n: int, folder: Path) -> None:
        self.real = real
        self.n = min(n, len(real) // 2)
        self.n_real = len(real) - self.n if self.n else 0
        order = torch.randperm(len(real), generator=stream(0, "measure/real")).numpy()
        self.others, self.rest = Part(real, order[: self.n]), Part(real, order[self.n :])
        self._folder = folder
        self._noise: Pool | None = None

    def values(self, space: Space) -> dict[str, Row]:
        """By output: its real baseline and its noise baseline, None where there is none."""
        if not self.n:
            return {}
        real, noise = self._scored(self.others, space), self._scored(whole(self._noise_pool()), space)
        return {name: {"real_baseline": real[name], "noise_baseline": noise[name]} for name in real}

    def matched(self, samples: Pool, space: Space) -> dict[str, float | None]:
        """By output: the value of as many samples, against the same real images."""
        if not self.n:
            return {}
        order = torch.randperm(len(samples), generator=stream(0, "measure/samples")).numpy()
        return self._scored(Part(samples, order[: self.n]), space)

    def _scored(self, samples: Part, space: Space) -> dict[str, float | None]:
        observed = two_sets(samples, self.rest, space.extractor, space.train)
        return {
            outputs[row["metric"]].metric: row["value"]
            for metric, outputs in space.outputs
            for row in metrics.score(observed, [metric])
            if row["metric"] in outputs
        }

    def _noise_pool(self) -> Pool:
        """Uniform noise, in bytes."""
        if self._noise is None:
            pixels = room((self.n, *self.real.pixels.shape[1:]), self._folder)
            generator = stream(0, "measure/noise")
            for start in range(0, self.n, PART):
                part = pixels[start : start + PART]
                part[:] = torch.randint(256, part.shape, generator=generator, dtype=torch.uint8).numpy()
            self._noise = Pool(pixels, self.real.watch, "noise")
        return self._noise
