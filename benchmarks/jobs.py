"""Time whole commands, each in a process of its own: the start, a comparison, scoring by metric, the report.

Wall time is by the clock; processor time is what the command and all its descendants used, user and system together.
On a machine that others use too, only the second says much. Everything is written to a temporary folder.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from triptych import store
from triptych.directory import StudyDirectory
from triptych.evaluation import metrics as known_metrics
from triptych.spec import to_toml
from triptych.study.presets import comparison

TRIPTYCH = [sys.executable, "-m", "triptych.cli"]
METRICS = ("frechet", "prdc", "kid", "ssim", "inversion")
"""Whose scoring is timed unless others are named: cheap and dear ones."""
SHORT = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import triptych'": [sys.executable, "-c", "import triptych"],
    "triptych --help": [*TRIPTYCH, "--help"],
}
FIRST_STEP_SECONDS = 600
"""After this long without a training step, something is wrong."""

Row = dict[str, Any]
Say = Callable[[str], None]


def measure(preset: str, images: int, seeds: int, rounds: int, metrics: Sequence[str], say: Say) -> dict[str, Any]:
    """Time the short commands and the first training step so many rounds, the whole jobs once; returns JSON values."""
    known_metrics.load(metrics)  # a typo is found before anything is timed
    rows: list[Row] = []

    def note(row: Row) -> None:
        rows.append(row)
        wall, processor = row["seconds"], row["processor_seconds"]
        say(f"{row['job']}: {wall:.2f} s" + ("" if processor is None else f", {processor:.2f} s of the processor"))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in short(rounds, folder):
            note(row)
        note(_first_step(preset, rounds, folder))
        base = ["compare", "mnist", "--preset", preset, "--images", images, "--seeds", seeds, "--threads", 1]
        base += ["--metrics", "frechet,pixel_error"]
        for workers in (1, 2):
            out = folder / f"workers-{workers}"
            note(
                triptych_command(
                    f"compare, {workers} worker{'s' * (workers > 1)}", folder, *base, "--workers", workers, out=out
                )
            )
        note(triptych_command("report", folder, "report", folder / "workers-1"))
        for row in _scoring(preset, images, metrics, folder):
            note(row)
    one, two = (next(row for row in rows if row["job"].startswith(f"compare, {n}")) for n in (1, 2))
    return {
        "preset": preset,
        "images": images,
        "runs": 3 * seeds,
        "jobs": rows,
        "two_workers": {key: two[key] / one[key] for key in ("seconds", "processor_seconds")},
    }


def short(rounds: int, folder: Path) -> list[Row]:
    """The short commands in turns; medians."""
    found: dict[str, list[Row]] = {name: [] for name in SHORT}
    for _ in range(rounds):
        for name, command in SHORT.items():
            found[name].append(_timed(name, command, folder))
    return [
        {"job": name, "times": rounds}
        | {key: median(row[key] for row in rows) for key in ("seconds", "processor_seconds")}
        for name, rows in found.items()
    ]


def _scoring(preset: str, images: int, metrics: Sequence[str], folder: Path) -> list[Row]:
    """`triptych score` of a study of one run, by metric; first without a new one, which is what they all share."""
    study = folder / "one"
    train = ["train", "vaegan", "mnist", "--preset", preset, "--images", images, "--threads", 1]
    rows = [
        triptych_command(
            "train one VAE-GAN, scored by pixel_error", folder, *train, "--metrics", "pixel_error", out=study
        )
    ]
    for name in ("pixel_error", *metrics):
        job = f"score by {name}" if name != "pixel_error" else "score, nothing new"
        rows.append(triptych_command(job, folder, "score", study, "--metrics", name))
    return rows


def triptych_command(job: str, folder: Path, *arguments: object, out: Path | None = None) -> Row:
    command = [*TRIPTYCH, *map(str, arguments), *(["--out", str(out)] if out else [])]
    return {**_timed(job, command, folder), "times": 1}


def _timed(job: str, command: Sequence[str], folder: Path) -> Row:
    """Run a command to its end; RuntimeError with its last words if it fails."""
    before, start = _processor_seconds(), time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=_environment(), capture_output=True, text=True)
    seconds, processor_seconds = time.perf_counter() - start, _processor_seconds() - before
    if done.returncode:
        raise RuntimeError(f"{job} failed with exit code {done.returncode}:\n{(done.stderr or done.stdout)[-2000:]}")
    return {"job": job, "seconds": seconds, "processor_seconds": processor_seconds}


def _processor_seconds() -> float:
    """Of all processes that this one has started and waited for, with their descendants."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "TERM": "dumb"}


def _first_step(preset: str, rounds: int, folder: Path) -> Row:
    """From the start of the command to the first line of a run's log, which here comes after one step."""
    spec = comparison("mnist", ["vaegan"], 1, preset, threads=1, workers=1)
    every_step = spec.training.model_copy(update={"log_images": spec.training.batch_size})
    file = folder / "first.toml"
    store.write(file, to_toml(spec.model_copy(update={"training": every_step})).encode())
    seconds = [_until_first_step(file, folder / f"first-{number}") for number in range(rounds)]
    return {
        "job": "triptych run, until the first training step",
        "times": rounds,
        "seconds": median(seconds),
        "processor_seconds": None,  # it is stopped in the middle
    }


def _until_first_step(file: Path, out: Path) -> float:
    start = time.perf_counter()
    command = [*TRIPTYCH, "run", str(file), "--out", str(out)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, cwd=file.parent, env=_environment(), stdout=said, stderr=said)
        try:
            while not any(_has_line(run.timing_jsonl) for run in StudyDirectory(out).run_directories()):
                if process.poll() is not None or time.perf_counter() - start > FIRST_STEP_SECONDS:
                    said.seek(0)
                    raise RuntimeError(f"no training step was made:\n{said.read().decode(errors='replace')[-2000:]}")
                time.sleep(0.005)
            return time.perf_counter() - start
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _has_line(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
