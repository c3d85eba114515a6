"""Measure how fast Triptych is, and write the page about it.

    python -m benchmarks speed --preset quick,small --json speed.json
    python -m benchmarks jobs --json jobs.json
    python -m benchmarks page speed.json jobs.json --out docs/results/speed.md

Run it from the top of the repository. `benchmarks/README.md` says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import jobs, machine, page
from triptych import store
from triptych.errors import InputError
from triptych.plugins import suggest
from triptych.study.presets import PRESETS


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 (got {text!r})")
    return int(text)


def parser() -> argparse.ArgumentParser:
    from benchmarks.forms import OTHERS, OURS

    top = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = top.add_subparsers(required=True)

    speed = commands.add_parser("speed", help="a training step, next to the forms that others use")
    speed.set_defaults(run=run_speed)
    speed.add_argument("--preset", type=_names, default=["quick", "small"], help=f"of {', '.join(PRESETS)}")
    speed.add_argument("--precision", type=_names, default=["float32"], help=f"of our step: of {', '.join(OURS)}")
    speed.add_argument("--forms", type=_names, default=list(OTHERS), help=f"of others: of {', '.join(OTHERS)}")
    speed.add_argument("--rounds", type=_positive, default=9)
    speed.add_argument("--batch", type=_positive, default=64, help="images per step")
    speed.add_argument("--threads", type=_positive, default=1)
    speed.add_argument(
        "--processes",
        choices=["one", "each", "both"],
        default="both",
        help="all forms in one process, each in one of its own, or first the one and then the other",
    )
    speed.add_argument("--json", type=Path, help="write the figures here")

    whole = commands.add_parser("jobs", help="whole commands: start, compare, score, report")
    whole.set_defaults(run=run_jobs)
    whole.add_argument("--preset", choices=list(PRESETS), default="quick")
    whole.add_argument("--images", type=_positive, default=1280, help="images that each run trains on")
    whole.add_argument("--seeds", type=_positive, default=2)
    whole.add_argument("--rounds", type=_positive, default=3, help="of each short command; jobs are run once")
    whole.add_argument("--metrics", type=_names, default=list(jobs.METRICS), help="whose scoring is timed")
    whole.add_argument("--json", type=Path, help="write the figures here")

    text = commands.add_parser("page", help="the page and the figure about measured files")
    text.set_defaults(run=run_page)
    text.add_argument("files", type=Path, nargs="+", help="what speed and jobs have written")
    text.add_argument("--out", type=Path, required=True, help="the page, FILE.md; its figure is FILE.svg")
    return top


def run_speed(given: argparse.Namespace) -> None:
    import torch

    from benchmarks.forms import chosen
    from benchmarks.speed import PROCESSES, measure, spec_of

    for name in given.preset:
        if name not in PRESETS:
            raise InputError("unknown preset", where="--preset", value=name, hint=suggest(name, PRESETS))
    if given.batch < 2:
        raise InputError("BatchNorm needs at least two images", where="--batch", value=given.batch)
    forms = chosen(given.precision, given.forms)
    processes = PROCESSES if given.processes == "both" else (given.processes,)
    torch.set_num_threads(given.threads)

    def measured() -> dict[str, Any]:
        found = {}
        for name in given.preset:
            _say(f"preset {name}")
            found[name] = measure(spec_of(name, given.batch), forms, given.rounds, processes, _say)
            _say("\n".join(page.tables(found[name])))
        return {"presets": found}

    _record("speed", given, measured)


def run_jobs(given: argparse.Namespace) -> None:
    _record(
        "jobs",
        given,
        lambda: jobs.measure(given.preset, given.images, given.seeds, given.rounds, given.metrics, _say),
    )


def run_page(given: argparse.Namespace) -> None:
    page.write([page.read(file) for file in given.files], given.out)
    _say(f"{given.out}, {given.out.with_suffix('.svg')}")


def _record(kind: str, given: argparse.Namespace, work: Callable[[], dict[str, Any]]) -> None:
    """Do the work and write what it found, with where and when, how busy the machine was, and the command."""
    if given.json is not None and not given.json.parent.is_dir():
        raise InputError("no such folder", where="--json", value=str(given.json.parent), hint="Make it first.")
    before, start = machine.load(), time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    found = work()
    record = {
        "kind": kind,
        "command": shlex.join(["python", "-m", "benchmarks", *given.arguments]),
        "date": start,
        "machine": machine.facts(),
        "load": {"before": before, "after": machine.load()},
        **found,
    }
    if given.json is not None:
        store.write(given.json, store.to_json(record))
        _say(str(given.json))


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str]) -> int:
    given = parser().parse_args(arguments)
    given.arguments = list(arguments)
    try:
        given.run(given)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
