"""The command line. PyTorch is imported by the commands that need it, so that help and mistakes come at once.

Exit codes: 0 done, 2 the user's input or a file that cannot be read or written, 3 some runs failed, 75 stopped.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from triptych.errors import InputError
from triptych.measuring import command as measuring
from triptych.plugins import suggest
from triptych.terminal.options import (
    BrokenOption,
    ChannelsOption,
    DataArgument,
    DeviceOption,
    FeaturesOption,
    FitOption,
    MetricsOption,
    OutOption,
    PictureOption,
    PresetOption,
    RunArgument,
    SecondOption,
    SizeOption,
    ThreadsOption,
    VaryOption,
    WorkersOption,
    names,
)

if TYPE_CHECKING:
    from triptych.spec import StudySpec

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which generative framework should I use on my images, and how sure can I be?",
)
console = Console()


@app.command()
def compare(
    data: DataArgument = "mnist",
    frameworks: Annotated[str, typer.Option(help="Names, with commas between them.")] = "vae,gan,vaegan",
    seeds: Annotated[str, typer.Option(help="Runs of each framework, or 3..12: added until all is decided.")] = "3",
    images: Annotated[int | None, typer.Option(min=1, help="Images that each run trains on.")] = None,
    preset: PresetOption = "quick",
    out: OutOption = None,
    size: SizeOption = None,
    channels: ChannelsOption = None,
    fit: FitOption = None,
    broken: BrokenOption = "error",
    optimiser: Annotated[str | None, typer.Option(help="Any torch.optim class, e.g. RMSprop.")] = None,
    rate: Annotated[float | None, typer.Option("--rate", "--learning-rate", help="The learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    metrics: MetricsOption = None,
    features: FeaturesOption = None,
    vary: VaryOption = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Compare frameworks on your images: train, score, judge, and report."""
    from triptych.study.presets import comparison

    study = comparison(
        data,
        frameworks,
        seeds,
        preset,
        images=images,
        size=size,
        channels=channels,
        fit=fit,
        broken=broken,
        optimiser=optimiser,
        rate=rate,
        batch_size=batch_size,
        metrics=names(metrics),
        features=names(features),
        vary=names(vary) or (),
        device=device,
        workers=workers,
        threads=threads,
    )
    _run_study(study, out or Path("results") / study.name)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study in TOML.")],
    out: OutOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda:0.")] = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Run a study, or resume one that was stopped."""
    from triptych.directory import StudyDirectory, holds_prepared_data
    from triptych.study.presets import from_file

    spec = from_file(study, device, workers, threads)
    nearby = StudyDirectory(study.parent)
    home = nearby.path if study.name == nearby.study_toml.name and holds_prepared_data(nearby.data) else None
    _run_study(spec, out or home or Path("results") / spec.name)


@app.command()
def extend(
    study: Annotated[Path, typer.Argument(help="A study's directory.")],
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each framework afterwards.")],
    out: SecondOption = None,
) -> None:
    """Add seeds to a study: up to a planned look, or as a second study that says that the first was seen."""
    from triptych.study.extending import extension

    more = extension(study, seeds, out)
    if more.note:
        console.print(more.note, markup=False, highlight=False, soft_wrap=True)
    _run_study(more.spec, more.folder, more.until)


def _run_study(spec: StudySpec, out: Path, until: int | None = None) -> None:
    from triptych.study.defaults import replaced_by_defaults
    from triptych.study.plan import runs_of
    from triptych.study.runner import run_study
    from triptych.terminal import running, tables

    try:
        notes = replaced_by_defaults(spec, runs_of(spec))
        outcome = run_study(spec, out, running.Terminal(console, notes=notes), until)
    except KeyboardInterrupt:  # before or after the runs, where whatever is cut short is simply done again
        raise typer.Exit(running.stopped(console, out)) from None
    if outcome.verdicts is None:
        raise typer.Exit(running.stopped(console, out))
    tables.verdicts(console, outcome.verdicts)
    raise typer.Exit(running.end(console, outcome))


@app.command()
def plan(study: Annotated[Path, typer.Argument(help="A study in TOML.")]) -> None:
    """Say what a study would run and what it would cost, and run nothing."""
    from triptych.study.costing import preview
    from triptych.study.defaults import replaced_by_defaults
    from triptych.study.presets import from_file
    from triptych.terminal import tables

    spec = from_file(study)
    planned = preview(spec)
    tables.runs(console, planned.runs, planned.costs)
    tables.plan(console, planned)
    tables.notes(console, replaced_by_defaults(spec, planned.runs))


