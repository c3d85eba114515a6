"""The page about measured figures, and its figure, from the JSON that `speed` and `jobs` have written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from triptych import store
from triptych.errors import InputError
from triptych.report import plotting
from triptych.text import number

Record = dict[str, Any]

HEAD = """\
# How fast a training step is

One VAE-GAN training step in several forms, and whole commands. [benchmarks/README.md](../../benchmarks/README.md)
says what each form is, how it is timed, and how to run this on your machine. `python -m benchmarks page` made the page.

A ratio compares a form with ours **in the same round**: the median over the rounds, and in brackets the quartiles. More
than 1 is slower than ours. It is given by the clock and by processor time; on a busy machine the second is the
steadier. GFLOP/s are achieved over a whole step. Below each table is what a product of two 2048 x 2048 matrices of the
same precision reached in the same rounds.
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
    picture = out.with_suffix(".svg")
    if speeds:
        store.write(picture, (figure({k: v for r in speeds for k, v in r["presets"].items()}) + "\n").encode())
    parts = [HEAD]
    if speeds:
        parts.append(f"![Time of a step in other forms, as a multiple of ours]({picture.name})\n")
    for record in records:
        parts += speed_part(record) if record["kind"] == "speed" else jobs_part(record)
    store.write(out, "\n".join(parts).encode())


def speed_part(record: Record) -> Iterator[str]:
    for name, found in record["presets"].items():
        size, width, batch = found["size"], found["width"], found["batch"]
        yield f"## Preset {name}: {size} x {size} pixels, width {width:g}, batch {batch}\n"
        yield table(found) + "\n"
        yield from _notes(found)
    yield from _source(record)


def table(found: Record) -> str:
    """One preset's forms in Markdown."""
    heads = ["form", "ms per step", "ratio to ours", "by processor time", "images/s", "MFLOP per image"]
    heads += ["FLOPs to ours", "GFLOP/s", "operator calls", "host reads", "page faults"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, form in found["forms"].items():
        s = form["summary"]
        title = f"**{form['title']}**" if name.startswith("ours-") else form["title"]
        cells = [
            f"{title}, {_type(form['dtype'])}",
            spread(s["seconds"], 1e3),
            spread(s["ratio"]),
            spread(s["processor_ratio"]),
            number(s["images_per_second"], 3),
            number(s["flops_per_image"] / 1e6, 4),
            f"{s['flops_ratio']:.2f}",
            number(s["flops_per_second"] / 1e9, 3),
            number(form["operators"]),
            number(form["host_reads"]),
            number(s["page_faults"], 3),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(found: dict[str, float], unit: float = 1.0) -> str:
    """A median with its quartiles, such as "1.60 (1.52 to 1.71)"."""
    digits = 2 if unit == 1.0 else 0 if found["median"] * unit >= 100 else 1
    low, median, high = (f"{found[key] * unit:.{digits}f}" for key in ("low", "median", "high"))
    return f"{median} ({low} to {high})"


def _type(dtype: str) -> str:
    return dtype.removeprefix("torch.")


def _notes(found: Record) -> Iterator[str]:
    products = [
        f"{_type(name)} {number(product['flops_per_second'] / 1e9, 3)} GFLOP/s"
        for name, product in found["products"].items()
    ]
    steps = f"{found['steps_per_turn']} step{'s' * (found['steps_per_turn'] > 1)}"
    yield f"{found['rounds']} rounds of {steps} per form. Matrix product: {', '.join(products)}."
    left_out = [f"{name} ({reason})" for name, reason in found["left_out"].items()]
    yield (f"{len(left_out)} form left out: {'; '.join(left_out)}." if left_out else "No form was left out.") + "\n"


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
        " shown; the others were measured once.\n"
    )
    yield from _source(record)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _source(record: Record) -> Iterator[str]:
    """The command, the machine and how busy it was."""
    m = record["machine"]
    flags = "not known" if m["flags"] is None else ", ".join(m["flags"]) or "none of AVX2, AVX-512, AMX"
    memory = "" if m["memory_bytes"] is None else f", {m['memory_bytes'] / 2**30:.0f} GiB of memory"
    yield f"```sh\n{record['command']}\n```\n"
    threads = f"{m['threads']} thread{'s' * (m['threads'] != 1)}"
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
    cores, threads = record["machine"]["cores"], record["machine"]["threads"]
    said = f"Processes that wanted to run: {before:.1f} before and {after:.1f} after, on {cores} cores."
    if after > threads + 0.5 or before > 0.5:
        said += " **Others used the machine at the same time**: read ratios, not times."
    return said


def figure(presets: dict[str, Record]) -> str:
    """The ratios of every form, one mark per preset, as a document in SVG."""
    titles: dict[str, str] = {}
    for found in presets.values():
        first = next(iter(found["forms"]))
        titles |= {name: form["title"] for name, form in found["forms"].items() if name != first}
    names = list(titles)
    step = 0.5 / max(1, len(presets))

    def draw(axes: Any, ink: plotting.Ink) -> None:
        plotting.style_axes(axes, ink)
        axes.axvline(1, color=ink.muted, linewidth=0.9)
        for series, (preset, found) in enumerate(presets.items()):
            index, colour = series % len(ink.series), ink.series[series % len(ink.series)]
            label = preset
            for name, form in found["forms"].items():
                if name not in names:
                    continue
                ratio, y = (
                    form["summary"]["processor_ratio"],
                    names.index(name) + (series - (len(presets) - 1) / 2) * step,
                )
                axes.plot([ratio["low"], ratio["high"]], [y, y], color=colour, linewidth=plotting.LINE)
                marker = plotting.MARKERS[index]
                axes.plot([ratio["median"]], [y], marker, color=colour, markersize=5.5, mew=0, label=label)
                label = None
        axes.set_yticks(range(len(names)), [titles[name] for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("processor time of a step, ours = 1", color=ink.muted)
        axes.legend(frameon=False, labelcolor=ink.text, loc="upper right")

    words = json.dumps(
        {
            p: {n: round(f["forms"][n]["summary"]["processor_ratio"]["median"], 2) for n in names if n in f["forms"]}
            for p, f in presets.items()
        }
    )
    alt = f"Processor time of a step as a multiple of ours: {words}"
    panel = plotting.Panel(title="A step in other forms", alt=alt, draw=draw, height=0.8 + 0.35 * len(names))
    return plotting.standalone(str(plotting.svg(panel, "speed"))).strip()
