"""The training loop: one for all frameworks, in a run directory, resumable at any moment to the same bits."""

from __future__ import annotations

import dataclasses
import hashlib
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from triptych import store
from triptych.data.dataset import Dataset, batch_indices, epoch_order
from triptych.data.transforms import background, random_translate
from triptych.directory import RunDirectory
from triptych.errors import InputError
from triptych.rng import stream
from triptych.spec import RunSpec
from triptych.training import cost, grids
from triptych.training.environment import environment, make_exact
from triptych.training.model import Model
from triptych.training.precision import train_in
from triptych.training.state import content_of, digest, fingerprint, from_files, initial, is_finite, to_files, weights
from triptych.training.step import Diverged, Examples, StepValues, batches_per_step, step


@dataclass
class Interval:
    """Sums over the steps since the last line of the log."""

    steps: int = 0
    sums: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)

    def add(self, measured: StepValues) -> None:
        self.steps += 1
        for kind in ("terms", "losses", "gradient_norms"):
            sums = self.sums.setdefault(kind, {})
            for name, value in getattr(measured, kind).items():
                total, count = sums.get(name, (0.0, 0))  # a term of one phase is not in every step
                sums[name] = [total + value, count + 1]
        for player in measured.skipped:
            self.skipped[player] = self.skipped.get(player, 0) + 1

    def line(self, images: int, number: int) -> dict[str, Any]:
        means = {
            kind: {name: total / count for name, (total, count) in sums.items()} for kind, sums in self.sums.items()
        }
        return {"images": images, "step": number, **means, "skipped_updates": self.skipped}


