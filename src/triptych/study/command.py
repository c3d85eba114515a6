"""`triptych compare`, `run` and `extend`: a study from its specification to its verdicts, at the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from triptych.spec import StudySpec
from triptych.study import executors
from triptych.terminal import running, tables


def execute(console: Console, spec: StudySpec, out: Path, until: int | None = None) -> int:
    """Run a study in the folder `out`, say what came of it, and return the exit code."""
    try:
        with executors.ahead(spec.execution.executor):  # it imports PyTorch while this process does, too
            from triptych.study.defaults import replaced_by_defaults
            from triptych.study.runner import run_study, runs_of

            notes = replaced_by_defaults(spec, runs_of(spec))
            outcome = run_study(spec, out, running.Terminal(console, notes=notes), until)
    except KeyboardInterrupt:  # before or after the runs: what is cut short is done again
        return running.stopped(console, out)
    if outcome.verdicts is None:
        return running.stopped(console, out)
    tables.verdicts(console, outcome.verdicts)
    return running.end(console, outcome)
