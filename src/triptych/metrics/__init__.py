"""Metrics: functions of evidence, one file each, found by name.

A metric declares beforehand, for each of its outputs, which direction is better and what difference is the
smallest that matters. `score` computes them; a value that cannot be computed is Undefined with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from triptych import lookup
from triptych.errors import InputError
from triptych.evidence import Evidence, Undefined


@dataclass(frozen=True)
class Output:
    """One number of a metric: name, meaning, and the smallest difference that matters, in its unit."""

    metric: str
    label: str
    unit: str
    better: Literal["lower", "higher", "none"]
    smallest_effect: float
    family: Literal["primary", "secondary"]
    about: str
    question: str


@dataclass(frozen=True)
class Metric:
    """A function of evidence and what it puts out.

    `compute` returns a value for every output's name. `per_class` is a template, with {index} and {name} to
    be filled in, of an output that exists once for every class of the data. `features` says whether it looks
    at features; `most` is the largest number of images of a kind that it uses.
    """

    name: str
    outputs: tuple[Output, ...]
    compute: Callable[[Evidence], dict[str, float | Undefined]]
    features: bool = False
    per_class: Output | None = None
    most: int | None = None

    def outputs_for(self, label_names: Sequence[str] | None) -> tuple[Output, ...]:
        """All outputs on data with these classes; None means that the data have no labels."""
        template = self.per_class
        if template is None or label_names is None:
            return self.outputs

        def filled(text: str, index: int, name: str) -> str:
            return text.replace("{index}", str(index)).replace("{name}", name)

        return self.outputs + tuple(
            replace(
                template,
                **{key: filled(getattr(template, key), i, name) for key in ("metric", "label", "about")},
            )
            for i, name in enumerate(label_names)
        )


def load(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, or "package.module:Name" from outside; InputError for an unknown one."""
    metrics = []
    for name in names:
        metric = lookup.find("metrics", name, "METRIC", where="metrics")
        if not isinstance(metric, Metric):
            raise InputError(
                "not a Metric", where="metrics", value=name, mend="It must name a triptych.metrics.Metric."
            )
        metrics.append(metric)
    return metrics


def score(evidence: Evidence, metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """One row for every output: metric, value, unit, better, undefined, n and features.

    Exactly one of value and undefined is None. A metric that fails leaves its reason in its rows and the
    others go on. Raises what is the machine's failure and not the run's.
    """
    rows = []
    for metric in metrics:
        try:
            values = metric.compute(evidence)
        except Exception as error:  # whatever a metric does, the other scores of a long run are not lost
            if _passing(error):
                raise
            reason = Undefined(str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")
            values = {}
        else:
            reason = Undefined("the metric gave no such value")
        for output in metric.outputs_for(evidence.extractor.label_names):
            value = _defined(values.get(output.metric, reason))
            count = len(evidence.real) if output.question == "reconstruction" else evidence.n
            undefined = value.reason if isinstance(value, Undefined) else None
            rows.append({
                "metric": output.metric,
                "value": None if isinstance(value, Undefined) else value,
                "unit": output.unit,
                "better": output.better,
                "undefined": undefined,
                "n": min(count, metric.most or count),
                "features": evidence.extractor.identity if metric.features else "",
            })  # fmt: skip
    return rows


def _passing(error: Exception) -> bool:
    """Whether a failure may be gone the next time: memory or disk. As a score it would stand for good.

    PyTorch has no exception of its own for a CPU that is out of memory, only a RuntimeError with this name in it.
    """
    return isinstance(error, (MemoryError, OSError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def _defined(value: float | Undefined) -> float | Undefined:
    """A finite Python float, or why there is none."""
    if isinstance(value, Undefined):
        return value
    return float(value) if math.isfinite(value) else Undefined(f"not finite: {float(value)}")
