"""The page about measured figures, and its figure, from the JSON that `speed` and `jobs` have written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.forms import PREFIX
from triptych import store
from triptych.errors import InputError
from triptych.report import drawing, plotting
from triptych.text import number

Record = dict[str, Any]

HEAD = """\
# How fast a training step is

One VAE-GAN training step in several forms, and whole commands. [benchmarks/README.md](../../benchmarks/README.md)
says what each form is, how it is timed, and how to run this on your machine. `python -m benchmarks page` made the page.

A ratio compares a form with ours **in the same round**: the median over the rounds, and in brackets the quartiles. More
than 1 is slower than ours. It is given by the clock and by processor time; on a busy machine the second is the
steadier. Each form was timed in a process of its own, as it would train, and once more with all forms in one process.
What differs is the memory allocator; page faults are pages of memory that the system had to give out, per step. In a
process of its own, Triptych and the minimal form have the allocator settings of a worker of Triptych. They also have
its convolutions for few channels; the other forms have those of PyTorch.
"""


def read(file: Path) -> Record:
    """A file that this package has written; raises InputError for any other."""
    try:
        record = store.read_json(file)
    except OSError as error:
        raise InputError("cannot be read", where=str(file), hint=str(error)) from error
    except ValueError as error:
        raise InputError("is no JSON", where=str(file), hint=str(error)) from error
    if not isinstance(record, dict) or record.get("kind") not in ("speed", "jobs"):
        raise InputError("holds no figures", where=str(file), hint="Name files that `--json` has written.")
    return record


def write(records: Sequence[Record], out: Path) -> None:
    """The page as `out`, and its figure next to it; raises InputError if two files have figures of one preset."""
    speeds = [record for record in records if record["kind"] == "speed"]
    names = [name for record in speeds for name in record["presets"]]
    for name in names:
        if names.count(name) > 1:
            raise InputError("two files have figures of one preset", where="page", value=name, hint="Leave one out.")
    picture, parts = out.with_suffix(".svg"), [HEAD]
    compared = {k: v for r in speeds for k, v in r["presets"].items() if len(v["forms"]) > 1}
    if compared:
        store.write(picture, (figure(compared) + "\n").encode())
        parts.append(f"![Time of a step in other forms, as a multiple of ours]({picture.name})\n")
    for record in records:
        parts += speed_part(record) if record["kind"] == "speed" else jobs_part(record)
    store.write(out, "\n".join(parts).encode())


def speed_part(record: Record) -> Iterator[str]:
    for name, found in record["presets"].items():
        size, width, batch = found["size"], found["width"], found["batch"]
        yield f"## Preset {name}: {size} x {size} pixels, width {width:g}, batch {batch}\n"
        yield from tables(found)
        yield from _left_out(found)
    yield from _source(record)


WAYS = {"each": "Each form in a process of its own", "one": "All forms in one process"}


def tables(found: Record) -> Iterator[str]:
    """One preset's forms in Markdown: the times in each way of timing them, and what was counted."""
    steps = f"{found['steps_per_turn']} step{'s' * (found['steps_per_turn'] > 1)}"
    for way, title in WAYS.items():
        if way not in found:
            continue
        part = found[way]
        products = ", ".join(f"{number(rate / 1e9, 3)} ({_type(name)})" for name, rate in part["products"].items())
        yield f"{title}, {found['rounds']} rounds of {steps}. A large matrix product: {products} GFLOP/s.\n"
        yield _row(["form", "ms per step", "ratio", "by processor time", "images/s", "GFLOP/s", "page faults"])
        yield "|---" * 7 + "|"
        for name, s in part["summary"].items():
            yield _row(
                [
                    _title(found, name),
                    spread(s["seconds"], 1e3),
                    spread(s["ratio"]),
                    spread(s["processor_ratio"]),
                    number(s["images_per_second"], 3),
                    number(s["flops_per_second"] / 1e9, 3),
                    number(s["page_faults"], 3),
                ]
            )
        yield ""
    yield "Counted over one step:\n"
    yield _row(["form", "precision", "MFLOP per image", "FLOPs to ours", "operator calls", "host reads"])
    yield "|---" * 6 + "|"
    base = next(iter(found["forms"].values()))["flops"]
    for name, form in found["forms"].items():
        flops = [number(form["flops"] / found["batch"] / 1e6, 4), f"{form['flops'] / base:.2f}"]
        reads = [number(form["operators"]), number(form["host_reads"])]
        yield _row([_title(found, name), _type(form["dtype"]), *flops, *reads])
    yield ""


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _title(found: Record, name: str) -> str:
    title = found["forms"][name]["title"]
    return f"**{title}**" if name.startswith(PREFIX) else title


