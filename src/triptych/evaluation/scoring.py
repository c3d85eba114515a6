"""From a finished run to its scores: observations are made once, and every metric is a function of them.

Every score comes with two baselines: what the same metric gives at the same n when other real images take the place
of samples (`real_baseline`), and when noise does (`noise_baseline`).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triptych import plugins, store
from triptych.data.dataset import Dataset, Split, random_subset
from triptych.directory import baseline_file
from triptych.errors import InputError
from triptych.evaluation import features, metrics
from triptych.evaluation.features import BATCH, Extractor
from triptych.evaluation.metrics import Metric
from triptych.evaluation.observations import Draw, Observations
from triptych.evaluation.run import Run
from triptych.rng import stream
from triptych.spec import ScoringSpec
from triptych.verdicts.scales import LEGAL, is_legal_margin

Row = dict[str, Any]
Watch = Callable[[str], None]

MOST_BYTES = 2 * 2**30
"""Training images that are held at once, in float32, take no more than that."""


def metrics_of(scoring: ScoringSpec) -> list[Metric]:
    """The metrics that a study asks for, all there are if it names none; InputError for an unknown one or option."""
    asked = metrics.load(scoring.metrics if scoring.metrics is not None else plugins.names("metrics"))
    metrics.check_options(asked, scoring.options)
    return asked


def planned_outputs(scoring: ScoringSpec) -> list[Row]:
    """What is known of each metric's outputs before the data are: all but those per class and per feature space."""
    return [dataclasses.asdict(output) for metric in metrics_of(scoring) for output in metric.outputs]


def describe(scoring: ScoringSpec, extractors: Sequence[Extractor]) -> list[Row]:
    """What `metrics.json` says of each metric's outputs, with the study's own smallest effects put in.

    Raises InputError for a smallest effect of a metric that is not computed, or a negative one.
    """
    asked, primary, spaces = metrics_of(scoring), extractors[0], extractors[1:]
    outputs = [dataclasses.asdict(output) for metric in asked for output in metric.outputs_for(primary.label_names)]
    for extractor in spaces:
        outputs += [
            dataclasses.asdict(o)
            for metric in asked
            if metric.per_feature_space
            for o in metric.outputs_in(extractor.name)
        ]
    margins, scale_of = scoring.smallest_effect, {output["metric"]: output["scale"] for output in outputs}
    for name, effect in margins.items():
        where = f"scoring.smallest_effect.{name}"
        if name not in scale_of:
            raise InputError("no such metric is computed", where=where, hint=plugins.suggest(name, scale_of))
        if effect and not is_legal_margin(scale_of[name], effect):
            hint = "Give 0 if no effect is too small to matter."
            raise InputError(f"must be {LEGAL[scale_of[name]]}", where=where, value=effect, hint=hint)
    return [
        {**output, "smallest_effect": margins.get(output["metric"], output["smallest_effect"])} for output in outputs
    ]


def observe(run: Run, dataset: Dataset, images: int, extractor: Extractor, cache: Path | None = None) -> Observations:
    """What may be observed of a run: as many samples as test images, at most `images` of each."""
    real, labels = draws_from(dataset.test)(images)
    return dataclasses.replace(
        observe_networks(run, real, extractor),
        labels=labels,
        training=draws_from(dataset.train),
        validation=draws_from(dataset.validation),
        log=store.read_lines(run.files.log_jsonl),
        history=History(run.snapshots, lambda seen: observe_networks(run.at(seen), real, extractor)),
        cache=cache,
    )


class History(Mapping[int, Observations]):
    """The observations of earlier moments by the images seen until then.

    Each access opens the networks of that moment again, so that those of one moment at a time are in memory.
    """

    def __init__(self, moments: Sequence[int], observe_at: Callable[[int], Observations]) -> None:
        self._moments, self._observe_at = tuple(moments), observe_at

    def __getitem__(self, images: int) -> Observations:
        if images not in self._moments:
            raise KeyError(images)
        return self._observe_at(images)

    def __iter__(self) -> Iterator[int]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)


def observe_networks(run: Run, real: Tensor, extractor: Extractor) -> Observations:
    """What the networks of a run show by themselves; what a metric cannot have raises ValueError with the reason."""
    model = run.model
    lacks, conditional = dict(run.lacks), model.framework.conditional
    if conditional:  # metrics have a class for real images, and none for latents of their own
        lacks.setdefault("decode", lacks.get("likelihood", "its decoder needs a class"))
    return Observations(
        real=real,
        sample=run.sample if model.can("sample") else _raising(lacks["sample"]),
        extractor=extractor,
        reconstruct=_on_cpu(model.reconstruct) if model.can("reconstruct") else None,
        posterior=run.posterior if model.can("posterior") else None,
        encode=_on_cpu(model.encode) if model.can("encode") and not model.can("posterior") else None,
        decode=run.render if "decode" not in lacks else None,
        dis_l=run.discriminator_features if model.can("discriminator_features") else None,
        lacks=lacks,
        latent=model.latent if "decode" not in lacks else 0,
        seed=run.spec.seed_of("samples"),
    )


