"""Executors: where the runs of a study are computed. `local` is a few processes on this machine.

An executor is one file that defines EXECUTOR, or a "package.module:Name", see `execution.executor` of a study.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

from triptych import plugins

Job = dict[str, Any]
"""What a worker needs for one run, as JSON: "id", "folder", "spec", "data" and "fitted" (the folders of the prepared
data and of the feature extractors), "weights" (the folder of the trained run whose weights this one scores, or None),
"scoring", "device", "threads" (None: as many as the machine that computes it has cores), "workers",
"checkpoint_seconds"; and "only", a list of metrics, when a trained run is scored again. `triptych.study.worker` does
it."""
Event = dict[str, Any]
"""What happens to a run: "id" and "event", which is "started"; "training" with "images" and "seconds"; "scoring" with
"metric"; or at the end one of `ENDS`, "failed" with "message"."""
ENDS = ("finished", "stopped", "failed")
OnEvent = Callable[[Event], None]
ShouldStop = Callable[[], bool]


def ahead(name: str) -> AbstractContextManager[object]:
    """A block in which the executor of this name can make ready for jobs, if it has a method `ready()` for that."""
    ready = getattr(plugins.find("executors", name, where="execution.executor"), "ready", None)
    return ready() if inspect.ismethod(ready) else nullcontext()


@runtime_checkable
class Executor(Protocol):
    """Computes jobs somewhere, and returns when all have ended.

    It may have a method `ready()`, too: a context manager in which it makes ready for jobs (`ahead`).
    """

    on_this_machine: bool
    """Whether jobs run here, so that a device that is missing here is missing for them."""

    def execute(self, jobs: list[Job], workers: int, on_event: OnEvent, should_stop: ShouldStop) -> dict[str, str]:
        """Compute every job, `workers` at a time, in the order given; returns one of `ENDS` by the job's id.

        `should_stop` is asked every now and then; once it says True, the jobs under way are stopped, with what they
        have done kept, and no further one is started. A job never started is "stopped".
        """
        ...