def spread(found: dict[str, float], unit: float = 1.0) -> str:
    """A median with its quartiles, such as "1.60 (1.52 to 1.71)"."""
    digits = 2 if unit == 1.0 else 0 if found["median"] * unit >= 100 else 1
    low, median, high = (f"{found[key] * unit:.{digits}f}" for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _type(dtype: str) -> str:
    return dtype.removeprefix("torch.")


def _left_out(found: Record) -> Iterator[str]:
    reasons = [f"{name} ({reason})" for name, reason in found["left_out"].items()]
    many = f"{len(reasons)} form{'s' * (len(reasons) > 1)} left out"
    yield (f"{many}: {'; '.join(reasons)}." if reasons else "No form was left out.") + "\n"


def jobs_part(record: Record) -> Iterator[str]:
    yield "## Whole commands\n"
    yield (
        f"Preset {record['preset']}, MNIST; the comparisons have {record['runs']} runs (VAE, GAN and VAE-GAN) of"
        f" {number(record['images'])} training images, scored by frechet and pixel_error. Each command is a process of"
        " its own. `score` judges and writes the report again each time: the row without a new metric is that part.\n"
    )
    yield "| command | seconds | processor seconds | times |\n|---|---|---|---|"
    for row in record["jobs"]:
        yield f"| {row['job']} | {row['seconds']:.2f} | {_seconds(row['processor_seconds'])} | {row['times']} |"
    ratio = record["two_workers"]
    yield (
        f"\nTwo workers take {ratio['seconds']:.2f} times the time of one by the clock, and"
        f" {ratio['processor_seconds']:.2f} times its processor time. Where several times were measured, the median is"
        " shown; the others were measured once."
        + (" **The cores were shared with others**, so this ratio is not that of a quiet machine." * _is_busy(record))
    )
    yield ""
    yield from _source(record)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _source(record: Record) -> Iterator[str]:
    """The command, the machine and how busy it was."""
    m = record["machine"]
    flags = "not known" if m["flags"] is None else ", ".join(m["flags"]) or "none of AVX2, AVX-512, AMX"
    memory = "" if m["memory_bytes"] is None else f", {m['memory_bytes'] / 2**30:.0f} GiB of memory"
    yield f"```sh\n{record['command']}\n```\n"
    threads = f"{m['threads']} thread{'s' * (m['threads'] != 1)}" if record["kind"] == "speed" else "1 thread per run"
    yield f"Measured {record['date']} at commit {m['commit'] or 'not known'}, {threads}."
    yield f"{m['cpu']}, {m['usable_cores']} cores{memory}; vector units: {flags}; {m['platform']}."
    pythae = m["pythae"] or "not installed"
    yield f"Python {m['python']}, PyTorch {m['torch']} (kernels: {m['kernels']}), pythae {pythae}."
    allocator = ", ".join(f"{name}={value}" for name, value in m["allocator"].items())
    yield f"Allocator: {allocator or 'that of the system, as it is'}. {_busy(record)}\n"


def _busy(record: Record) -> str:
    before, after = record["load"]["before"], record["load"]["after"]
    if before is None:
        return "How busy the machine was is not known."
    cores = record["machine"]["cores"]
    said = f"Processes that wanted to run: {before:.1f} before and {after:.1f} after, on {cores} cores."
    if _is_busy(record):
        said += " **Others used the machine at the same time**: read ratios, not times."
    return said


def _is_busy(record: Record) -> bool:
    """Whether more processes wanted to run than the benchmark had, before it or at its end."""
    before, after = record["load"]["before"], record["load"]["after"]
    return before is not None and (before > 0.5 or after > record["machine"]["threads"] + 0.5)


def figure(presets: dict[str, Record]) -> str:
    """The ratios of every form, one mark per preset, as a document in SVG; from processes of their own if it can be."""
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    titles: dict[str, str] = {}
    for preset, found in presets.items():
        part = found.get("each") or found["one"]
        others = list(found["forms"])[1:]
        titles |= {name: found["forms"][name]["title"] for name in others}
        ratios[preset] = {name: part["summary"][name]["processor_ratio"] for name in others}
    names = list(titles)
    panel = plotting.Panel(
        title="A step in other forms",
        alt="; ".join(
            f"{preset}: " + ", ".join(f"{titles[name]} {spread(own[name])}" for name in own)
            for preset, own in ratios.items()
        ),
        shown=list(_marks(ratios, names)),
        x=plotting.Axis("processor time of a step, ours = 1", low=0),
        y=plotting.rows_axis(names),
        height=0.9 + 0.35 * len(names),
    )
    return drawing.standalone(str(drawing.svg(panel))).strip()


def _marks(ratios: dict[str, dict[str, dict[str, float]]], names: list[str]) -> Iterator[plotting.Mark]:
    """A line at 1, and for each preset and form a mark with its quartiles."""
    yield plotting.Mark([1, 1], [-0.5, len(names) - 0.5], "muted", width=0.9)
    for series, (preset, own) in enumerate(ratios.items()):
        marker = plotting.MARKERS[series % len(plotting.MARKERS)]
        heights = [names.index(name) + (series - (len(ratios) - 1) / 2) * 0.5 / len(ratios) for name in own]
        for y, ratio in zip(heights, own.values(), strict=True):
            yield plotting.Mark([ratio["low"], ratio["high"]], [y, y], series, width=plotting.LINE)
        medians = [ratio["median"] for ratio in own.values()]
        yield plotting.Mark(medians, heights, series, marker=marker, size=5.5, label=preset)
