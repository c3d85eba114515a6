"""A study carried out at the terminal: said what it will cost, run, stopped with Ctrl-C, and how all this ends.

The commands that run studies share it, so that a study behaves alike whichever of them runs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from triptych import store
from triptych.data import sources
from triptych.data.prepare import channels_of
from triptych.errors import InputError
from triptych.evaluation.scoring import metrics_of
from triptych.spec import RunSpec, StudySpec
from triptych.study import runner
from triptych.study.plan import Estimate, Settled, check_labels, estimate, runs_of, settle, validate
from triptych.terminal import tables
from triptych.terminal.progress import Display, stop_on_signals
from triptych.training.cost import Cost, costs

FAILED, STOPPED = 3, 75


@dataclass(frozen=True)
class Foreseen:
    """A study of which nothing is on disk yet: its runs, how they will be executed, and what each costs."""

    runs: list[RunSpec]
    settled: Settled
    costs: dict[str, Cost]
    channels: int
    classes: int
    data_bytes: int
    scored_images: int

    def estimate(self, runs: list[RunSpec]) -> Estimate:
        """What some of its runs will take."""
        return estimate(
            runs, self.costs, self.channels, self.classes, self.settled, self.data_bytes, self.scored_images
        )


def foresee(spec: StudySpec) -> Foreseen:
    """All that can be said of a study without writing anything; raises InputError for what cannot be run."""
    runs = runs_of(spec)
    validate(runs)
    metrics_of(spec.scoring)
    settled = settle(spec.execution, len(runs))
    raw = sources.load(spec.data)
    channels, _ = channels_of(spec.data, raw)
    check_labels(runs, len(raw.label_names or ()))
    size = sum(map(len, raw.splits().values())) * channels * spec.data.size**2
    return Foreseen(
        runs=runs,
        settled=settled,
        costs=costs(runs, channels, len(raw.label_names or ())),
        channels=channels,
        classes=len(raw.label_names or ()),
        data_bytes=size,
        scored_images=spec.scoring.images,
    )


def carry_out(console: Console, spec: StudySpec, out: Path) -> int:
    """Run a study, or go on with it, in a directory that no other process is at work in; the exit code.

    Raises InputError for what cannot be run, or not there.
    """
    runner.check_free(out, spec)
    with held(out):
        try:
            opened = prepare(console, spec, out)
            tables.plan(console, opened.runs, opened.costs, opened.settled, expected(opened))
            results = compute(console, opened)
            if "stopped" in results.values():
                return stopped(console, out)
            tables.verdicts(console, runner.conclude(out))
            return end(console, out, results)
        except KeyboardInterrupt:  # before or after the runs, where whatever is cut short is simply done again
            return stopped(console, out)


@contextmanager
def held(out: Path) -> Iterator[None]:
    """A directory, for this process alone; raises InputError if another one is at work in it."""
    with store.locked(out, wait=False) as mine:
        if not mine:
            raise InputError("another process is at work in this directory", where=str(out), mend="Wait for it.")
        yield


def prepare(console: Console, spec: StudySpec, out: Path) -> runner.Opened:
    """All that comes before the runs, and what the data are."""
    with tables.preparing(console) as progress:
        opened = runner.prepare(out, spec, progress, console.print)
    tables.data(console, opened)
    return opened


def expected(opened: runner.Opened) -> Estimate:
    """What all runs of a study will take."""
    size = sum(file.stat().st_size for file in (opened.folder / runner.DATA).iterdir())
    images = opened.spec.scoring.images
    return estimate(opened.runs, opened.costs, opened.data.channels, opened.data.classes, opened.settled, size, images)


def compute(console: Console, opened: runner.Opened) -> dict[str, str]:
    """Compute the runs with a live display; the first Ctrl-C stops them. How each ended, by run id."""
    with stop_on_signals(console) as caught, Display(console, opened.costs) as display:
        return runner.compute(opened, display.on_event, lambda: bool(caught))


def end(console: Console, out: Path, results: dict[str, str]) -> int:
    """Say which runs failed and where the report is; the exit code."""
    failed = failures(console, out, results)
    console.print(f"Report: {out / 'report.html'}", markup=False, soft_wrap=True)
    return FAILED if failed else 0


def failures(console: Console, out: Path, results: dict[str, str]) -> int:
    """Say which runs failed, and how many."""
    failed = [name for name, result in results.items() if result == "failed"]
    for name in failed:
        console.print(f"failed: {name}, see {out / 'runs' / name / 'error.txt'}", markup=False)
    return len(failed)


def stopped(console: Console, out: Path) -> int:
    console.print(f"Stopped. The same command goes on from here ({out}).", markup=False)
    return STOPPED
