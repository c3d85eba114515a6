"""Metrics: functions of the observations of a run, one file each, found by name.

A metric declares beforehand, for each of its outputs, which direction is better and what difference is the
smallest that matters. `score` computes them; a value that cannot be computed is Undefined with its reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from triptych import plugins, topics
from triptych.errors import InputError
from triptych.evaluation.features import Extractor
from triptych.evaluation.observations import Measured, Observations, Undefined
from triptych.spec import Frozen, checked
from triptych.topics import Topic
from triptych.verdicts.scales import Scale

Values = dict[str, float | Measured | Undefined]
"""What a metric gives: a value for the name of each of its outputs."""


@dataclass(frozen=True)
class Output:
    """One number of a metric: name, meaning, and the smallest effect that matters, 0 if none is known.

    `role` says whether verdicts on it answer its topic's question ("primary"), and `topic` what it bears on. `axis` is
    what the x of its curve is, for an output that has one. The rest tells the report how to show it. `gap` names the
    output that measures how far the truth may lie from this value: a difference within the gaps decides nothing.
    `scale` says how values are compared (`triptych.verdicts.scales`): "factor" for distances, errors and times, whose
    `smallest_effect` is then a factor such as 1.1; "share" for shares of images; "event" for what is 0 or 1 for each
    run, so that runs are counted; "difference" for all else, with a `minimum` and a `maximum` where truth has one.
    `unshifted` names, for an output measured on shifted test images, the one that is measured in the same way on test
    images as they are. `selects_settings` says that settings, such as a learning rate, are chosen by it, since it sees
    no test images.
    """

    metric: str
    label: str
    unit: str
    better: Literal["lower", "higher", "none"]
    smallest_effect: float
    role: Literal["primary", "secondary"]
    about: str
    topic: Topic
    axis: str = ""
    gap: str = ""
    scale: Scale = "difference"
    minimum: float | None = None
    maximum: float | None = None
    unshifted: str = ""
    selects_settings: bool = False

    @property
    def counted(self) -> bool:
        """Whether a value is 0 or 1 for each run."""
        return self.scale == "event"

    @property
    def of_samples(self) -> bool:
        """Whether samples and real images may be all that it takes: `triptych measure` gives it."""
        return (self.topic.subject == topics.SAMPLES.subject or self.counted) and not self.selects_settings


@dataclass(frozen=True)
class Metric:
    """A function of the observations of a run, and its outputs.

    `compute(observed)` returns a value for every output's name; with `options`, a pydantic model of the metric's own
    options, it is `compute(observed, options)`. `per_class` is a template, with {index} and {name} to be filled in,
    of an output that exists once for every class of the data. `features` says whether it uses features, or which of
    its outputs do, and `per_feature_space` that it uses nothing else, so that it is also computed in every further
    feature space. `max_images` is the largest number of images of a kind that it uses. `grows` says how its time
    grows, by which a study's time is predicted: with the images, with pairs of them, or not, where its own options
    decide. `conditional_errors` says that its standard errors take something as given that other images would change.
    `source` is where it comes from, `blind_spots` what it does not see.
    """

    name: str
    outputs: tuple[Output, ...]
    compute: Callable[..., Values]
    features: bool | tuple[str, ...] = False
    per_class: Output | None = None
    max_images: int | None = None
    grows: Literal["images", "pairs", "fixed"] = "images"
    per_feature_space: bool = False
    options: type[Frozen] | None = None
    conditional_errors: bool = False
    source: str = ""
    blind_spots: str = ""

    def outputs_in(self, space: str) -> tuple[Output, ...]:
        """The outputs in a further feature space, named "kid@pixels"; they are secondary."""
        return tuple(
            replace(
                output,
                metric=f"{output.metric}@{space}",
                label=f"{output.label} ({space})",
                role="secondary",
                gap="",
                unshifted="",
                selects_settings=False,
                # A margin in the first space's unit says nothing here; shares and factors have none.
                smallest_effect=output.smallest_effect if output.scale in ("share", "factor") else 0.0,
            )
            for output in self.outputs
        )

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
    metrics: list[Metric] = []
    for name in names:
        metric = plugins.find("metrics", name, where="metrics")
        if not isinstance(metric, Metric):
            raise InputError(
                "not a Metric", where="metrics", value=name, hint="It must name a triptych.evaluation.metrics.Metric."
            )
        metrics.append(metric)
    _check_topics(metrics)
    return metrics


def _check_topics(metrics: Iterable[Metric]) -> None:
    """Raise InputError for two topics of one name with other words: scores on them would be mixed silently."""
    seen: dict[str, Topic] = {topic.name: topic for topic in topics.BUILT_IN}
    for metric in metrics:
        for output in (*metric.outputs, *([metric.per_class] if metric.per_class else [])):
            if seen.setdefault(output.topic.name, output.topic) != output.topic:
                raise InputError(
                    "there is another topic of this name",
                    where=f"metrics, {metric.name}, {output.metric}",
                    value=output.topic.name,
                    hint="Use that topic, or choose another name.",
                )


def value_or_reason(compute: Callable[[], float | Measured]) -> float | Measured | Undefined:
    """What `compute` gives, or Undefined with the reason of its ValueError: for one output of several."""
    try:
        return compute()
    except ValueError as reason:
        return Undefined(str(reason))


def check_options(metrics: Iterable[Metric], options: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise InputError for options of a metric that is not computed or has none, and for those it does not know."""
    known = {metric.name: metric.options for metric in metrics if metric.options is not None}
    for name, values in options.items():
        where = f"scoring.options.{name}"
        if name not in known:
            raise InputError(
                "no metric with options of that name is computed", where=where, hint=plugins.suggest(name, known)
            )
        checked(known[name], values, where)