def _on_cpu(answer: Callable[[Tensor, Tensor | None], Tensor]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The answer of a model to a batch of images and their labels, on the CPU."""
    return lambda images, labels: answer(images, labels).cpu()


def _raising(reason: str) -> Callable[[int], Tensor]:
    """In the place of samples that there cannot be."""

    def sample(n: int) -> Tensor:
        raise ValueError(reason)

    return sample


def draws_from(split: Split, left_out: int = 0) -> Draw:
    """The images of a split and their labels, at most so many, drawn at random (`random_subset`).

    The draw is the same for every run, and a smaller one is the beginning of a larger one. With `left_out`, those that
    a draw of that many would take are not there.
    """
    indices = random_subset(len(split), len(split))[left_out:]

    def draw(most: int) -> tuple[Tensor, Tensor | None]:
        shape = split.pixels.shape[1:]
        held = max(BATCH, MOST_BYTES // (4 * int(torch.tensor(shape).prod())))
        chosen = indices[: min(most, held)]
        images = [split.images(part).cpu() for part in chosen.split(1000)]
        return torch.cat(images or [torch.empty(0, *shape)]), None if split.labels is None else split.labels[chosen]

    return draw


def score_run(
    run: Run,
    dataset: Dataset,
    scoring: ScoringSpec,
    fitted: Path,
    only: Sequence[str] | None = None,
    watch: Watch = lambda name: None,
    prepared: Dataset | None = None,
) -> None:
    """Write the run's `scores.jsonl`: one line for every output of every metric.

    `fitted` is the folder with the feature extractors fitted to these data and with the features of real images,
    which all runs share. With `only`, those metrics are computed and the lines of the others stay. `prepared` are the
    images as the study split them, where the run has a split of its own: the extractors are fitted to these.
    """
    extractors = features.choose(scoring.features, prepared or dataset, fitted)
    asked = [metric for metric in metrics_of(scoring) if only is None or metric.name in only]
    bounds = references(dataset, scoring, asked, extractors, fitted, watch)
    observed = observe(run, dataset, scoring.images, extractors[0], fitted)
    rows = metrics.score(observed, asked, extractors[1:], scoring.options, watch)
    spec = run.spec
    who = {"run": spec.id, "framework": spec.framework, "seed": spec.seed, "condition": spec.condition}
    nothing = {"real_baseline": None, "noise_baseline": None}
    lines = [{**who, **row, **bounds.get(row["metric"], nothing)} for row in rows]
    if only is not None:
        new = {line["metric"] for line in lines}
        lines = [line for line in store.read_lines(run.files.scores_jsonl) if line["metric"] not in new] + lines
    store.write(run.files.scores_jsonl, store.to_lines(lines))


def references(
    dataset: Dataset,
    scoring: ScoringSpec,
    asked: Sequence[Metric],
    extractors: Sequence[Extractor],
    folder: Path,
    watch: Watch = lambda name: None,
) -> dict[str, dict[str, float | None]]:
    """Both baselines by output: the metric's value when other real images, and when noise, are the samples.

    For the real baseline the samples are training images and the reconstructions perfect; for the noise baseline both
    are uniform noise. What needs a decoder or codes has neither. Kept in `folder`: they are the same for every run of
    a study.
    """
    key = json.dumps(
        [
            dataset.fingerprint,
            scoring.images,
            [_code(m) for m in asked],
            [e.identity for e in extractors],
            scoring.options,
        ]
    )
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    values: dict[str, dict[str, float | None]] = {}

    def compute(baseline: str, observe_baseline: Callable[[Dataset, int, Extractor, Path], Observations]) -> None:
        path = folder / baseline_file(baseline, name)
        try:
            values[baseline] = store.read_json(path)
        except (OSError, ValueError):
            observed = observe_baseline(dataset, scoring.images, extractors[0], folder)
            rows = metrics.score(observed, asked, extractors[1:], scoring.options, watch)
            values[baseline] = {row["metric"]: row["value"] for row in rows}
            store.write(path, store.to_json(values[baseline]))

    # Runs scored side by side compute each once: one takes the first, the next, not waiting, the second.
    for wait in (False, True):
        for baseline, observe_baseline in (("real_baseline", _real), ("noise_baseline", _noise)):
            if baseline not in values:
                with store.locked(folder, wait, baseline) as locked:
                    if locked:
                        compute(baseline, observe_baseline)
    real, noise = values["real_baseline"], values["noise_baseline"]
    return {output: {"real_baseline": real[output], "noise_baseline": noise[output]} for output in real}


def _code(metric: Metric) -> str:
    """The hash of the file that defines a metric: values kept from before it was edited do not count."""
    file = sys.modules[metric.compute.__module__].__file__
    return store.sha256(Path(file).read_bytes()) if file else metric.name


def _real(dataset: Dataset, images: int, extractor: Extractor, cache: Path) -> Observations:
    """Real images in the place of samples: training images, which are then not among the training images."""
    real, labels = draws_from(dataset.test)(images)
    others = draws_from(dataset.train)(len(real))[0]

    def sample(n: int) -> Tensor:  # with fewer training than test images, some stand twice
        return others if n == len(others) else others[torch.arange(n) % len(others)]

    return Observations(
        real=real,
        sample=sample,
        extractor=extractor,
        reconstruct=lambda images, labels: images,
        labels=labels,
        cache=cache,
        training=draws_from(dataset.train, left_out=len(real)),
        validation=draws_from(dataset.validation),
    )


def _noise(dataset: Dataset, images: int, extractor: Extractor, cache: Path) -> Observations:
    """Uniform noise in the place of samples and of reconstructions."""
    real, labels = draws_from(dataset.test)(images)

    def noise(n: int) -> Tensor:
        return torch.rand(n, *real.shape[1:], generator=stream(0, "reference/noise")).mul_(2).sub_(1)

    def reconstruct(batch: Tensor, labels: Tensor | None) -> Tensor:
        return noise(len(batch))

    return Observations(
        real=real,
        sample=noise,
        extractor=extractor,
        reconstruct=reconstruct,
        labels=labels,
        cache=cache,
        training=draws_from(dataset.train),
        validation=draws_from(dataset.validation),
    )
