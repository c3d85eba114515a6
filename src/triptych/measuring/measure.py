"""Sets of samples against real images: scores, and verdicts where there are several sets of several names.

What is fitted to images (components, classifiers) is fitted to the training images where they are given. Several sets
of one name are taken as the seeds of one generator, in order, and are judged as the runs of a study are. All sets are
cut to the number of images of the smallest, since values at different numbers do not compare.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from triptych import plugins
from triptych.data.dataset import Dataset, Split
from triptych.errors import InputError
from triptych.evaluation import features, metrics
from triptych.evaluation.features.classifier import has_classes
from triptych.evaluation.metrics import Metric
from triptych.measuring.images import ImageSet, Progress, Shape, Source, named_sets, opened, read, shape_of
from triptych.measuring.observed import Pool, Watch
from triptych.measuring.scores import Baselines, Space, scores, space_of
from triptych.training.environment import choose_device
from triptych.verdicts import comparisons, designs
from triptych.verdicts.wording import declared_names

Row = dict[str, Any]
MOST_IMAGES = 50_000
"""Of each set: as many as papers take."""
MOST_TRAINING = 60_000
"""As many as a study takes at most for memorisation; a slow extractor takes fewer."""
FAILURES = "stability"
"""The metric that says which sets have collapsed: a verdict counts them, whatever metrics are asked for."""


def _silent(*what: object) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Measurement:
    """What was measured: docs/reference/measure.md has the fields of `scores` and of the rest."""

    sets: list[Row]
    against: Row
    train: Row | None
    size: int
    channels: int
    features: list[str]
    baselines: Row
    notes: list[str]
    metrics: list[Row]
    scores: list[Row]
    verdicts: list[Row]

    def to_dict(self) -> Row:
        """The same as a table of strings, finite numbers and None, as `--json` prints it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Inputs:
    """All images that were read."""

    shape: Shape
    sets: dict[str, list[ImageSet]]
    real: ImageSet
    train: ImageSet | None
    is_mnist: bool
    notes: list[str]


def measure(
    samples: str | Path | Sequence[str | Path] | Mapping[str, Sequence[str | Path]],
    against: str | Path,
    train: str | Path | None = None,
    *,
    metrics: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    size: int | None = None,
    channels: int | None = None,
    fit: str | None = None,
    broken: str = "error",
    images: int = MOST_IMAGES,
    device: str = "auto",
    watch: Watch = _silent,
    progress: Progress | None = None,
) -> Measurement:
    """Measure sets of samples against real images, as `triptych measure` does.

    `samples` is one path, several, or the paths of each name: the seeds of one generator. `images` is the most of each
    set. `watch` is called with what is being done, `progress` with the images read so far and their number. Raises
    InputError for what cannot be measured so.
    """
    named, asked, device = _named(samples), _asked(metrics), choose_device(device)
    if len(named) > 1 and all(metric.name != FAILURES for metric in asked):
        asked += _asked([FAILURES])
    if images < 2:
        raise InputError("at least 2 images of each set are needed", where="--images", value=images)
    with tempfile.TemporaryDirectory() as folder:
        inputs = _read(named, str(against), train, (size, channels, fit, broken), images, Path(folder), progress)
        spaces = _spaces(asked, features, inputs, device, Path(folder), watch)
        return _measured(inputs, spaces, Path(folder), watch)