class Training:
    """One run under way: its directory, its state, and what is measured along the way."""

    def __init__(self, folder: Path, spec: RunSpec, dataset: Dataset) -> None:
        device = str(dataset.train.device)
        make_exact(device)
        forget_peak(torch.device(device))
        self.folder, self.spec, self.dataset = folder, spec, dataset
        self.files = RunDirectory(folder)
        self.state = initial(spec, dataset.channels, device, dataset.classes)
        train_in(spec.training.precision, self.state.nets)
        self.batch, self.batches = spec.training.batch_size, batches_per_step(self.state.framework)
        self.step_images = self.batch * self.batches
        self.steps = spec.training.steps(self.batches)
        self.log_steps = max(1, spec.training.log_images // self.step_images)
        self.model = Model.of(spec, self.state, dataset.channels, dataset.classes)
        self.certificate = self._certificate()
        self.latents = grids.fixed_latents(spec.seed, self.model.latent).to(device)
        shown = min(grids.SIDE**2 // 2, len(dataset.test))
        self.shown = dataset.test.images(torch.arange(shown))
        self.shown_labels = None if dataset.test.labels is None else dataset.test.labels[:shown]
        self.seconds = 0.0
        self.interval = Interval()
        self.marked = (0.0, 0)  # seconds and images at the last line of the log

    @property
    def images(self) -> int:
        return self.state.step * self.step_images

    @cached_property
    def fill(self) -> Tensor | float:
        """What a shift leaves free: by default the median border value [C, 1, 1] of the first thousand training
        images.
        """
        if self.spec.training.translate_fill is not None:
            return self.spec.training.translate_fill
        return background(self.dataset.train.images(torch.arange(min(1000, len(self.dataset.train)))))

    def next_examples(self) -> list[Examples]:
        """The batches of this step, which (seed, step) decides."""
        return [self._examples(self.state.step * self.batches + index) for index in range(self.batches)]

    def _examples(self, number: int) -> Examples:
        """The batch of that number, from 0, in the order of the seed."""
        train = self.dataset.train
        indices = batch_indices(self.spec.seed_of("order"), number, len(train), self.batch)
        images, share = train.images(indices), self.spec.training.translate
        if share:
            shifts = stream(self.spec.seed_of("noise"), "translation", number)
            images = random_translate(images, share, shifts, self.fill)
        return Examples(images, None if train.labels is None else train.labels[indices].to(images.device))

    def play(self) -> StepValues:
        return step(self.state, self.spec, self.next_examples(), self.state.step / self.steps)

    def advance(self) -> None:
        """One step, measured, with what is due after it: a line of the log, a grid."""
        before, number = time.perf_counter(), self.state.step
        measured = self.play()
        if not is_finite(self.state):
            self.state.step = number
            raise Diverged(f"a weight is not finite after step {number}")
        self.interval.add(measured)
        self.seconds += time.perf_counter() - before
        if self.state.step % self.log_steps == 0:
            self.log()
        if grids.is_due(self.images - self.step_images, self.images):
            self.draw()
        if self.is_snapshot():
            for name, content in weights(self.state).items():
                store.write(self.files.snapshot(self.images) / name, content)

    def is_snapshot(self) -> bool:
        """Whether the step just made is one of the evenly spaced ones whose weights are kept."""
        wanted, number = self.spec.training.snapshots, self.state.step
        return number * wanted // self.steps > (number - 1) * wanted // self.steps

    def log(self) -> None:
        """One line to the log, and one to a second file of what differs from run to run: time and memory."""
        line = self.interval.line(self.images, self.state.step)
        seconds, images = self.marked
        speed = (self.images - images) / max(self.seconds - seconds, 1e-9)
        timing = {
            "images": self.images,
            "seconds": self.seconds,
            "images_per_second": speed,
            "peak_memory_bytes": peak_memory(self.latents.device),
        }
        for path, record in zip(self.files.logs, (line, timing), strict=True):
            with store.appending(path) as file:
                file.write(store.to_lines([record]))
        self.interval, self.marked = Interval(), (self.seconds, self.images)

    def draw(self) -> None:
        """The fixed grids of this moment."""
        samples, reconstructions = grids.pictures(self.model, self.latents, self.shown, self.shown_labels)
        if samples is not None:
            store.write(self.files.samples / f"{self.images:09d}.png", grids.png(samples))
        if reconstructions is not None:
            sheet = grids.png(grids.alternate(self.shown, reconstructions))
            store.write(self.files.reconstructions / f"{self.images:09d}.png", sheet)

    def save(self) -> None:
        """A checkpoint; the lengths of the logs go with it, so that a resumed run can cut them back."""
        lengths = {}
        for path in self.files.logs:
            store.appending(path).close()
            store.flush(path)
            lengths[path.name] = path.stat().st_size
        extra = {
            "logs": lengths,
            "seconds": self.seconds,
            "marked": self.marked,
            "interval": dataclasses.asdict(self.interval),
            "data": self.dataset.fingerprint,
        }
        store.save_checkpoint(self.folder, self.state.step, to_files(self.state, extra))

    def resume(self) -> None:
        """Go back to the newest checkpoint, or make the first one; raises InputError for one made with other images."""
        files = store.load_checkpoint(self.folder)
        if files is None:
            for path in self.files.logs:
                path.unlink(missing_ok=True)
            self.draw()
            self.save()
            return
        refuse_other_images(self.folder, content_of(files)["data"], self.dataset)
        content = from_files(self.state, files)
        self.seconds, self.marked = content["seconds"], tuple(content["marked"])
        self.interval = Interval(**content["interval"])
        for name, length in content["logs"].items():
            with store.appending(self.folder / name) as file:
                file.truncate(length)

    def go_back(self) -> None:
        """Undo a step that has broken the weights, or ended halfway: the newest checkpoint, played on up to that step.

        So the weights left do not depend on when a checkpoint was written.
        """
        number, files = self.state.step, store.load_checkpoint(self.folder)
        assert files is not None, "the first checkpoint is written before the first step"
        from_files(self.state, files)
        while self.state.step < number:
            self.play()

    def finish(self, status: str, message: str, is_halfway: bool = False) -> None:
        """Write the weights, then the outcome, which says that training is over.

        `is_halfway` says that the last step has ended between two turns; it is then undone.
        """
        if self.interval.steps:
            self.log()
        for path in self.files.logs:  # on disk before the outcome that stands for them
            store.flush(path)
        if is_halfway or not is_finite(self.state):
            self.go_back()
            message += f"; the weights are those after {self.images} images, the last that were finite"
        self.draw()
        for name, content in weights(self.state).items():
            store.write(self.files.weights / name, content)
        outcome = {
            "status": status,
            "images": self.images,
            "message": message,
            "channels": self.dataset.channels,
            "classes": self.dataset.class_counts,
            "name": self.state.framework.name,
            "lacks": self.state.framework.lacks,
            "parameters": cost.parameters(self.spec, self.dataset.channels, self.dataset.classes),
            "flops_per_image": cost.flops_per_image(self.spec, self.dataset.channels, self.dataset.classes),
            "certificate": self.certificate,
        }
        store.write(self.files.outcome_json, store.to_json(outcome))

    def _certificate(self) -> dict[str, Any]:
        """What is matched between frameworks at one seed, as hashes: taken from a state that has not moved."""
        n, order = len(self.dataset.train), self.spec.seed_of("order")
        epochs = -(-self.steps * self.batches // max(1, n // self.batch))
        orders = hashlib.sha256()
        for epoch in range(epochs):
            orders.update(epoch_order(order, epoch, n).numpy().tobytes())
        return {
            "data": self.dataset.fingerprint,
            "data_order": orders.hexdigest(),
            "latents": fingerprint(grids.fixed_latents(self.spec.seed, self.model.latent)),
            "budget_images": self.steps * self.step_images,
            "batch_size": self.batch,
            "initial_weights": {name: digest(net) for name, net in self.state.nets.items()},
        }


def train(
    folder: Path,
    spec: RunSpec,
    dataset: Dataset,
    *,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[int, float], None] = lambda images, seconds: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train one run in its directory, from where it stands to its end, on the device where the images are.

    `progress(images, seconds)` is called after every step. Returns False when `should_stop` asked to stop, with a
    checkpoint of that moment left behind; the same call goes on from there, to the same bits. A run that diverges has
    ended: its outcome says so, and its weights are its last finite ones. Raises InputError, and changes nothing, if the
    directory holds another run or one of other images, or if anything in it is a symbolic link.
    """
    store.refuse_links(folder)
    files = RunDirectory(folder)
    refuse_other_run(files, spec, dataset)
    if files.outcome_json.exists():
        return True
    if files.spec_json.exists():  # else nothing here is ours
        store.remove_partials(folder)
    training = Training(folder, spec, dataset)
    store.write(files.spec_json, store.to_json(spec.model_dump(mode="json")))
    if not files.environment_json.exists():
        store.write(files.environment_json, store.to_json(environment(str(dataset.train.device))))
    training.resume()
    saved = time.monotonic()
    while training.state.step < training.steps:
        try:
            training.advance()
        except Diverged as reason:
            training.finish("diverged", str(reason), reason.is_halfway)
            return True
        progress(training.images, training.seconds)
        stop = should_stop()
        if stop or time.monotonic() - saved >= checkpoint_seconds:
            training.save()
            saved = time.monotonic()
        if stop:
            return False
    training.finish("finished", "")
    return True


def refuse_other_run(files: RunDirectory, spec: RunSpec, dataset: Dataset) -> None:
    """Raise InputError if the directory holds a run of another specification, or a trained one of other images."""
    if files.spec_json.exists():
        other = files.load_spec()
        if other.model_dump(mode="json") != spec.model_dump(mode="json"):  # as on disk, where a tuple is a list
            raise InputError(
                "holds another run",
                where=str(files.path),
                value=other.id,
                hint=f"Choose another directory for {spec.id}, or delete this one.",
            )
    if files.outcome_json.exists():
        certificate = store.read_json(files.outcome_json)["certificate"]
        refuse_other_images(files.path, certificate["data"], dataset)


def refuse_other_images(folder: Path, fingerprint: str, dataset: Dataset) -> None:
    """Raise InputError unless the run in the folder was trained on these very images, as their fingerprint says."""
    if fingerprint != dataset.fingerprint:
        raise InputError(
            "holds a run that was trained on other images",
            where=str(folder),
            value=fingerprint,
            hint=f"Choose another directory, or delete this one; the images here are {dataset.fingerprint}.",
        )


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes since `forget_peak`: of the GPU's tensors, or on a CPU of the whole process; where the
    system is not Linux, since it started.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "linux":  # getrusage would count what the parent held when it started this process
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def forget_peak(device: torch.device) -> None:
    """Let the peak memory be that of the run that begins here, not of one before it in this process."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # Linux alone has it
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
