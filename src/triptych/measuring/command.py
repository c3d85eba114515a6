"""`triptych measure SAMPLES --against REAL`: all metrics of samples for images that any program has made."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from triptych.terminal.options import (
    BrokenOption,
    ChannelsOption,
    DeviceOption,
    FeaturesOption,
    FitOption,
    MetricsOption,
    names,
)


def measure(
    samples: Annotated[
        list[str],
        typer.Argument(help="Folders of images, .npy or .npz files; NAME=A,B,C for several seeds of one generator."),
    ],
    against: Annotated[str, typer.Option(help="Real images: mnist, a folder, an .npy or .npz file.")],
    train: Annotated[str | None, typer.Option(help="The generator's training images, to find copies.")] = None,
    metrics: MetricsOption = None,
    features: FeaturesOption = None,
    size: Annotated[int | None, typer.Option(help="Side in pixels; that of the real images by default.")] = None,
    channels: ChannelsOption = None,
    fit: FitOption = None,
    broken: BrokenOption = "error",
    images: Annotated[int | None, typer.Option(min=2, help="The most images of each set; 50,000 by default.")] = None,
    device: DeviceOption = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on standard output.")] = False,
) -> None:
    """Measure images made by any program: scores with errors and baselines, and verdicts between several sets."""
    # Before PyTorch comes: threads that wait for others actively take three times as long where the machine is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from triptych.measuring.measure import MOST_IMAGES
    from triptych.measuring.measure import measure as run
    from triptych.store import to_json
    from triptych.terminal import measured, tables

    with measured.working(Console(stderr=True)) as (watch, progress):
        found = run(
            samples,
            against,
            train,
            metrics=names(metrics),
            features=names(features),
            size=size,
            channels=channels,
            fit=fit,
            broken=broken,
            images=images or MOST_IMAGES,
            device=device,
            watch=watch,
            progress=progress,
        ).to_dict()
    if as_json:
        sys.stdout.write(to_json(found).decode())
        return
    console = Console()
    measured.scores(console, found)
    if found["verdicts"]:
        tables.verdicts(console, found["verdicts"], "the output of --json")
