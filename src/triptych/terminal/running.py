"""A study that runs, as a person sees it at the terminal: what it will cost, how far it is, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from triptych.directory import BASELINES, RunDirectory
from triptych.terminal import tables
from triptych.terminal.progress import Display, stop_on_signals

if TYPE_CHECKING:
    from triptych.study.costing import Estimate
    from triptych.study.runner import Outcome, PreparedStudy
    from triptych.training.cost import Cost

FAILED, STOPPED = 3, 75
"""Exit codes."""


class Terminal:
    """The observer (`triptych.study.observer`) that prints to a console; the first Ctrl-C stops the runs.

    With `show_plan`, what the study will run and what that will cost is said before the runs, and then each of `notes`.
    Where that was measured in an earlier call, it is not measured again.
    """

    def __init__(self, console: Console, show_plan: bool = True, notes: Sequence[str] = ()) -> None:
        self.console, self.show_plan, self.notes = console, show_plan, notes
        self.estimate: Estimate | None = None
        self.features: Path | None = None

    def note(self, text: str) -> None:
        self.console.print(text)

    def preparing(self) -> AbstractContextManager[Callable[[int, int], None]]:
        return tables.preparing(self.console)

    def prepared(self, study: PreparedStudy) -> None:
        tables.data(self.console, study)
        if self.show_plan:
            self.estimate, self.features = study.kept_estimate(self.note), study.directory.features
            tables.plan(self.console, study, self.estimate)
            tables.notes(self.console, self.notes)

    @contextmanager
    def computing(
        self, costs: dict[str, Cost]
    ) -> Iterator[tuple[Callable[[dict[str, Any]], None], Callable[[], bool]]]:
        estimate = self.estimate
        if estimate and self.features and any(self.features.glob(BASELINES)):  # from earlier runs of the study
            estimate = replace(estimate, shared=0.0)
        with stop_on_signals(self.console) as caught, Display(self.console, costs, estimate) as display:
            yield display.on_event, lambda: bool(caught)


def end(console: Console, outcome: Outcome) -> int:
    """Say which runs failed and where the report is; the exit code."""
    failures(console, outcome.failed)
    console.print(f"Report: {outcome.directory.report_html}", markup=False, soft_wrap=True)
    return FAILED if outcome.failed else 0


def failures(console: Console, failed: list[RunDirectory]) -> None:
    """Say which runs failed, and where to read why."""
    for run in failed:
        console.print(f"failed: {run.id}, see {run.error_txt}", markup=False, soft_wrap=True)


def stopped(console: Console, out: Path) -> int:
    """Say how a study that was stopped is resumed; the exit code."""
    console.print(f"Stopped. Run the same command to resume ({out}).", markup=False)
    return STOPPED
