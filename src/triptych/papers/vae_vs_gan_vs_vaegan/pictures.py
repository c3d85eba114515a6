"""The paper's Figures 2 and 3 redone, its quirks one by one in pictures, and samples of all three frameworks.

Source: "VAE vs GAN vs VAE-GAN" (University of Toronto, 2021), Figures 2 and 3: reconstructions after training on
centred and on translated digits. Deviation: the digits are held out, the same everywhere, moved by the same shifts, and
shown above their reconstructions. What a shift leaves free is mid-grey as published, black once that is fixed. Each
picture is a sheet of labelled lines, each from the first seed that has a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from triptych import store
from triptych.claims.results import Results
from triptych.data import dataset
from triptych.data.transforms import random_translate
from triptych.directory import RunRecord
from triptych.errors import InputError
from triptych.evaluation.run import Run
from triptych.papers.vae_vs_gan_vs_vaegan.quirks import BASES, GAME, quirks_of
from triptych.papers.vae_vs_gan_vs_vaegan.rates import FRAMEWORKS, PAPER, tuned
from triptych.papers.vae_vs_gan_vs_vaegan.sheets import Strip, sheet
from triptych.rng import stream
from triptych.text import count, number
from triptych.training.model import prior_latents
from triptych.verdicts.wording import display

SHARE, GREY = 0.1, 0.0
"""The paper's 10 %, and what it fills with: after scaling to [-1, 1], 0 is mid-grey."""
CENTRED, MOVED = "trained on centred", "trained on translated"
BATCH, SHOWN, HALF = 64, 12, 6
"""A batch as in training, since published runs take BatchNorm's statistics from it; and how many of it are shown."""
TRANSLATED = {**PAPER, "training.translate": 0.1}
Kind = Literal["centred", "shifted", "samples", "both"]


@dataclass(frozen=True)
class Line:
    """One line of a sheet: a run, found by study, framework and spec, and what is shown of it.

    "centred" and "shifted": digits above their reconstructions; "both": reconstructions of shifted digits and samples.
    `fill` fills what a shift leaves free, from -1, black, to 1.
    """

    title: str
    about: str
    study: str
    framework: str
    kind: Kind
    at: dict[str, Any] | None = None
    fill: float = -1.0


class Gallery:
    """Makes the pictures of runs; the digits and their shifts are the same for all."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def run_of(self, line: Line) -> RunRecord | None:
        """The first seed's run that has weights to draw with."""
        found = self.results.where(line.study, line.framework, line.at)
        return next((record for record in found if record.directory and record.directory.weights.is_dir()), None)

    @cached_property
    def digits(self) -> Tensor:
        """A batch of test images [64, C, S, S], drawn at random, one of each class first if they have labels."""
        folders = dict.fromkeys(record.directory.study.data for record in self.results.runs if record.directory)
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            hint = "Run one of these studies again, which prepares them: triptych run DIR/study.toml."
            raise InputError("the prepared images are gone", where=", ".join(map(str, folders)), hint=hint)
        test = dataset.open(folder, resident_bytes=0).test
        chosen = dataset.random_subset(len(test), BATCH)
        if test.labels is not None:
            labels = test.labels[chosen].tolist()
            firsts = sorted({label: labels.index(label) for label in labels}.values(), key=labels.__getitem__)
            chosen = chosen[[*firsts, *(place for place in range(BATCH) if place not in firsts)]]
        return test.images(chosen)

    def shifted(self, fill: float) -> Tensor:
        """The digits, each moved by its own shift, the same ones whatever fills what becomes free."""
        return random_translate(self.digits, SHARE, stream(0, "figures/shifts"), fill)

    def strips(self, line: Line, record: RunRecord) -> Iterator[Strip]:
        """The rows of images of one line, with their labels."""
        assert record.directory is not None  # run_of gives none without weights
        run = Run(record.directory.path)
        about = line.about + (" (diverged)" if record.status == "diverged" else "")
        if line.kind == "samples":
            yield Strip(line.title, about, samples(run)[:SHOWN])
            return
        shown = self.digits if line.kind == "centred" else self.shifted(line.fill)
        made = run.render(run.posterior(shown)[0])  # one batch, for the sake of its statistics
        if line.kind == "both":
            yield Strip(line.title, about, torch.cat([made[:HALF], samples(run)[:HALF]]))
        else:
            yield Strip("", "digits shown", shown[:SHOWN])
            yield Strip(title=line.title, about=about, images=made[:SHOWN], close=True)

    def sheet(self, lines: list[Line]) -> bytes | None:
        """A sheet of all lines that have a run, which says how many have none; None if none has."""
        drawn = [(line, record) for line in lines if (record := self.run_of(line))]
        if not drawn:
            return None
        strips = [strip for line, record in drawn for strip in self.strips(line, record)]
        fills = dict.fromkeys(line.fill for line, _ in drawn if line.kind == "both")
        shown = [Strip("digits shown", "grey fill" if f > -1 else "black fill", self.shifted(f)[:HALF]) for f in fills]
        missing = len(lines) - len(drawn)
        left_out = f"{count(missing, 'line')} left out: no such run (yet)." if missing else ""
        headings = ("reconstructions", "samples") if fills else ()
        return sheet([*shown, *strips], headings, left_out)


