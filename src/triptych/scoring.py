"""From a finished run to its scores: evidence made once, every metric a function of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from triptych import lookup, metrics, store
from triptych.dataset import Dataset
from triptych.errors import InputError
from triptych.evidence import NO_ENCODER, Evidence
from triptych.features import choose_extractor
from triptych.metrics import Metric
from triptych.run import Run
from triptych.spec import ScoringSpec


def metrics_of(scoring: ScoringSpec) -> list[Metric]:
    """The metrics that a study asks for; all there are, if it names none."""
    return metrics.load(scoring.metrics if scoring.metrics is not None else lookup.names("metrics"))


def describe(scoring: ScoringSpec, label_names: Sequence[str] | None) -> list[dict[str, Any]]:
    """What `metrics.json` says of each metric's outputs, with the study's own smallest effects put in.

    Raises InputError for a smallest effect of a metric that is not computed, or a negative one.
    """
    outputs = [vars(output) for metric in metrics_of(scoring) for output in metric.outputs_for(label_names)]
    own, known = scoring.smallest_effect, [output["metric"] for output in outputs]
    for name, effect in own.items():
        where = f"scoring.smallest_effect.{name}"
        if name not in known:
            raise InputError("no such metric is computed", where=where, mend=lookup.suggest(name, known))
        if effect < 0:
            raise InputError("a smallest effect is not negative", where=where, value=effect)
    return [{**output, "smallest_effect": own.get(output["metric"], output["smallest_effect"])} for output in outputs]


def evidence_of(run: Run, dataset: Dataset, images: int, fitted: Path) -> Evidence:
    """What may be observed of a run: as many samples as test images, at most `images` of each.

    `fitted` is the folder with the feature extractor fitted to these data, if one had to be, and with the features
    of the real images, which all runs share.
    """
    n = min(images, len(dataset.test))
    # Spread over the whole set: its parts may differ, as the two halves of MNIST's test images do.
    chosen = torch.arange(n) * len(dataset.test) // n
    labels = dataset.test.labels
    return Evidence(
        real=dataset.test.images(chosen).cpu(),
        labels=None if labels is None else labels[chosen],
        sample=run.sample,
        reconstruct=run.reconstruct if run.has_encoder else NO_ENCODER,
        encode=run.encode if run.has_encoder else NO_ENCODER,
        extractor=choose_extractor(dataset, fitted),
        n=n,
        cache=fitted,
    )


def score(run: Run, dataset: Dataset, scoring: ScoringSpec, fitted: Path) -> None:
    """Write the run's `scores.jsonl`: one line for every output of every metric."""
    evidence = evidence_of(run, dataset, scoring.images, fitted)
    spec = run.spec
    who = {"run": spec.id, "framework": spec.framework, "seed": spec.seed, "condition": spec.condition}
    lines = [{**who, **row} for row in metrics.score(evidence, metrics_of(scoring))]
    store.write(run.folder / "scores.jsonl", store.to_lines(lines))
