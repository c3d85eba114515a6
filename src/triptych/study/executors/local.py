"""Runs in processes of this machine, a few at a time; one that dies takes no other run with it.

A process does one run after another, for starting it takes longer than a small run. After a run that failed it is
ended, so that nothing of that one reaches the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from triptych.study.worker import STOP, STOPPED

Job = dict[str, Any]
Event = dict[str, Any]
Worker = subprocess.Popen[str]
Events = queue.Queue[tuple[Worker, Event]]
ENDS = ("finished", "stopped", "failed")
GONE = "gone"
"""The last event of every worker, whatever it was at: told here, not by it."""


def execute(
    jobs: list[Job],
    workers: int,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Compute every job (`triptych.study.worker` says what one holds), `workers` at a time, in the order given.

    `on_event` is told {"id", "event", ...}: "started", "training" with "images", "scoring", "finished", "stopped",
    "failed" with "message". Returns the last of these by id; a job never started, since a stop was asked for, is
    "stopped".
    """
    waiting, results = list(jobs), {job["id"]: "stopped" for job in jobs}
    crew, asked = _Crew(), False
    try:
        while crew.busy or (waiting and not asked):
            while waiting and len(crew.busy) < workers and not asked:
                job = waiting.pop(0)
                crew.give(job)
                on_event({"id": job["id"], "event": "started"})
            if not asked and should_stop():
                asked = True
                crew.ask_to_stop()
            event = crew.hear(0.1)
            if event is None:
                continue
            if event["event"] in ENDS:
                results[event["id"]] = event["event"]
            on_event(event)
    finally:  # whatever goes wrong here, no worker is left behind
        crew.end()
    return results


class _Crew:
    """The workers that live, each with the id of the job that it is at, and those that are free for another one."""

    def __init__(self) -> None:
        self.at: dict[Worker, str | None] = {}
        self.free: list[Worker] = []
        self.events: Events = queue.Queue()

    @property
    def busy(self) -> list[Worker]:
        return [worker for worker, job in self.at.items() if job is not None]

    def give(self, job: Job) -> None:
        """Give a job to a worker that is free, or to a new one."""
        worker = self.free.pop() if self.free else _start(self.events)
        self.at[worker] = job["id"]
        _tell(worker, json.dumps(job) + "\n")

    def ask_to_stop(self) -> None:
        for worker in self.busy:
            _tell(worker, STOP)

    def hear(self, seconds: float) -> Event | None:
        """The next event of a job, if there is one within so many seconds."""
        try:
            worker, event = self.events.get(timeout=seconds)
        except queue.Empty:
            return None
        job = self.at[worker]
        if event["event"] == GONE:
            _close(worker)
            del self.at[worker]
            self.free = [other for other in self.free if other is not worker]
            event = _end(event)
        elif event["event"] in ENDS:
            self.at[worker] = None
            if event["event"] == "finished":
                self.free.append(worker)
            else:
                worker.kill()
        return None if job is None else {"id": job, **event}

    def end(self) -> None:
        """End all workers: those that are free, and, if something has gone wrong, those that are at a job."""
        for worker in self.at:
            worker.kill()
        while self.at:
            worker, event = self.events.get()
            if event["event"] == GONE:
                _close(worker)
                del self.at[worker]


def _close(worker: Worker) -> None:
    """Close a worker's pipes and wait for it."""
    with contextlib.suppress(BrokenPipeError), worker:
        pass


def _start(events: Events) -> Worker:
    # What this process can import, its workers must be able to: "package.module:Name" may come from anywhere.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    worker = subprocess.Popen(
        [sys.executable, "-m", "triptych.study.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    threading.Thread(target=_follow, args=(worker, events), daemon=True).start()
    return worker


def _follow(worker: Worker, events: Events) -> None:
    """Pass on what a worker says, and that it is gone."""
    assert worker.stdout is not None and worker.stderr is not None
    complaints: deque[str] = deque(maxlen=3)
    reader = threading.Thread(target=lambda: complaints.extend(worker.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()
    for line in worker.stdout:
        events.put((worker, json.loads(line)))
    code = worker.wait()
    reader.join()
    events.put((worker, {"event": GONE, "code": code, "message": "".join(complaints).strip()}))


def _end(gone: Event) -> Event:
    """What it means for a job that its worker is gone."""
    code, message = gone["code"], gone["message"]
    if code in (STOPPED, -signal.SIGINT, -signal.SIGTERM):  # the signals: before it could listen for them
        return {"event": "stopped"}
    if code < 0:
        message = f"killed by signal {-code} (out of memory, perhaps)"
    return {"event": "failed", "message": message or f"its process ended with code {code}"}


def _tell(worker: Worker, line: str) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone, and that is told in its turn
        worker.stdin.write(line)
        worker.stdin.flush()
