"""What scoring a run will take, measured in a few seconds: metric by metric on few images, then extrapolated.

The one place where a metric gets its price. Each metric is computed at two small numbers of images on a stand-in
(`triptych.evaluation.standin`), which gives the time that it takes itself, and counts the calls of networks and
extractors. Calls are timed on the real ones, on noise. Time and calls grow along a line in the number of images, up to
the metric's `max_images`, unless the metric says otherwise (`Metric.grows`). A metric from outside is measured in the
same way; one that fails on noise is `unknown`.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from triptych.evaluation import metrics
from triptych.evaluation.features import BATCH, Extractor
from triptych.evaluation.metrics import Metric
from triptych.evaluation.observations import Observations
from triptych.evaluation.standin import ABILITIES, Call, Shape, stand_in
from triptych.rng import stream

ROWS = (BATCH, 3 * BATCH)
"""The numbers of images at which a metric is measured: whole batches, for a part of one takes as long as a whole."""
FIXED_ROWS = 4 * BATCH
"""The same for a metric whose own options say how many images it takes."""
LONG, ENOUGH, REPEATS = 0.2, 0.1, 3
"""Seconds: a call that takes longer is timed once, another one for so long in all; and at least so many times."""
FEW = 16  # rows
BASELINE_LACKS = frozenset({"posterior", "encode", "decode", "dis_l", "likelihood"})
"""What real images, or noise, in the place of samples cannot do."""

Clock = Callable[[], float]
Price = Callable[[Call], float]


@dataclass(frozen=True)
class Work:
    """What one metric takes at a number of images: seconds of its own, and calls."""

    rows: int
    seconds: float
    calls: Counter[Call]

    def priced(self, price: Price) -> float:
        return self.seconds + sum(count * price(call) for call, count in self.calls.items())


@dataclass
class MeasuredMetric:
    """One metric on one stand-in: its work at one or two numbers of images, the larger last, and what it looked at.

    `images` is what it will use; `abilities` says of what it looked at whether the stand-in lacked it.
    """

    images: int
    pairs: bool
    works: list[Work] = field(default_factory=list)
    shared: set[tuple[str, str]] = field(default_factory=set)
    abilities: dict[str, bool] = field(default_factory=dict)

    def seconds(self, price: Price) -> float:
        """What it takes at its full number of images, with calls at these prices."""
        large = self.works[-1].priced(price)
        if len(self.works) == 1:
            return large
        power = 2 if self.pairs else 1
        small, (k, m) = self.works[0].priced(price), (work.rows**power for work in self.works)
        return large + max(0.0, large - small) * (self.images**power - m) / (m - k)


class Prices:
    """The prices of a study's metrics, measured when they are first asked for.

    `unknown` names the metrics that cannot be measured, with the reason.
    """

    def __init__(
        self,
        shape: Shape,
        asked: Sequence[Metric],
        extractors: Sequence[Extractor],
        images: int,
        options: Mapping[str, Mapping[str, Any]],
        snapshots: int = 0,
        clock: Clock = time.perf_counter,
    ) -> None:
        self.shape, self.asked, self.extractors, self.options, self.clock = shape, asked, extractors, options, clock
        self.snapshots, self.images = snapshots, min(images, shape.counts["test"])
        self.unknown: dict[str, str] = {}
        self._metrics: dict[str, list[MeasuredMetric]] = {}
        self._spaces = {extractor.name: self._extraction(extractor) for extractor in extractors}

    def scoring(self, observed: Observations) -> float:
        """Seconds of scoring one run; `observed`, of a batch of noise, has its networks."""
        lacks = {name for name in ABILITIES if getattr(observed, name) is None}
        lacks |= {name for name in ("sample", "likelihood") if name in observed.lacks}
        price = self._of_networks(observed)
        total, shared = self._all(frozenset(lacks), price)
        for what, images in shared:
            if what in ABILITIES:
                total += math.ceil(self.images / BATCH) * price(Call(what, BATCH))
            elif images in ("samples", "reconstructions"):
                total += self.images * self._spaces[what]
        return total

    def shared(self) -> float:
        """Seconds of what a study pays once: both baselines, and the features of the images that all runs share."""
        each, shared = self._all(BASELINE_LACKS, lambda call: 0.0)
        counts, total = self.shape.counts, 2 * each
        for space, images in shared:
            if space in ABILITIES:
                continue
            if images == "training":  # the real baseline, which takes some of them for samples, has a set of its own
                most = next(extractor.max_images for extractor in self.extractors if extractor.name == space)
                rows = min(most, counts["train"]) + min(most, max(0, counts["train"] - self.images))
            elif images == "validation":
                rows = min(self.images, counts["validation"])
            else:
                rows = (1 if images == "real" else 2) * self.images
            total += rows * self._spaces[space]
        return total

    def _all(self, lacks: frozenset[str], price: Price) -> tuple[float, set[tuple[str, str]]]:
        """The seconds of all metrics of a run that lacks these abilities, and what these metrics share."""

        def priced(call: Call) -> float:
            return call.rows * self._spaces[call.what] if call.what in self._spaces else price(call)

        total, shared = 0.0, set[tuple[str, str]]()
        for metric in self.asked:
            for extractor in self.extractors if metric.per_feature_space else self.extractors[:1]:
                found = self._measured(metric, extractor, lacks)
                total += found.seconds(priced)
                shared |= found.shared
        return total, shared

    def _measured(self, metric: Metric, extractor: Extractor, lacks: frozenset[str]) -> MeasuredMetric:
        """The metric measured, or what was measured for a run that is the same in all that the metric looked at."""
        known = self._metrics.setdefault(f"{metric.name}@{extractor.name}", [])
        for found in known:
            if all((name in lacks) == lacking for name, lacking in found.abilities.items()):
                return found
        images = min(self.images, metric.max_images or self.images)
        sizes = ROWS if images >= ROWS[1] else (max(2, images // 3), images)
        if metric.grows == "fixed" or sizes[0] >= sizes[1]:
            sizes = (min(images, FIXED_ROWS),)
        found = MeasuredMetric(images, metric.grows == "pairs")
        for rows in sizes:
            found.works.append(self._once(metric, extractor, lacks, rows, found))
        known.append(found)
        return found

    def _once(
        self, metric: Metric, extractor: Extractor, lacks: frozenset[str], rows: int, found: MeasuredMetric
    ) -> Work:
        """Compute the metric on a stand-in of so many images, and note in `found` what it looked at."""
        options = metrics.options_of(metric, self.options)
        observed = stand_in(self.shape, extractor, lacks, rows, share=rows / found.images)
        start = self.clock()
        try:
            metric.compute(observed) if options is None else metric.compute(observed, options)
        except ValueError:  # it is undefined for such a run
            pass
        except Exception as error:
            self.unknown[metric.name] = f"it fails on noise ({type(error).__name__}: {error})"
        seconds, asked = self.clock() - start, observed.asked
        found.shared |= asked.shared
        found.abilities |= {name: name in lacks for name in asked.abilities}
        if self.snapshots and "history" in asked.abilities:
            self.unknown[metric.name] = "it is computed again for every moment whose weights are kept"
        return Work(rows, seconds, asked.calls)

    def _of_networks(self, observed: Observations) -> Price:
        """The prices of calls of these networks: timed at two batch sizes, and along a line in between."""
        lines: dict[tuple[str, bool], tuple[float, float]] = {}

        def price(call: Call) -> float:
            key = call.what, call.gradient
            if key not in lines:
                few, many = (_caller(observed, call._replace(rows=rows)) for rows in (FEW, BATCH))
                fixed = self.timed(few)
                # Of large networks, a whole batch would take too long to try.
                slope = fixed / FEW if fixed > LONG else max(0.0, self.timed(many) - fixed) / (BATCH - FEW)
                lines[key] = (max(0.0, fixed - FEW * slope), slope)
            fixed, slope = lines[key]
            return fixed + call.rows * slope

        return price

    def _extraction(self, extractor: Extractor) -> float:
        """Seconds per image of an extractor, in its own batches."""
        shape = extractor.batch, self.shape.channels, self.shape.size, self.shape.size
        images = torch.rand(shape, generator=stream(0, "pricing/images")) * 2 - 1
        with torch.no_grad():
            return self.timed(lambda: extractor.embed(images.to(extractor.device)).cpu()) / extractor.batch

    def timed(self, call: Callable[[], object]) -> float:
        """Seconds of a call: the median of some, after one to warm up; of one alone that takes long."""
        seconds: list[float] = []
        while len(seconds) <= REPEATS or sum(seconds) < ENOUGH:
            start = self.clock()
            call()
            seconds.append(self.clock() - start)
            if seconds[-1] > LONG:
                return seconds[-1]
        return statistics.median(seconds[1:])


def _caller(observed: Observations, call: Call) -> Callable[[], object]:
    """A call as it will be made, on noise."""
    function: Any = getattr(observed, call.what)
    if call.what == "sample":
        return lambda: function(call.rows)
    if call.what == "decode":
        latents = torch.randn(call.rows, observed.latent, generator=stream(0, "pricing/latents"))
        if call.gradient:

            def descend() -> object:
                z = latents.clone().requires_grad_()
                with torch.enable_grad():
                    return torch.autograd.grad(function(z).sum(), z)

            return descend
        inputs: tuple[Any, ...] = (latents,)
    else:
        rows = torch.arange(call.rows) % len(observed.real)
        inputs = (observed.real[rows],)
        if call.what != "dis_l":
            inputs = (*inputs, observed.labels_at(rows))

    def compute() -> object:
        with torch.no_grad():
            return function(*inputs)

    return compute
