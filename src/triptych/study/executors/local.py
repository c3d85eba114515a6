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
from collections.abc import Iterator
from pathlib import Path

from triptych.study import worker as worker_module
from triptych.study.executors import ENDS, Event, Job, OnEvent, ShouldStop
from triptych.study.worker import STOP, STOPPED

Worker = subprocess.Popen[str]
Events = queue.Queue[tuple[Worker, Event]]
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(512 * 2**20),
    "MALLOC_TOP_PAD_": str(64 * 2**20),
}
"""For the C library's allocator (glibc); other ones ignore it. It keeps the memory of a batch for the next one, instead
of giving it back and asking the system for zeroed pages again, which took a fifth of the time of scoring."""
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy and SciPy would take all cores, whatever number of threads a run was given; then the threads of workers wait
for each other, and a linear probe takes three times as long. PyTorch's threads are not meant."""
EXITED = "exited"
"""The last event of every worker, whatever it was doing: it is made here, not by the worker."""


class LocalExecutor:
    """Runs in processes of this machine."""

    on_this_machine = True

    def __init__(self) -> None:
        self._ready: _WorkerPool | None = None

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Start a worker ahead of its first job, for importing PyTorch takes seconds; it ends with the block."""
        self._ready = _WorkerPool()
        self._ready.start()
        try:
            yield
        finally:
            if self._ready is not None:
                self._ready.end()
                self._ready = None

    def execute(
        self, jobs: list[Job], workers: int, on_event: OnEvent, should_stop: ShouldStop = lambda: False
    ) -> dict[str, str]:
        waiting, results = list(jobs), {job["id"]: "stopped" for job in jobs}
        pool, asked = self._ready or _WorkerPool(), False
        self._ready = None
        try:
            while pool.busy or (waiting and not asked):
                while waiting and len(pool.busy) < workers and not asked:
                    job = waiting.pop(0)
                    pool.assign(job)
                    on_event({"id": job["id"], "event": "started"})
                if not asked and should_stop():
                    asked = True
                    pool.ask_to_stop()
                event = pool.next_event(0.1)
                if event is None:
                    continue
                if event["event"] in ENDS:
                    results[event["id"]] = event["event"]
                on_event(event)
        finally:  # whatever goes wrong here, no worker is left behind
            pool.end()
        return results


EXECUTOR = LocalExecutor()


class _WorkerPool:
    """The workers that are alive, each with the id of its job, and those that are free for another one."""

    def __init__(self) -> None:
        self.at: dict[Worker, str | None] = {}
        self.free: list[Worker] = []
        self.events: Events = queue.Queue()

    @property
    def busy(self) -> list[Worker]:
        return [worker for worker, job in self.at.items() if job is not None]

    def assign(self, job: Job) -> None:
        """Assign a job to a free worker, or to a new one."""
        self.free = [worker for worker in self.free if worker.poll() is None]
        if not self.free:
            self.start()
        worker = self.free.pop()
        self.at[worker] = job["id"]
        _send(worker, json.dumps(job) + "\n")

    def start(self) -> None:
        """Start a worker, which is free."""
        worker = _start(self.events)
        self.at[worker] = None
        self.free.append(worker)

    def ask_to_stop(self) -> None:
        for worker in self.busy:
            _send(worker, STOP)

    def next_event(self, seconds: float) -> Event | None:
        """The next event of a job, if there is one within so many seconds."""
        try:
            worker, event = self.events.get(timeout=seconds)
        except queue.Empty:
            return None
        job = self.at[worker]
        if event["event"] == EXITED:
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
            if event["event"] == EXITED:
                _close(worker)
                del self.at[worker]


def _close(worker: Worker) -> None:
    """Close a worker's pipes and wait for it."""
    with contextlib.suppress(BrokenPipeError), worker:
        pass


def _start(events: Events) -> Worker:
    """Start a worker that can import what this process can, for "package.module:Name" may come from anywhere.

    The folders of `sys.path` come after the standard library and the installed packages there, so that a `random.py`
    in the folder where the command is given replaces nothing.
    """
    paths = [os.path.abspath(path) for path in sys.path]
    worker = subprocess.Popen(
        [sys.executable, "-P", str(Path(worker_module.__file__).resolve()), *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=_environment(),
    )
    threading.Thread(target=_follow, args=(worker, events), daemon=True).start()
    return worker


def _environment() -> dict[str, str]:
    """This process's environment, over the settings above; an empty entry of PYTHONPATH, which means the working
    directory, is left out.
    """
    environment = {**ALLOCATOR, **ONE_THREAD, **os.environ}
    if given := environment.pop("PYTHONPATH", None):
        environment["PYTHONPATH"] = os.pathsep.join(path for path in given.split(os.pathsep) if path)
    return environment


def _follow(worker: Worker, events: Events) -> None:
    """Pass on the events of a worker, and that it has exited. A line that is no event may explain why it ends."""
    assert worker.stdout is not None and worker.stderr is not None
    complaints: deque[str] = deque(maxlen=3)
    reader = threading.Thread(target=lambda: complaints.extend(worker.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()
    for line in worker.stdout:
        if (event := _event(line)) is None:
            complaints.append(line)
        else:
            events.put((worker, event))
    code = worker.wait()
    reader.join()
    events.put((worker, {"event": EXITED, "code": code, "message": "".join(complaints).strip()}))


def _event(line: str) -> Event | None:
    """The event in a line of a worker's output; None for anything else, such as what a library prints at its start."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _end(exited: Event) -> Event:
    """What it means for a job that its worker has exited."""
    code, message = exited["code"], exited["message"]
    if code in (STOPPED, -signal.SIGINT, -signal.SIGTERM):  # the signals: before it could listen for them
        return {"event": "stopped"}
    if code < 0:
        message = f"killed by signal {-code} (out of memory, perhaps)"
    return {"event": "failed", "message": message or f"its process ended with code {code}"}


def _send(worker: Worker, line: str) -> None:
    assert worker.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has exited, which its last event reports
        worker.stdin.write(line)
        worker.stdin.flush()
