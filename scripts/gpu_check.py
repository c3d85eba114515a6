"""The checks behind `scripts/gpu_check.sh`: what only a GPU can show, within a limit of time.

After every finished part, and every run of the last one, gpu.json and gpu.md are written again, so that a kill loses
nothing before it. A part that fails is recorded with its error and the next one goes on; the exit code is 1 then, or if
devices disagree. Without CUDA (`--device cpu`, with `--tiny` in half a minute) the script itself is tried: the GPU's
place is then taken by the CPU without oneDNN, which sums in another order.
"""

from __future__ import annotations

import argparse
import faulthandler
import shlex
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gpu_page
import torch
from gpu_tools import Steps, differences, matrix_product, median_seconds, runtime_calls, said, waiting_sites
from torch import Tensor

from triptych import comparison, load_images, load_study, train_run
from triptych.data.dataset import Dataset
from triptych.directory import RunDirectory
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.evaluation.scoring import score_run
from triptych.papers.vae_vs_gan_vs_vaegan.table1 import FRAMEWORKS, NOTEBOOK, PRINTED, TERMS
from triptych.plugins import names
from triptych.spec import RunSpec, ScoringSpec
from triptych.store import read_lines, to_json, write
from triptych.study.plan import runs_of
from triptych.training.cost import flops_per_image
from triptych.training.environment import choose_device, environment, make_exact
from triptych.training.loop import Training
from triptych.training.state import initial
from triptych.training.step import Diverged, Examples, batches_per_step, step

ROOT = Path(__file__).resolve().parents[1]
Result = dict[str, Any]

STEPS = 5
TOLERANCES = {"terms_first_step": 1e-3, "terms": 5e-2, "weights": 1e-1, "scores": 1e-2}
"""Largest relative differences between two devices. The terms of the first step have seen the same weights. Later ones
have not: Adam's first steps are the rate times the gradient's sign, and a gradient that is rounding alone (of a bias
before BatchNorm) has either sign. On one CPU, sums in another order alone came to 3e-5, 5e-3 and 2e-2.
"""
METRICS = ("frechet", "prdc", "pixel_error")
RATES = (0.0003, 0.00015, 0.0006)
"""The paper's three, that of its figures first."""
SEEDS = 20
"""More than there is ever time for."""
GRACE = 20.0
"""Seconds after the limit in which a part may end by itself, before it is interrupted."""


class TimeUp(BaseException):
    """No time is left; not an Exception, so that nothing on the way takes it for a failure."""


@dataclass
class Check:
    """One run of this script: what was asked for, and the report so far."""

    device: str
    tiny: bool
    deadline: float
    out: Path
    scratch: Path
    report: Result

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    def is_over(self) -> bool:
        return time.time() >= self.deadline

    def go_on(self) -> None:
        """Raise TimeUp when it is."""
        if self.is_over():
            raise TimeUp

    def write(self) -> None:
        write(self.out / "gpu.json", to_json(self.report))
        write(self.out / "gpu.md", gpu_page.page(self.report).encode())

    def specs(self, preset: str, frameworks: list[str]) -> list[RunSpec]:
        """A run of each framework at a preset's size, on MNIST, seed 0."""
        smaller = {"size": 16, "width": 0.0625} if self.tiny else {}
        return runs_of(comparison("mnist", frameworks, 1, preset, **smaller))

    def training(self, spec: RunSpec) -> Training:
        """A run about to start, in a folder of its own."""
        return Training(Path(tempfile.mkdtemp(dir=self.scratch)), spec, images(spec.data.size, self.device))


@cache
def images(size: int, device: str) -> Dataset:
    return load_images("mnist", size, device=device)


