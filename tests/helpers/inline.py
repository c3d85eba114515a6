"""An executor in this very process, for tests of what happens around runs: it saves the seconds of starting workers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from triptych.study import worker
from triptych.study.executors import Job, OnEvent, ShouldStop


class Inline:
    """Does one job after the other, and asks whether to stop before each."""

    on_this_machine = True

    def execute(self, jobs: list[Job], workers: int, on_event: OnEvent, should_stop: ShouldStop) -> dict[str, str]:
        ends: dict[str, str] = {}
        for job in jobs:
            ends[job["id"]] = "stopped" if should_stop() else self._done(job, on_event)
        return ends

    def _done(self, job: Job, on_event: OnEvent) -> str:
        def heard(event: str, **values: Any) -> None:
            on_event({"id": job["id"], "event": event, **values})

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(worker, "emit", heard)
            heard("started")
            assert worker.compute(job, Path(job["folder"]), threading.Event())
            heard("finished")
        return "finished"


EXECUTOR = Inline()
