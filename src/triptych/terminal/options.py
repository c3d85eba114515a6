"""Arguments and options that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataArgument = Annotated[
    str, typer.Argument(help="mnist, a folder of IDX files, a folder of images, or an .npy or .npz file.")
]
OutOption = Annotated[Path | None, typer.Option("--out", help="The study's directory; results/NAME by default.")]
SecondOption = Annotated[
    Path | None, typer.Option("--out", help="The directory of a second study; next to the first by default.")
]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda:0.")]
WorkersOption = Annotated[int | None, typer.Option(min=1, help="Runs at the same time.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="Threads per run.")]
SizeOption = Annotated[
    int | None, typer.Option(help="Side in pixels, 16 to 128; for the conv networks a multiple of 8.")
]
ChannelsOption = Annotated[int | None, typer.Option(help="1 for grey, 3 for colour; the data's own by default.")]
FitOption = Annotated[str | None, typer.Option(help="How other shapes become squares: crop, pad or stretch.")]
MetricsOption = Annotated[str | None, typer.Option(help="Score by these only, e.g. frechet,pixel_error.")]
FeaturesOption = Annotated[
    str | None, typer.Option(help="Feature spaces, e.g. lite0,pixels; the first is the main one.")
]
VaryOption = Annotated[str | None, typer.Option(help="Sources of randomness to vary alone, e.g. initial,order.")]
BrokenOption = Annotated[str, typer.Option(help="Images that cannot be read: error or skip.")]
PrecisionOption = Annotated[str | None, typer.Option(help="Numbers in training: float32, or bf16 (faster on some).")]
PresetOption = Annotated[str, typer.Option(help="quick, small or paper.")]
RunArgument = Annotated[Path, typer.Argument(help="A run's directory: DIR/runs/<id>.")]
PictureOption = Annotated[Path, typer.Option("--out", help="The PNG to write.")]


def names(text: str | None) -> list[str] | None:
    """Names with commas between them."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
