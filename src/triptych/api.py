"""Triptych from Python: the commands as functions, with modules, tensors and DataFrames coming out.

import triptych

study = triptych.compare("mnist", ["vae", "vaegan"], seeds=2, images=6400, out="results/demo")
study.verdicts()[["metric", "a", "b", "verdict"]]
study.runs[0].sample(16)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from triptych import networks, store
from triptych.data.dataset import Dataset
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.spec import NetworkSpec, RunSpec, ScoringSpec, StudySpec, checked, load_study
from triptych.study import runner as studies
from triptych.study.plan import resolved, runs_of, validate
from triptych.study.presets import comparison
from triptych.training import loop as training

if TYPE_CHECKING:
    import pandas


class Study:
    """A study on disk. `spec` is its specification, `report` the path of its report."""

    def __init__(self, folder: Path | str) -> None:
        """Raises InputError when there is no study in `folder`."""
        self.folder = Path(folder)
        self.spec = load_study(self.folder / studies.STUDY)
        self.report = self.folder / "report.html"

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r})"

    @property
    def runs(self) -> list[Run]:
        """The runs that have come to their end, by condition, seed and framework."""
        folders = [self.folder / "runs" / run.id for run in runs_of(self.spec)]
        return [Run(folder) for folder in folders if store.is_whole(folder)]

    def scores(self) -> pandas.DataFrame:
        """A row for every run and metric: run, framework, seed, metric, value, unit, better, undefined, ..."""
        import pandas

        return pandas.DataFrame(store.read_lines(self.folder / studies.SCORES))

    def score(
        self,
        metrics: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        images: int | None = None,
    ) -> Study:
        """Score the finished runs anew, as `triptych score` does; returns the study, judged again.

        Raises InputError for what cannot be scored so, and RuntimeError if the scoring of a run fails.
        """
        asked = {"metrics": metrics, "features": features, "images": images}
        wanted = {key: value for key, value in asked.items() if value is not None}
        with _held(self.folder):
            opened, jobs = studies.rescore(self.folder, checked(ScoringSpec, wanted, "Study.score"))
            _raise_for_failures(studies.execute(opened, jobs), self.folder)
            studies.conclude(self.folder)
        return Study(self.folder)

    def verdicts(self) -> pandas.DataFrame:
        """A row for every question: metric, a, b, verdict, difference, low, high, n, p_adjusted, sentence, ..."""
        import pandas

        return pandas.DataFrame(store.read_json(self.folder / studies.VERDICTS))


def compare(
    data: str = "mnist",
    frameworks: Sequence[str] | str = ("vae", "gan", "vaegan"),
    seeds: int = 3,
    preset: str = "quick",
    *,
    out: Path | str,
    **fields: Any,
) -> Study:
    """Compare frameworks, as `triptych compare` does; `fields` are those of `triptych.comparison`."""
    return run_study(comparison(data, frameworks, seeds, preset, **fields), out)


def run_study(spec: StudySpec, out: Path | str) -> Study:
    """Run a study in a directory, or go on with it, and conclude it; raises RuntimeError if a run fails."""
    folder = Path(out)
    studies.check_free(folder, spec)
    with _held(folder):
        _raise_for_failures(studies.compute(studies.prepare(folder, spec)), folder)
        studies.conclude(folder)
    return Study(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The study's directory, for this process alone."""
    with store.locked(folder, wait=False) as mine:
        if not mine:
            raise InputError("another process is at work in this directory", where=str(folder))
        yield


def _raise_for_failures(results: dict[str, str], folder: Path) -> None:
    failed = [name for name, result in results.items() if result != "finished"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(results)} runs failed; see error.txt in {folder / 'runs'}")


def open_study(folder: Path | str) -> Study:
    """A study's directory, opened."""
    return Study(folder)


def open_run(folder: Path | str, device: str = "cpu") -> Run:
    """A run's directory, opened."""
    return Run(folder, device)


def train_run(spec: RunSpec, images: Dataset, out: Path | str) -> Run:
    """Train one run in this process, on the images' device, in the directory `out`, and open it; without scores."""
    if (images.size, images.channels) != (spec.data.size, spec.data.channels or images.channels):
        raise InputError("the images are not of the specification's size or channels", where="images")
    validate([spec])
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
