"""What a person sees while a study runs: what it does, images per second, and the time left."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from triptych.training.cost import Cost

QUIET_SECONDS = 20.0
"""How often a line is printed where there is no terminal to redraw."""


class Display:
    """A live display of a study: one bar for all of it, in FLOPs, and one for each run under way, in images.

    `costs` are those of `triptych.training.cost.costs`, by run id.
    """

    def __init__(self, console: Console, costs: dict[str, Cost]) -> None:
        self.console, self.costs = console, costs
        self.done: dict[str, int] = dict.fromkeys(costs, 0)
        self.skipped = 0  # FLOPs that were done before this display began
        self.finished = 0
        self.tasks: dict[str, TaskID] = {}
        self.scored_by: dict[str, str] = {}  # the metric under way
        self.began = self.last_printed = time.monotonic()
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task("all runs", total=self.total, speed="")

    @property
    def total(self) -> int:
        return sum(cost.flops for cost in self.costs.values())

    def __enter__(self) -> Display:
        self.bars.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.bars.stop()

    def on_event(self, event: dict[str, Any]) -> None:
        """Take in one event of an executor."""
        name, kind = event["id"], event["event"]
        images = self.costs[name].images
        if kind == "started":
            self.tasks[name] = self.bars.add_task(name, total=images, speed="")
        elif kind == "training":
            if not self.done[name]:  # a resumed run starts where it stood
                self.skipped += self.costs[name].flops_per_image * event["images"]
            self.done[name] = event["images"]
            speed = f"{event['images'] / max(event['seconds'], 1e-9):,.0f} images/s"
            self.bars.update(self.tasks[name], completed=event["images"], speed=speed)
        elif kind == "scoring":
            if not self.done[name]:  # trained before
                self.skipped += self.costs[name].flops
            self.done[name], self.scored_by[name] = images, event["metric"]
            self.bars.update(self.tasks[name], completed=images, speed=f"scoring: {event['metric']}")
        else:
            self._end(name, kind, event.get("message", ""))
        self.bars.update(self.whole, completed=self._flops(), speed=f"{self.finished} of {len(self.costs)} runs")
        self._print_status()

    def _end(self, name: str, kind: str, message: str) -> None:
        if name in self.tasks:
            self.bars.remove_task(self.tasks.pop(name))
        elif kind == "finished":
            self.skipped += self.costs[name].flops
        if kind == "finished":
            self.finished += 1
            self.done[name] = self.costs[name].images
        self.console.print(f"{name} {kind}{': ' + message if message else ''}", highlight=False, markup=False)

    def _flops(self) -> int:
        return sum(self.costs[name].flops_per_image * images for name, images in self.done.items())

    def _status(self, name: str) -> str:
        """How far one run under way is."""
        done, images = self.done[name], self.costs[name].images
        return (
            f"{name} scoring: {self.scored_by.get(name, '')}"
            if done == images
            else f"{name} {done:,} of {images:,} images"
        )

    def _print_status(self) -> None:
        """Print a line now and then where there is no terminal."""
        now = time.monotonic()
        if self.console.is_terminal or now - self.last_printed < QUIET_SECONDS:
            return
        self.last_printed, done = now, self._flops()
        worked = done - self.skipped
        # FLOPs are those of training: what scoring takes, they do not tell.
        minutes = (now - self.began) * (self.total - done) / worked / 60 if worked > 0 else None
        left = "" if minutes is None else f", about {minutes:.1f} min of training left"
        under_way = ", ".join(self._status(name) for name in self.tasks) or "between runs"
        share = 100 * done / max(self.total, 1)
        lead = f"{share:.0f} %{left}" if done < self.total else "all trained"
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
