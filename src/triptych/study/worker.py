"""Runs of a study in a process of their own, one after another: train it, score it, commit it; or only score it again.

A job comes as one line of JSON on standard input, events go out as lines of JSON on standard output; the last one of a
job says how it ended, and then the next may come, which saves the seconds that importing PyTorch takes. The line "stop"
asks the worker to stop at the next step with a checkpoint, or at the next metric, and to take no further job. The end
of standard input means that the parent is dead, and the worker dies at once, which a run directory survives by design.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from triptych.directory import RunDirectory
    from triptych.spec import RunSpec

IMPORTS = ("triptych.training.loop", "torch._dynamo", "torch.fx.experimental.symbolic_shapes")
"""What the first step needs, imported before the first job comes. PyTorch itself imports its compiler with the first
update and its symbolic shapes with the first backward pass, a second for both."""
STOPPED = 75
STOP = "stop\n"

_events: TextIO = sys.stdout


class Stopped(Exception):
    """A stop was asked for between two metrics."""


def extend_path(paths: list[str]) -> None:
    """Let further folders be searched for modules, after the standard library and the installed packages.

    This very package stays the one that is imported, wherever another version of it may be installed.
    """
    sys.path += [path for path in paths if path not in sys.path]
    package = Path(__file__).resolve().parents[1]
    spec = importlib.util.spec_from_file_location(package.name, package / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[package.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main() -> int:
    global _events
    extend_path(sys.argv[1:])
    # Events have the output to themselves: what a plug-in prints goes to the errors and is not read as one.
    _events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())  # so may SIGTERM, which asks to stop
    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, stop), daemon=True).start()
    import_ahead()
    while not stop.is_set():
        _attempt(jobs.get(), stop)
    return STOPPED


def import_ahead() -> None:
    """Import `IMPORTS`; what fails here, the first job reports."""
    for name in IMPORTS:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _attempt(job: dict[str, Any], stop: threading.Event) -> None:
    """Do a job, and say how it ended."""
    folder = Path(job["folder"])
    try:
        emit("finished" if compute(job, folder, stop) else "stopped")
    except Exception as error:
        _note(folder, traceback.format_exc())
        emit("failed", message=f"{type(error).__name__}: {error}")


def _note(folder: Path, text: str) -> None:
    """Leave the text in the run's error.txt, unless a symbolic link would lead that out of the study's directory."""
    from triptych import store
    from triptych.directory import RunDirectory

    if not (folder.is_symlink() or folder.parent.is_symlink()):
        store.write(RunDirectory(folder).error_txt, text.encode())


def compute(job: dict[str, Any], folder: Path, stop: threading.Event) -> bool:
    """Bring one run to its end; False when it was asked to stop before.

    `folder` is runs/<id> of a study's directory. Raises InputError if either of the two is a symbolic link, or anything
    in the run's.
    """
    import torch

    from triptych import store
    from triptych.data import dataset
    from triptych.directory import RunDirectory
    from triptych.spec import RunSpec, ScoringSpec
    from triptych.training.environment import available_cores, choose_device, environment, make_exact
    from triptych.training.loop import train

    files = RunDirectory(folder)
    device = choose_device(job["device"])  # "auto" is what this machine has, not the one that sent the job
    torch.set_num_threads(job["threads"] or available_cores())
    torch.manual_seed(0)  # nothing here uses the global generator; a plug-in that does must not see the run before
    store.refuse_link(folder.parent, folder)
    store.refuse_links(folder)
    with store.locked(folder, wait=True):  # a worker whose parent has just been killed may still hold it
        if files.is_complete():
            return True
        store.remove_partials(folder)
        files.error_txt.unlink(missing_ok=True)
        spec = RunSpec.model_validate(job["spec"])
        data = dataset.redrawn(prepared := dataset.open(Path(job["data"]), device), spec.seeds.get("split"))
        if not files.environment_json.exists():
            shared = {**environment(device), "workers": job["workers"]}
            store.write(files.environment_json, store.to_json(shared))
        adopt(files, spec, job.get("weights"))
        finished = train(
            folder,
            spec,
            data,
            checkpoint_seconds=job["checkpoint_seconds"],
            progress=_throttled(),
            should_stop=stop.is_set,
        )
        if not finished:
            return False

        def watch(metric: str) -> None:
            if stop.is_set():
                raise Stopped
            emit("scoring", metric=metric)

        from triptych.evaluation.scoring import Run, score_run  # not before the first step, which would wait for it

        scoring = ScoringSpec.model_validate(job["scoring"])
        only = job.get("only") if files.scores_jsonl.exists() else None
        make_exact(device)  # training has done so, unless it was done in a process before
        try:
            score_run(Run(folder, device), data, scoring, Path(job["fitted"]), only, watch, prepared)
        except Stopped:
            return False
        store.drop_checkpoints(folder)
        files.commit()
        return True


def adopt(files: RunDirectory, spec: RunSpec, folder: str | None) -> None:
    """Copy weights, logs and outcome from the folder of a trained run into the directory of one that only scores them;
    the outcome, which says that training is over, comes last. Without a folder, do nothing.

    Raises InputError if that run is not trained.
    """
    from triptych import store
    from triptych.directory import RunDirectory
    from triptych.errors import InputError

    if folder is None or files.outcome_json.exists():
        return
    trained = RunDirectory(folder)
    if not trained.outcome_json.exists():
        raise InputError(
            f"scores the weights of the run {trained.id}, which is not trained",
            where=str(files.path),
            hint="Run the study again when that run is complete.",
        )
    weights = [path for kept in (trained.weights, trained.snapshots) for path in sorted(kept.rglob("*.safetensors"))]
    store.write(files.spec_json, store.to_json(spec.model_dump(mode="json")))
    for path in (*weights, *trained.logs, trained.outcome_json):
        store.write(files.path / path.relative_to(trained.path), path.read_bytes())


def emit(event: str, **values: Any) -> None:
    """Write one event to the parent process."""
    print(json.dumps({"event": event, **values}), file=_events, flush=True)


def _throttled(seconds: float = 0.2) -> Any:
    """A progress callback that emits at most that often."""
    last = 0.0

    def progress(images: int, trained: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= seconds:
            last = now
            emit("training", images=images, seconds=trained)

    return progress


def _listen(jobs: queue.SimpleQueue[dict[str, Any]], stop: threading.Event) -> None:
    for line in sys.stdin:
        if line == STOP:
            stop.set()
        else:
            jobs.put(json.loads(line))
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
