"""Triptych from Python: the commands as functions, with modules, tensors and DataFrames coming out.

import triptych

study = triptych.compare("mnist", ["vae", "vaegan"], seeds=2, images=6400, out="results/demo")
study.verdicts()[["metric", "a", "b", "verdict"]]
study.runs[0].sample(16)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from triptych import networks, store
from triptych.data.dataset import Dataset, batch_indices
from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.measuring.measure import Measurement, measure
from triptych.spec import NetworkSpec, RunSpec, ScoringSpec, StudySpec, checked
from triptych.study import runner
from triptych.study.observer import SILENT, Observer
from triptych.study.plan import check_labels, resolved, validate
from triptych.study.presets import comparison
from triptych.study.rescoring import score_study
from triptych.training import loop as training

if TYPE_CHECKING:
    import pandas

__all__ = [
    "Measurement",
    "Study",
    "build_networks",
    "compare",
    "measure",
    "open_run",
    "open_study",
    "run_study",
    "train_run",
]


class Study:
    """A study on disk. `spec` is its specification, `report` the path of its report."""

    def __init__(self, folder: Path | str) -> None:
        """Raises InputError when there is no study in `folder`, or one of an older version."""
        self.folder = Path(folder)
        self.files = StudyDirectory(folder)
        self.spec, self._planned = runner.load(self.folder)
        self.report = self.files.report_html

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r})"

    @cached_property
    def runs(self) -> list[Run]:
        """The complete runs, by condition, seed and framework, as they were when this was first asked for.

        All their files are read to know that they are whole, hence only once; `open_study` looks again.
        """
        directories = [self.files.run(run.id) for run in self._planned]
        return [Run(directory.path) for directory in directories if directory.is_complete()]

    def scores(self) -> pandas.DataFrame:
        """A row for every run and metric: run, framework, seed, metric, value, unit, better, undefined, ..."""
        import pandas

        return pandas.DataFrame(store.read_lines(self.files.scores_jsonl))

    def score(
        self,
        metrics: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        images: int | None = None,
        observer: Observer = SILENT,
    ) -> Study:
        """Score the finished runs again, as `triptych score` does; returns the study, judged again.

        Raises InputError for what cannot be scored so, and RuntimeError if the scoring of a run fails.
        """
        given = {"metrics": metrics, "features": features, "images": images}
        wanted = checked(ScoringSpec, {k: v for k, v in given.items() if v is not None}, "Study.score")
        return _study_of(score_study(self.folder, wanted, observer=observer))

    def verdicts(self) -> pandas.DataFrame:
        """A row for every question: metric, a, b, verdict, difference, low, high, n, p_adjusted, sentence, ...

        Empty as long as the study has not been judged.
        """
        import pandas

        return pandas.DataFrame(store.Reader().tables(self.files.verdicts_json))


def compare(
    data: str = "mnist",
    frameworks: Sequence[str] | str = ("vae", "gan", "vaegan"),
    seeds: int | str = 3,
    preset: str = "quick",
    *,
    out: Path | str,
    observer: Observer = SILENT,
    **fields: Any,
) -> Study:
    """Compare frameworks, as `triptych compare` does; `fields` are those of `triptych.comparison`.

    `observer` is called while the study runs: `triptych.terminal.running.Terminal(rich.console.Console())` prints what
    the command prints.
    """
    return run_study(comparison(data, frameworks, seeds, preset, **fields), out, observer)


def run_study(spec: StudySpec, out: Path | str, observer: Observer = SILENT) -> Study:
    """Run a study in a directory, or resume it, and summarise it; raises RuntimeError if a run fails or is stopped."""
    return _study_of(runner.run_study(spec, Path(out), observer))


def _study_of(outcome: runner.Outcome) -> Study:
    """The study whose runs have ended; raises RuntimeError unless all are complete."""
    count, runs = len(outcome.results), outcome.directory.runs
    if outcome.is_stopped:
        raise RuntimeError("stopped; the same call resumes it")
    if outcome.failed:
        raise RuntimeError(f"{len(outcome.failed)} of {count} runs failed; see error.txt in {runs}")
    return Study(outcome.directory.path)


def open_study(folder: Path | str) -> Study:
    """A study's directory, opened."""
    return Study(folder)


def open_run(folder: Path | str, device: str = "cpu") -> Run:
    """A run's directory, opened."""
    return Run(folder, device)


def train_run(spec: RunSpec, images: Dataset, out: Path | str) -> Run:
    """Train one run in this process, on the images' device, in the directory `out`, and open it; without scores.

    A directory with a part of this very run resumes it. Raises InputError, and writes nothing, for images that the run
    cannot be trained on, and for a directory that holds another run or one of other images.
    """
    if (images.size, images.channels) != (spec.data.size, spec.data.channels or images.channels):
        raise InputError("the images are not of the specification's size or channels", where="images")
    validate([spec])
    check_labels([spec], images.classes)
    batch_indices(spec.seed, 0, len(images.train), spec.training.batch_size)
    training.train(Path(out), resolved(spec), images)
    return Run(out, str(images.train.device))


def build_networks(
    size: int = 32,
    channels: int = 1,
    width: float = 0.25,
    latent: int = 128,
    seed: int = 0,
    family: str = "conv",
) -> nn.ModuleDict:
    """The untrained networks "enc", "dec" and "dis" with the weights of a seed; `triptych.networks` has their form."""
    return networks.build(NetworkSpec(family=family, width=width, latent=latent), size, channels, seed)