def samples(run: Run) -> Tensor:
    """One batch of samples [64, C, S, S], of the same latents for every framework at one seed."""
    return run.render(prior_latents(run.spec.seed, BATCH, run.spec.network.latent))


def _published(title: str, about: str, name: str, kind: Kind, study: str = "as_published") -> Line:
    """A line of a published run, shown what a grey-filled shift leaves of the digits."""
    return Line(title=title, about=about, study=study, framework=f"{GAME}@{name}", kind=kind, fill=GREY)


def _matched(title: str, about: str, name: str, kind: Kind) -> Line:
    """A line of a matched run at the paper's setting, trained on what it is shown."""
    at = TRANSLATED if kind == "shifted" else PAPER
    return Line(title=title, about=about, study="matched", framework=name, kind=kind, at=at)


def _figure2() -> list[Line]:
    """The VAE: centred and translated, each as published and matched."""
    return [
        _published("2a as published", CENTRED, "vae", "centred"),
        _published("2b as published", MOVED, "vae-translated", "shifted"),
        _matched("2a matched", CENTRED, "vae", "centred"),
        _matched("2b matched", MOVED, "vae", "shifted"),
    ]


def _figure3() -> list[Line]:
    """The VAE-GAN: likewise, and with its loader fixed, so that it sees the translated images."""
    return [
        _published("3a as published", CENTRED, "vaegan", "centred"),
        _published("3b as published", CENTRED, "vaegan", "shifted"),
        _published("3b, loader fixed", MOVED, "vaegan-fix-loader", "shifted", "ablation"),
        _matched("3a matched", CENTRED, "vaegan", "centred"),
        _matched("3b matched", MOVED, "vaegan", "shifted"),
    ]


def _quirks(base: str, alone: Literal["fix", "keep"]) -> list[Line]:
    """The base with each quirk fixed alone, or the fixed one with each quirk kept alone, between both ends."""
    name, kind = f"{GAME}@{base}", "samples" if BASES[base]["options.game"] == "gan" else "both"
    ends = [
        Line(title="as published", about="every quirk", study="as_published", framework=name, kind=kind, fill=GREY),
        Line(title="fixed", about="no quirk", study="ablation", framework=f"{name}-fixed", kind=kind),
    ]
    between = [
        Line(
            title=quirk.name.replace("_", " "),
            about="fixed alone" if alone == "fix" else "kept alone",
            study="ablation",
            framework=f"{name}-{alone}-{quirk.name}",
            kind=kind,
            fill=GREY if (quirk.name == "fill") == (alone == "keep") else -1.0,
        )
        for quirk in quirks_of(base)
        if (not quirk.shared if alone == "keep" else base not in quirk.without_effect)
    ]
    first, last = ends if alone == "fix" else reversed(ends)
    return [first, *between, last]


def _samples(results: Results) -> list[Line]:
    """Samples at the paper's rate, at the tuned setting of each framework, and as published."""
    lines = [_matched(display(name), "paper's rate", name, "samples") for name in FRAMEWORKS]
    for best in tuned(results):
        at = {"optimiser.name": best.optimiser, "optimiser.rate": best.rate, "training.translate": 0.0}
        study = "matched" if results.where("matched", best.framework, at) else "rates"
        line = _matched(display(best.framework), "", best.framework, "samples")
        lines.append(replace(line, about=f"tuned: {best.optimiser} {number(best.rate)}", study=study, at=at))
    return lines + [_published(display(name), "as published", name, "samples") for name in FRAMEWORKS]


def figures(results: Results, folder: Path) -> dict[str, Path]:
    """Draw every sheet that there are runs for into `folder`, as PNG by name.

    "figure2", "figure3", "samples"; for each published base "quirk-<base>", one quirk fixed at a time, and
    "quirk-<base>-keep", one kept at a time. A run that is missing is left out, and the sheet says how many are.
    """
    gallery, made = Gallery(results), {}
    plans = {"figure2": _figure2(), "figure3": _figure3(), "samples": _samples(results)}
    for base in BASES:
        plans |= {f"quirk-{base}": _quirks(base, "fix"), f"quirk-{base}-keep": _quirks(base, "keep")}
    for name, lines in plans.items():
        content = gallery.sheet(lines)
        if content:
            made[name] = folder / f"{name}.png"
            store.write(made[name], content)
    return made