def _named(samples: Any) -> dict[str, list[str]]:
    """The sets of each name."""
    if not isinstance(samples, Mapping):
        given = [samples] if isinstance(samples, str | Path) else list(samples)
        return named_sets([str(each) for each in given])
    named = {
        str(name): [str(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        for name, paths in samples.items()
    }
    if not named or not all(named.values()):
        raise InputError("no samples are given", where="samples")
    return named


def _asked(names: Sequence[str] | None) -> list[Metric]:
    """The metrics asked for, all of samples by default; raises InputError for one that needs more than samples."""
    every = metrics.load(plugins.names("metrics") if names is None else names)
    found = [metric for metric in every if any(output.of_samples for output in metric.outputs)]
    if names is None:
        return found
    if wrong := [name for name, metric in zip(names, every, strict=True) if metric not in found]:
        raise InputError(
            "not a metric of samples: it needs a trained model",
            where="--metrics",
            value=wrong[0],
            hint=f"Of samples are {', '.join(metric.name for metric in _asked(None))}.",
        )
    if not found:
        raise InputError("no metrics are given", where="--metrics")
    return found


def _read(
    named: dict[str, list[str]],
    against: str,
    train: str | Path | None,
    wishes: tuple[int | None, int | None, str | None, str],
    most: int,
    folder: Path,
    progress: Progress | None,
) -> _Inputs:
    """All images in one shape; everything is opened, and refused, before anything is read."""
    size, channels, fit, broken = wishes
    real = opened(against, "real", "--against", broken)
    training = None if train is None else opened(str(train), "train", "--train", broken)
    found = {name: [opened(path, "samples", "SAMPLES", broken) for path in paths] for name, paths in named.items()}
    shape, notes = shape_of(real, size, channels, fit)
    smallest = min(source.total for sources in found.values() for source in sources)

    def take(source: Source, limit: int = most) -> ImageSet:
        why = "; --images takes more" if limit >= most else ", as many as the smallest set has"
        return read(source, shape, min(limit, most), folder, why, progress)

    sets = {name: [take(source, smallest) for source in sources] for name, sources in found.items()}
    inputs = _Inputs(
        shape=shape,
        sets=sets,
        real=take(real),
        train=None if training is None else read(training, shape, MOST_TRAINING, folder, progress=progress),
        is_mnist="mnist" in (real.name, training.name if training else ""),
        notes=notes,
    )
    every = [inputs.real, *([inputs.train] if inputs.train else []), *(own for group in sets.values() for own in group)]
    said: dict[str, dict[str, None]] = {}  # the same note of several sets is one
    for own in every:
        for note in own.notes:
            said.setdefault(note, {})[own.text] = None
    notes += [f"{', '.join(texts)}: {note}" for note, texts in said.items()]
    return inputs


def _spaces(
    asked: list[Metric], names: Sequence[str] | None, inputs: _Inputs, device: str, folder: Path, watch: Watch
) -> list[Space]:
    """The feature spaces, fitted where they need it; the first has all metrics."""
    own, cpu = inputs.train or inputs.real, torch.device("cpu")
    nothing = Split(own.pixels[:0], None, cpu)
    dataset = Dataset(
        source="mnist" if inputs.is_mnist else "images",
        train=Split(own.pixels, None if own.labels is None else torch.from_numpy(own.labels), cpu),
        validation=nothing,
        test=nothing,
        channels=inputs.shape.channels,
        size=inputs.shape.size,
        counts={"train": len(own)},
        label_names=own.label_names,
        fingerprint="",
        notes=[],
    )
    if names is None:
        names = ["classifier" if inputs.is_mnist or (inputs.train and has_classes(dataset)) else "pixels"]
    chosen = features.choose(names, dataset, folder, watch)
    if inputs.train is None and any(extractor.name == "own-classifier" for extractor in chosen):
        inputs.notes.append(
            "The classifier was trained on the real images themselves, so it knows them better than any samples, and "
            "distances in its features come out too large. --train gives it other images with labels."
        )
    train = None if inputs.train is None else Pool(inputs.train.pixels, watch, inputs.train.text)
    return [space_of(extractor.on(device), asked, train, place == 0) for place, extractor in enumerate(chosen)]


def _measured(inputs: _Inputs, spaces: list[Space], folder: Path, watch: Watch) -> Measurement:
    """The scores of all sets, and verdicts where there are two names or more."""
    real = Pool(inputs.real.pixels, watch, inputs.real.text)
    baselines = Baselines(real, min(len(own) for group in inputs.sets.values() for own in group), folder)
    rows: list[Row] = []
    bounds = [baselines.values(space) for space in spaces]
    for name, group in inputs.sets.items():
        for seed, own in enumerate(group):
            who = {"framework": name, "seed": seed, "condition": {}, "path": own.text}
            pool = Pool(own.pixels, watch, own.text)
            for space, bound in zip(spaces, bounds, strict=True):
                nothing = {"real_baseline": None, "noise_baseline": None}
                matched = baselines.matched(pool, space)
                for row in scores(pool, real, space):
                    key = row["metric"]
                    rows.append({**who, **row, "matched": matched.get(key), **bound.get(key, nothing)})
    described = [
        dataclasses.asdict(output) for space in spaces for _, outputs in space.outputs for output in outputs.values()
    ]
    return Measurement(
        sets=[
            {"framework": name, "seed": seed, **_record(own)}
            for name, group in inputs.sets.items()
            for seed, own in enumerate(group)
        ],
        against=_record(inputs.real),
        train=None if inputs.train is None else _record(inputs.train),
        size=inputs.shape.size,
        channels=inputs.shape.channels,
        features=[space.extractor.identity for space in spaces],
        baselines={"n": baselines.n, "n_real": baselines.n_real},
        notes=inputs.notes,
        metrics=described,
        scores=rows,
        verdicts=_verdicts(list(inputs.sets), described, rows),
    )


def _record(images: ImageSet) -> Row:
    return {"path": images.text, "n": len(images), "total": images.total}


def _verdicts(names: list[str], described: list[Row], rows: list[Row]) -> list[Row]:
    """The verdicts on every two names, whose sets are independent of each other, in whatever order they are listed."""
    if len(names) < 2:
        return []
    with declared_names({name.partition("@")[0]: name.partition("@")[0] for name in names}):
        asked = comparisons.comparisons_for(names, described)
        return [verdict.to_dict() for verdict in comparisons.judge(rows, asked, design=designs.INDEPENDENT)]