def machine(check: Check, result: Result) -> None:
    """What this is computed on, and with what."""
    result |= environment(check.device)
    if check.cuda:
        result["memory"] = torch.cuda.get_device_properties(check.device).total_memory
        result["driver"] = said(ROOT, "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        result |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}


def agreement(check: Check, result: Result) -> None:
    """A few steps of every framework, and the scores of one run, on the device and on the CPU."""
    result |= {"steps": STEPS, "tolerances": TOLERANCES, "against": "the CPU", "frameworks": {}, "passed": True}
    if not check.cuda:
        result["against"] = "the CPU (no CUDA: the other side is the CPU without oneDNN)"
    every = [f"{name}@vaegan" if name == "as_published" else name for name in names("frameworks")]
    for spec in check.specs("small", every):
        batches = images(spec.data.size, "cpu").train.images(torch.arange(STEPS * 64)).split(64)
        here = played(spec, batches, "cpu")
        with other(check):
            there = played(spec, batches, check.device)
        found: Result = differences(there, here)
        found["passed"] = all(value <= TOLERANCES[name] for name, value in found.items())
        result["frameworks"][spec.framework] = found
        result["passed"] &= found["passed"]
        check.go_on()
    result["scored_images"] = 640 if check.tiny else 6400
    result["scores"] = scored(check, result["scored_images"])
    result["passed"] &= all(row["passed"] for row in result["scores"])


def other(check: Check) -> AbstractContextManager[Any]:
    """What makes the arithmetic differ from the CPU's where there is no GPU to do so."""
    return nullcontext() if check.cuda else torch.backends.mkldnn.flags(enabled=False)


def played(spec: RunSpec, batches: tuple[Tensor, ...], device: str) -> Steps:
    """Steps from the start of a run, one for each batch; turns that would see a fresh one see the same."""
    state, steps = initial(spec, batches[0].shape[1], device), []
    for number, batch in enumerate(batches):
        examples = [Examples(batch.to(device))] * batches_per_step(state.framework)
        terms = step(state, spec, examples, number / len(batches)).terms
        parameters = {
            name: [p.detach().double().cpu().flatten() for p in n.parameters()] for name, n in state.nets.items()
        }
        steps.append((terms, {name: torch.cat(parts) for name, parts in parameters.items()}))
    return steps


def scored(check: Check, trained_on: int) -> list[Result]:
    """The scores of one run trained on the device, computed there and on the CPU."""
    (spec,) = check.specs("small", ["vaegan"])
    spec = spec.model_copy(update={"training": spec.training.model_copy(update={"images": trained_on})})
    scoring = ScoringSpec(images=100 if check.tiny else 2000, metrics=METRICS, features=("classifier",))
    folder = check.scratch / "scored"
    train_run(spec, images(spec.data.size, check.device), folder)

    def scores(device: str, fitted: str) -> dict[str, float | None]:
        score_run(Run(folder, device), images(spec.data.size, device), scoring, check.scratch / fitted)
        return {row["metric"]: row["value"] for row in read_lines(RunDirectory(folder).scores_jsonl)}

    here = scores("cpu", "fitted-here")
    with other(check):
        there = scores(check.device, "fitted-there")
    return [
        {"metric": name, "device": there[name], "cpu": value, "passed": is_near(there[name], value)}
        for name, value in here.items()
    ]


def is_near(found: float | None, wanted: float | None) -> bool:
    """Whether two scores agree; small ones are held to what is allowed for 0.1, a few images of two thousand."""
    if found is None or wanted is None:
        return found is wanted
    return abs(found - wanted) <= TOLERANCES["scores"] * max(abs(wanted), 0.1)


def step_time(check: Check, result: Result) -> None:
    """Seconds per step at the paper's size, and the rate of arithmetic next to that of one large matrix product."""
    side = 256 if check.tiny else 8192
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    products = {name: matrix_product(side, kind, check.device) for name, kind in kinds.items()}
    result |= {"side": side, "matrix_products": products, "frameworks": {}}
    for spec in check.specs("paper", ["vae", "gan", "vaegan"]):
        training = check.training(spec)
        seconds = median_seconds(training.play, check.device)
        low = spec.training.model_copy(update={"precision": "bf16"})
        low_seconds = median_seconds(check.training(spec.model_copy(update={"training": low})).play, check.device)
        tflops = training.step_images * flops_per_image(spec, 1) / seconds / 1e12
        result["frameworks"][spec.framework] = {
            "seconds": seconds,
            "iteration_seconds": median_seconds(training.advance, check.device),
            "tflops": tflops,
            "bf16_seconds": low_seconds,
            "bf16_gain": seconds / low_seconds,
            "share_of_float32": tflops / products["float32"]["tflops"],
            "peak_memory": torch.cuda.max_memory_allocated(check.device) if check.cuda else None,
        }
        check.go_on()


def waits(check: Check, result: Result) -> None:
    """How often an iteration makes the host wait for the GPU, and where."""
    result["frameworks"] = {}
    for spec in check.specs("paper", ["vae", "gan", "vaegan", "as_published@vaegan"]):
        training = check.training(spec)
        for _ in range(3):  # with the counted ones fewer than the ten after which there is a line of the log
            training.advance()
        sites = waiting_sites(training.advance, STEPS, ROOT)
        found: Result = {"waits": sites.total() / STEPS}
        found["sites"] = {site: count / STEPS for site, count in sites.most_common(8)}
        result["frameworks"][spec.framework] = found
        try:
            found["calls"] = runtime_calls(training.play, STEPS)
        except Exception as error:  # a profiler is not allowed everywhere, and the count above stands without it
            found["profiler"] = f"{type(error).__name__}: {error}"
        check.go_on()


def as_published(check: Check, result: Result) -> None:
    """The published VAE-GAN at its three rates, one seed after another, as far as the time goes."""
    result |= {"printed": [printed(rate) for rate in sorted(RATES)], "runs": []}
    for rate, spec in published_runs(check):
        check.go_on()
        row: Result = {"rate": rate, "seed": spec.seed, "iterations": 0, "of": spec.training.steps()}
        result["runs"].append(row)
        train_published(check, spec, row)
        check.write()


def printed(rate: float) -> Result:
    """A row of the paper's Table 1, and the notebook's number where that is another."""
    notebook = {name: NOTEBOOK[name, rate] for name in TERMS if (name, rate) in NOTEBOOK}
    return {"rate": rate, **{name: PRINTED[name][rate] for name in TERMS}, "notebook": notebook}


def published_runs(check: Check) -> Iterator[tuple[float, RunSpec]]:
    """Seed by seed, rate by rate."""
    study = load_study(ROOT / "studies" / "as_published.toml").model_copy(update={"seeds": tuple(range(SEEDS))})
    if check.tiny:
        changes = {"data": {"size": 16}, "network": {"width": 0.0625}, "training": {"images": 640}}
        parts = {part: getattr(study, part).model_copy(update=own) for part, own in changes.items()}
        study = study.model_copy(update={**parts, "seeds": (0,)})
    runs = {(run.framework, run.seed): run for run in runs_of(study)}
    for seed in study.seeds:
        for rate in RATES:
            yield rate, runs[FRAMEWORKS[rate], seed]


def train_published(check: Check, spec: RunSpec, row: Result) -> None:
    """Train one run, for as long as there is time, and put its losses into `row`."""
    training, start = check.training(spec), time.perf_counter()
    try:
        while training.state.step < training.steps:
            check.go_on()
            training.advance()
    except Diverged as reason:
        row["diverged"] = str(reason)
    finally:
        row |= {"iterations": training.state.step, "seconds": time.perf_counter() - start}
        terms = [line["terms"] for line in read_lines(RunDirectory(training.folder).log_jsonl)]
        for name, key in TERMS.items():
            tenth = [values[key.removeprefix("terms.")] for values in terms[-max(1, len(terms) // 10) :]]
            row[name] = {"last": tenth[-1], "tenth": statistics.fmean(tenth)} if tenth else None


PARTS: dict[str, Callable[[Check, Result], None]] = {
    "machine": machine,
    "agreement": agreement,
    "step_time": step_time,
    "waits": waits,
    "as_published": as_published,
}
NEED_CUDA = ("waits",)


def compute(check: Check, name: str) -> None:
    """One part, into the report; whatever happens, it has a status afterwards."""
    result, start = check.report["parts"][name], time.perf_counter()
    if check.is_over():
        return
    if name in NEED_CUDA and not check.cuda:
        result["status"] = "skipped: no CUDA"
        return
    print(f"{name} ...", flush=True)
    result["status"] = "running"
    try:
        check.write()
        PARTS[name](check, result)
        result["status"] = "done"
    except TimeUp:
        result["status"] = "out of time"
    except Exception as error:
        result |= {"status": "failed", "error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    result["seconds"] = time.perf_counter() - start
    print(f"{name}: {result['status']} after {result['seconds']:.1f} s", flush=True)


def keep_time(check: Check) -> None:
    """Have a part that does not look at the clock, or a process that is told to stop, end as others do."""

    def stop(number: int, frame: object) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)  # what follows is writing, which takes no time
        check.deadline = 0.0
        raise TimeUp

    caught = (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)
    for each in caught:
        signal.signal(each, stop)
    left = max(0.0, check.deadline - time.time()) + GRACE
    signal.setitimer(signal.ITIMER_REAL, left)
    faulthandler.dump_traceback_later(left + GRACE, exit=True)  # a call into the driver that never comes back


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check.sh", allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=10.0, help="stop cleanly after that many")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="where gpu.json and gpu.md go")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="16 pixels and few iterations, to try the script")
    parser.add_argument("--began", type=float, default=time.time(), help=argparse.SUPPRESS)
    return parser.parse_args()


def empty_report(asked: argparse.Namespace) -> Result:
    command = ["scripts/gpu_check.sh", "--minutes", f"{asked.minutes:g}", "--device", asked.device]
    return {
        "command": shlex.join(command + ["--tiny"] * asked.tiny),
        "commit": said(ROOT, "git", "-c", "safe.directory=*", "describe", "--always", "--dirty", "--abbrev=12"),
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(asked.began)),
        "parts": {name: {"status": "not reached"} for name in PARTS},
    }


def main() -> int:
    asked = arguments()
    try:
        device = choose_device(asked.device)
    except InputError as error:
        print(f"{error}\nWithout a GPU, --device cpu --tiny tries this script.", file=sys.stderr)
        return 2
    make_exact(device)
    with tempfile.TemporaryDirectory() as scratch:
        deadline = asked.began + 60 * asked.minutes
        check = Check(device, asked.tiny, deadline, asked.out, Path(scratch), empty_report(asked))
        keep_time(check)
        try:
            for name in PARTS:
                compute(check, name)
                check.write()
        except TimeUp:  # between two parts
            check.write()
    parts = check.report["parts"].values()
    return int(any(part["status"] == "failed" or part.get("passed") is False for part in parts))


if __name__ == "__main__":
    sys.exit(main())