@app.command()
def status(directory: Annotated[Path, typer.Argument(help="A study's directory.")]) -> None:
    """Show the state of every run of a study."""
    from triptych.study import runner
    from triptych.terminal import tables

    tables.status(console, runner.status(directory))


@app.command()
def score(
    path: Annotated[Path, typer.Argument(help="A study's directory, or that of one of its runs.")],
    metrics: MetricsOption = None,
    features: Annotated[str | None, typer.Option(help="Feature spaces to add, e.g. lite0,inception.")] = None,
    images: Annotated[int | None, typer.Option(help="Score another number of samples and test images.")] = None,
) -> None:
    """Score finished runs again: all metrics, some, or in further feature spaces; then judge and report."""
    from triptych import store
    from triptych.directory import RunDirectory
    from triptych.spec import ScoringSpec, checked
    from triptych.study.rescoring import score_study
    from triptych.terminal import running, tables

    run = RunDirectory(path)
    single = run.spec_json.exists()
    folder = run.study.path if single else path
    given = {"metrics": names(metrics), "features": names(features), "images": images}
    wanted = checked(ScoringSpec, {key: value for key, value in given.items() if value is not None}, "triptych score")
    chosen = [path.resolve().name] if single else None
    try:
        outcome = score_study(folder, wanted, chosen, running.Terminal(console))
    except KeyboardInterrupt:  # before or after the runs are scored, where the same command does it all again
        raise typer.Exit(running.stopped(console, folder)) from None
    if outcome.verdicts is None:
        study_toml = outcome.directory.study_toml
        console.print(f"Stopped. `triptych run {study_toml}` scores what is left.", markup=False, soft_wrap=True)
        raise typer.Exit(running.STOPPED)
    if single:
        tables.scores(console, store.read_lines(run.scores_jsonl))
    else:
        tables.verdicts(console, outcome.verdicts)
    raise typer.Exit(running.end(console, outcome))


app.command()(measuring.measure)


@app.command()
def report(
    directories: Annotated[list[Path], typer.Argument(help="A study's directory, or those of several.")],
    out: Annotated[Path | None, typer.Option(help="Of several studies: their page's folder, results/across.")] = None,
    figures: Annotated[bool, typer.Option("--figures", help="Draw figures as PDF, too.")] = False,
) -> None:
    """Judge the scores again and write the report again; of several studies, how frameworks rank over data sets."""
    from triptych.study import reporting

    reporting.write(console, directories, out, figures)


