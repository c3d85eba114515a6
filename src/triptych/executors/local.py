"""Runs in processes of this machine, a few at a time; one that dies takes none of the others with it."""

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

from triptych.worker import STOPPED

Job = dict[str, Any]
Event = dict[str, Any]
ENDS = ("finished", "stopped", "failed")


def execute(
    jobs: list[Job],
    workers: int,
    on_event: Callable[[Event], None],
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, str]:
    """Compute every job (`triptych.worker` says what one holds), `workers` at a time, in the order given.

    `on_event` is told {"id", "event", ...}: "started", "training" with "images", "scoring", "finished", "stopped",
    "failed" with "message". Returns the last of these by id; a job never started, since a stop was asked for, is
    "stopped".
    """
    waiting, running = list(jobs), dict[str, subprocess.Popen]()
    events: queue.Queue[Event] = queue.Queue()
    results = {job["id"]: "stopped" for job in jobs}
    asked = False
    try:
        while running or (waiting and not asked):
            while waiting and len(running) < workers and not asked:
                job = waiting.pop(0)
                running[job["id"]] = _start(job, events)
                on_event({"id": job["id"], "event": "started"})
            if not asked and should_stop():
                asked = True
                for process in running.values():
                    _ask_to_stop(process)
            try:
                event = events.get(timeout=0.1)
            except queue.Empty:
                continue
            if event["event"] in ENDS:
                _close(running.pop(event["id"]))
                results[event["id"]] = event["event"]
            on_event(event)
    finally:  # whatever goes wrong here, no worker is left behind
        for process in running.values():
            process.kill()
        while running:
            event = events.get()
            if event["event"] in ENDS:
                _close(running.pop(event["id"]))
    return results


def _close(process: subprocess.Popen) -> None:
    """Close a worker's pipes and wait for it."""
    with contextlib.suppress(BrokenPipeError), process:
        pass


def _start(job: Job, events: queue.Queue[Event]) -> subprocess.Popen:
    # What this process can import, its workers must be able to: "package.module:Name" may come from anywhere.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "triptych.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    threading.Thread(target=_follow, args=(job["id"], process, events), daemon=True).start()
    return process


def _follow(name: str, process: subprocess.Popen, events: queue.Queue[Event]) -> None:
    """Pass on what a worker says, and at its end how it ended."""
    assert process.stdout is not None and process.stderr is not None
    complaints: deque[str] = deque(maxlen=3)
    reader = threading.Thread(target=lambda: complaints.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
    reader.start()
    message = ""
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "failed":
            message = event["message"]
        else:
            events.put({"id": name, **event})
    code = process.wait()
    reader.join()
    if code in (0, STOPPED, -signal.SIGINT, -signal.SIGTERM):  # the signals: before it could listen for them
        events.put({"id": name, "event": "finished" if code == 0 else "stopped"})
        return
    if code < 0:
        message = f"killed by signal {-code} (out of memory, perhaps)"
    events.put({"id": name, "event": "failed", "message": message or "".join(complaints).strip()})


def _ask_to_stop(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write("stop\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it has just ended by itself