def score(
    observed: Observations,
    metrics: Iterable[Metric],
    spaces: Sequence[Extractor] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    watch: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Any]]:
    """One row for every output of every metric, in the observations' own features and in those of `spaces`.

    A row has metric, value, error (standard error over images), unit, better, undefined, n, features, note and curve;
    exactly one of value and undefined is None. A metric that fails leaves its reason in its rows and the others go
    on. `watch` is called with each metric's name before it is computed. Raises what is the machine's failure and not
    the run's.
    """
    metrics, rows = list(metrics), []
    chosen = {metric.name: options_of(metric, options or {}) for metric in metrics}
    for metric in metrics:
        watch(metric.name)
        rows += _rows(observed, metric, metric.outputs_for(observed.extractor.label_names), chosen[metric.name])
    for extractor in spaces:
        watch(extractor.name)
        view = observed.seen_by(extractor)
        for metric in metrics:
            if metric.per_feature_space:
                rows += _rows(view, metric, metric.outputs_in(extractor.name), chosen[metric.name])
    return rows


def options_of(metric: Metric, options: Mapping[str, Any]) -> Frozen | None:
    """The metric's options as a study gives them; None for a metric without."""
    if metric.options is None:
        return None
    return checked(metric.options, options.get(metric.name, {}), f"scoring.options.{metric.name}")


def _rows(
    observed: Observations, metric: Metric, outputs: Sequence[Output], options: Frozen | None
) -> list[dict[str, Any]]:
    """The rows of one metric; an output of a further space has its own name before the "@"."""
    try:
        values = metric.compute(observed) if options is None else metric.compute(observed, options)
        if not isinstance(values, Mapping):
            raise TypeError(f"compute() must return a dict of values by output, not {type(values).__name__}")
    except Exception as error:  # whatever a metric does, the other scores of a long run are not lost
        if _passing(error):
            raise
        reason = Undefined(str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")
        values = {}
    else:
        reason = Undefined("the metric gave no such value")
    return [
        _checked_row(output, values.get(output.metric.partition("@")[0], reason), observed, metric)
        for output in outputs
    ]


def _checked_row(output: Output, given: Any, observed: Observations, metric: Metric) -> dict[str, Any]:
    """The row of one output; what is no value leaves its reason there, and the metric's other outputs stay."""
    try:
        return _row(output, given, observed, metric)
    except Exception as error:
        if _passing(error):
            raise
        shown = type(given.value if isinstance(given, Measured) else given).__name__
        reason = Undefined(f"{type(error).__name__}: compute() gave a {shown}, which is no valid value ({error})")
        return _row(output, reason, observed, metric)


def _row(output: Output, given: float | Measured | Undefined, observed: Observations, metric: Metric) -> dict[str, Any]:
    looks = output.metric in metric.features if isinstance(metric.features, tuple) else metric.features
    given = given if isinstance(given, Undefined | Measured) else Measured(given)
    reason, value = (given.reason, None) if isinstance(given, Undefined) else _defined(given.value, output)
    stands = given if isinstance(given, Measured) and value is not None else Measured(0.0)
    return {
        "metric": output.metric,
        "value": value,
        "error": stands.error if stands.error is not None and math.isfinite(stands.error) else None,
        "unit": output.unit,
        "better": output.better,
        "undefined": reason,
        "n": stands.n or min(observed.n, metric.max_images or observed.n),
        "features": observed.extractor.identity if looks else "",
        "note": stands.note,
        "curve": [[float(x), float(y)] for x, y in stands.curve if math.isfinite(x) and math.isfinite(y)],
    }


def _passing(error: Exception) -> bool:
    """Whether a failure may be gone the next time: memory or disk. As a score it would stand for good.

    PyTorch has no exception of its own for a CPU that is out of memory, only a RuntimeError with this name in it.
    """
    return isinstance(error, (MemoryError, OSError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in str(error)


def _defined(value: float, output: Output) -> tuple[str | None, float | None]:
    """(None, a finite Python float), or (why there is none, None)."""
    if not math.isfinite(value):
        return f"not finite: {float(value)}", None
    if output.counted and value not in (0, 1):
        return f"neither 0 nor 1, which an event is: {float(value):g}", None
    return None, float(value)