@app.command()
def scatter(
    directory: Annotated[Path, typer.Argument(help="A study's directory.")],
    metrics: Annotated[str | None, typer.Option(help="Only these; the primary ones by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="All, with the scores behind them.")] = False,
) -> None:
    """Say where the scatter between seeds comes from: initial weights, data order, noise, evaluation samples, split."""
    from triptych.study.scatter import show

    show(console, directory, names(metrics), as_json)


@app.command()
def claims(
    file: Annotated[Path, typer.Argument(help="Claims in TOML.")],
    directory: Annotated[Path, typer.Argument(help="A study's directory, or one that holds several.")],
) -> None:
    """Test claims of your own: a verdict on each, from the runs that are there."""
    from triptych.claims import command

    command.run(console, file, directory)


@app.command()
def reproduce(
    what: Annotated[str, typer.Argument(help="paper, or its full name, vae-vs-gan-vs-vaegan.")],
    scale: Annotated[str, typer.Option(help="paper, small or tiny: size, width and budget.")] = "small",
    seeds: Annotated[int | None, typer.Option(min=1, help="Runs of each setting; the scale's own by default.")] = None,
    out: OutOption = None,
    claims: Annotated[Path | None, typer.Option(help="Claims in TOML in place of the paper's.")] = None,
    docs: Annotated[Path | None, typer.Option(help="A second folder for the page in Markdown.")] = None,
    device: DeviceOption = "auto",
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Say what it will cost, and run nothing.")] = False,
) -> None:
    """Reproduce the paper: as published and under matched conditions, every claim with a verdict."""
    papers = ["paper", "vae-vs-gan-vs-vaegan"]
    if what not in papers:
        raise InputError("unknown paper", where="WHAT", value=what, hint=suggest(what, papers))
    from triptych.papers.vae_vs_gan_vs_vaegan.run import reproduce

    execution = {"device": device, "workers": workers, "threads": threads}
    raise typer.Exit(reproduce(console, scale, seeds, out, claims, docs, execution, only_plan))


@app.command()
def train(
    framework: Annotated[str, typer.Argument(help="vae, gan, vaegan, vae_disl, or one with a preset.")],
    data: DataArgument = "mnist",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    images: Annotated[int | None, typer.Option(min=1, help="Images to train on.")] = None,
    preset: PresetOption = "quick",
    out: OutOption = None,
    size: SizeOption = None,
    metrics: MetricsOption = None,
    features: FeaturesOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Train and score one framework at one seed: a study of one run."""
    from triptych.study.presets import comparison

    study = comparison(
        data,
        [framework],
        1,
        preset,
        images=images,
        size=size,
        metrics=names(metrics),
        features=names(features),
        device=device,
        threads=threads,
    )
    name = f"{framework.replace('@', '-')}-s{seed}-{study.name}"
    study = study.model_copy(update={"seeds": (seed,), "name": name})
    _run_study(study, out or Path("results") / name)


@app.command()
def sample(
    run: RunArgument,
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="How many.")] = 64,
    seed: Annotated[int | None, typer.Option(help="Other latents than the run's own.")] = None,
    label: Annotated[int | None, typer.Option("--class", min=0, help="One class, of a conditional framework.")] = None,
    out: PictureOption = Path("samples.png"),
) -> None:
    """Draw samples from a trained run into one picture."""
    from triptych import store
    from triptych.evaluation.run import Run
    from triptych.training import grids

    store.write(out, grids.png(Run(run).sample(n, seed, label)))
    console.print(f"{n} samples: {out}", markup=False)


@app.command()
def reconstruct(
    run: RunArgument,
    data: Annotated[
        str | None, typer.Argument(help="Other images than the test images of the run's own study.")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--number", "-n", min=1, help="How many test images; at most 32 by default.")
    ] = None,
    out: PictureOption = Path("reconstructions.png"),
) -> None:
    """Reconstruct test images with a trained run: rows of originals, each above its reconstructions."""
    from triptych import store
    from triptych.evaluation.pictures import reconstructions

    sheet, shown = reconstructions(run, data, n)
    store.write(out, sheet)
    console.print(f"{shown} images and their reconstructions: {out}", markup=False)


@app.command()
def networks(
    preset: PresetOption = "paper",
    size: SizeOption = None,
    channels: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    latent: Annotated[int, typer.Option(min=1, help="Latent dimensions.")] = 128,
    width: Annotated[float | None, typer.Option(help="Share of the paper's channels.")] = None,
) -> None:
    """Print encoder, decoder and discriminator layer by layer: shapes, parameters, FLOPs."""
    from triptych.networks import TITLES
    from triptych.study.presets import comparison
    from triptych.terminal import tables
    from triptych.training import cost

    study = comparison("mnist", ["vae"], 1, preset, size=size, channels=channels, width=width, latent=latent)
    console.print(f"Preset {preset}:", tables.shape(study, channels))
    tables.networks(console, cost.layers(study.network, study.data.size, channels), TITLES)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help='"package.module:Name" or a built-in name, e.g. vaegan@pythae.')],
) -> None:
    """Check that a framework, metric, data source or feature extractor keeps its contract."""
    from triptych.contracts import checks_of, run_checks
    from triptych.terminal import tables

    results = run_checks(checks_of(name), lambda result: tables.check(console, result))
    tables.checks(console, name, results)
    raise typer.Exit(2 if any(result.status == "broken" for result in results) else 0)


@app.command()
def doctor() -> None:
    """Show versions, device and threads, and what is installed."""
    from triptych.terminal import tables
    from triptych.training.environment import choose_device, environment

    tables.environment(console, environment(choose_device("auto")))


def main() -> None:
    """Run a command; a user's mistake is one message on standard error and exit code 2."""
    sys.path.append(os.getcwd())  # "package.module:Name" may lie where the command is given
    try:
        app()
    except InputError as error:
        _refuse(str(error))
    except OSError as error:  # a folder that may not be written, a full disk
        reason, place = error.strerror or str(error) or type(error).__name__, error.filename2 or error.filename or ""
        _refuse(str(InputError(reason[:1].lower() + reason[1:], where=str(place))))


def _refuse(message: str) -> NoReturn:
    """Say what is wrong in one line on standard error, and end."""
    Console(stderr=True).print(f"triptych: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
