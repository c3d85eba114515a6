"""What a person sees while a study runs: what it does, images per second, and the time left.

The time left is that of the estimate at first. What finished runs took then corrects it, training and scoring apart.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from triptych.text import duration

if TYPE_CHECKING:
    from triptych.study.costing import Estimate
    from triptych.training.cost import Cost

QUIET_SECONDS = 20.0
"""How often a line is printed where there is no terminal to redraw."""
ALMOST = 0.95
"""The most that scoring under way counts as done: its metrics are not equally long."""


@dataclass
class Stage:
    """The training or the scoring of all runs: seconds expected by run, and what they took that have ended.

    The unit of `expected` does not matter: what has been measured tells how many seconds one of it takes.
    """

    expected: dict[str, float]
    spent: float = 0.0
    measured: float = 0.0

    @property
    def pace(self) -> float | None:
        """Seconds for an expected one; None as long as nothing has been measured."""
        return self.spent / self.measured if self.measured > 0 else None

    def note(self, expected: float, seconds: float) -> None:
        """So much that was expected took so many seconds."""
        self.measured += expected
        self.spent += seconds


class Display:
    """A live display of a study: one bar for all of it, and one for each run under way.

    `costs` are those of `triptych.training.cost.costs`, by run id. Without an `estimate`, how long training takes is
    known from the first images on, and how long scoring takes once a run has been scored.
    """

    def __init__(self, console: Console, costs: dict[str, Cost], estimate: Estimate | None = None) -> None:
        self.console, self.costs = console, costs
        known = estimate.runs if estimate else {}
        self.is_estimated = all(name in known for name in costs)
        self.training = Stage({n: known[n].training if self.is_estimated else float(c.flops) for n, c in costs.items()})
        self.scoring = Stage({name: known[name].scoring if self.is_estimated else 1.0 for name in costs})
        self.shared = estimate.shared if estimate and self.is_estimated else 0.0  # in the scoring of the first run
        self.at_once = 1  # runs under way at the same time
        self.images = dict.fromkeys(costs, 0)
        self.resumed: dict[str, tuple[float, int]] = {}  # when the first images of a run were seen, and how many
        self.scored_since: dict[str, float] = {}
        self.scored_by: dict[str, str] = {}  # the metric under way
        self.ended: set[str] = set()
        self.finished = 0
        self.tasks: dict[str, TaskID] = {}
        self.last_printed = time.monotonic()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task("all runs", total=1.0, speed="")

    def __enter__(self) -> Display:
        self.bars.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.bars.stop()

    def on_event(self, event: dict[str, Any]) -> None:
        """Take in one event of an executor."""
        name, kind, now = event["id"], event["event"], time.monotonic()
        images = self.costs[name].images
        if kind == "started":
            self.tasks[name] = self.bars.add_task(name, total=images, speed="")
            self.at_once = max(self.at_once, len(self.tasks))
        elif kind == "training":
            self.resumed.setdefault(name, (now, event["images"]))  # a resumed run starts where it stood
            self.images[name] = event["images"]
            speed = f"{event['images'] / max(event['seconds'], 1e-9):,.0f} images/s"
            self.bars.update(self.tasks[name], completed=event["images"], speed=speed)
        elif kind == "scoring":
            self._begin_scoring(name, now)
            self.scored_by[name] = event["metric"]
            self.bars.update(self.tasks[name], completed=images, speed=f"scoring: {event['metric']}")
        else:
            self._end(name, kind, event.get("message", ""), now)
        speed = f"{self.finished} of {len(self.costs)} runs{self._left_in_words()}"
        self.bars.update(self.whole, completed=self.share(), speed=speed)
        self._print_status()

    def share(self) -> float:
        """How much of all is done, from 0 to 1; without an estimate, of training alone."""
        stages = (self.training, self.scoring) if self.is_estimated else (self.training,)
        total = sum(sum(stage.expected.values()) for stage in stages)
        undone = sum(stage.expected[name] * self._undone(name, stage) for stage in stages for name in self.costs)
        return 1 - undone / total if total else 1.0

    def seconds_left(self) -> float | None:
        """Seconds until all is scored, as far as is known; None without an estimate before the first images."""
        training_pace, scoring_pace = self._training_pace(), self.scoring.pace
        if self.is_estimated:
            training_pace, scoring_pace = training_pace or 1.0, scoring_pace or 1.0
        total = 0.0
        for stage, pace in ((self.training, training_pace), (self.scoring, scoring_pace)):
            undone = sum(stage.expected[name] * self._undone(name, stage) for name in self.costs)
            if undone and pace is None and (stage is self.training or self.is_estimated):
                return None
            total += undone * (pace or 0.0)
        total += self.shared * (scoring_pace or 0.0)
        waiting = len(self.costs) - len(self.ended)
        return total / max(1, min(self.at_once, waiting))

    def _training_pace(self) -> float | None:
        """The seconds of an expected one of training: of the runs that are trained, and of those under way."""
        spent, measured, now = self.training.spent, self.training.measured, time.monotonic()
        for name, (since, images) in self.resumed.items():
            if name not in self.scored_since and name not in self.ended and self.costs[name].images:
                spent += now - since
                measured += self.training.expected[name] * (self.images[name] - images) / self.costs[name].images
        return spent / measured if measured > 0 else None

    def _undone(self, name: str, stage: Stage) -> float:
        """The share of a stage of a run that is still to be done."""
        if name in self.ended:
            return 0.0
        if stage is self.training:
            of = self.costs[name].images
            return 0.0 if name in self.scored_since or not of else 1 - self.images[name] / of
        if name not in self.scored_since:
            return 1.0
        whole = stage.expected[name] * (stage.pace or 1.0)
        seconds = time.monotonic() - self.scored_since[name]
        return 1 - min(ALMOST, seconds / whole if whole else ALMOST)

    def _begin_scoring(self, name: str, now: float) -> None:
        if name in self.scored_since:
            return
        if name in self.resumed:
            since, images = self.resumed[name]
            done = (self.costs[name].images - images) / max(1, self.costs[name].images)
            self.training.note(self.training.expected[name] * done, now - since)
        self.images[name], self.scored_since[name] = self.costs[name].images, now

    def _end(self, name: str, kind: str, message: str, now: float) -> None:
        if name in self.tasks:
            self.bars.remove_task(self.tasks.pop(name))
        if kind == "finished":
            self.finished += 1
            self.images[name] = self.costs[name].images
            if name in self.scored_since:
                expected = self.scoring.expected[name] + self.shared
                self.scoring.note(expected, now - self.scored_since[name])
                self.shared = 0.0
        self.ended.add(name)
        self.console.print(f"{name} {kind}{': ' + message if message else ''}", highlight=False, markup=False)

    def _status(self, name: str) -> str:
        """How far one run under way is."""
        if name in self.scored_by:
            return f"{name} scoring: {self.scored_by[name]}"
        return f"{name} {self.images[name]:,} of {self.costs[name].images:,} images"

    def _left_in_words(self) -> str:
        """The time left, and whether scoring is in it."""
        seconds = self.seconds_left()
        if seconds is None or len(self.ended) == len(self.costs):
            return ""
        if self.is_estimated or self.scoring.pace is not None:
            return f", about {duration(round(seconds))} left"
        return f", about {duration(round(seconds))} of training left, then scoring" if seconds else ""

    def _print_status(self) -> None:
        """Print a line now and then where there is no terminal."""
        now = time.monotonic()
        if self.console.is_terminal or now - self.last_printed < QUIET_SECONDS:
            return
        self.last_printed = now
        under_way = ", ".join(self._status(name) for name in self.tasks) or "between runs"
        lead = f"{100 * self.share():.0f} %{self._left_in_words()}"
        self.console.print(f"{lead}: {under_way}", highlight=False, markup=False)


@contextmanager
def stop_on_signals(console: Console) -> Iterator[list[int]]:
    """Turn the first SIGINT or SIGTERM into an entry of the list; the second one has its usual effect."""
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def catch(number: int, frame: FrameType | None) -> None:
        caught.append(number)
        signal.signal(number, before[signal.Signals(number)])
        console.print("stopping after this step, with a checkpoint ...")

    for number in before:
        signal.signal(number, catch)
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
