"""gpu.json in words and tables: the page gpu.md."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean, stdev
from typing import Any

Result = dict[str, Any]
TERMS = ("L_GAN", "L_prior", "Dis_l loss")
TITLES = {
    "machine": "Machine",
    "agreement": "Agreement with the CPU",
    "step_time": "Time of a step at the paper's size",
    "waits": "Waits for the GPU in a step",
    "as_published": "As published, at the paper's own size",
}


def page(report: Result) -> str:
    """The whole page, whatever parts there are yet."""
    commit = report["commit"] or "unknown"
    lines = ["# What a GPU shows", "", f"    {report['command']}", ""]
    lines += [f"Begun {report['began']}; commit {commit}. Written by `scripts/gpu_check.py`.", ""]
    parts = report["parts"].items()
    statuses = [[TITLES[name], part["status"], number(part.get("seconds"), ".1f")] for name, part in parts]
    lines += table(["part", "status", "seconds"], statuses)
    for name, part in parts:
        lines += ["", f"## {TITLES[name]}", "", *section(name, part)]
    return "\n".join(lines) + "\n"


def section(name: str, part: Result) -> list[str]:
    status = part["status"][0].upper() + part["status"][1:]
    if status.startswith(("Not reached", "Skipped")):
        return [f"{status}."]
    head = [] if status == "Done" else [f"**{status}**: {part.get('error', 'this is what there is.')}", ""]
    try:
        return head + SECTIONS[name](part)
    except KeyError as missing:  # of a part that did not get far
        return [*head, f"Nothing of {missing} yet."]


def machine(part: Result) -> list[str]:
    hidden = ("status", "seconds", "error", "trace")
    return table(["what", "value"], [[key, text(value)] for key, value in part.items() if key not in hidden])


def agreement(part: Result) -> list[str]:
    allowed, keys = part["tolerances"], ("terms_first_step", "terms", "weights")
    lines = [
        f"{part['steps']} steps of batch 64 in float32 from the same weights, images and noise, against "
        f"{part['against']}: the largest relative difference of the logged terms, and of each network's weights (as "
        "one vector) after the last step.",
        "",
    ]
    rows = [
        [name, *(number(found[key], ".1e") for key in keys), passed(found)]
        for name, found in part["frameworks"].items()
    ]
    limits = ["tolerance", *(number(allowed[key], ".0e") for key in keys), ""]
    lines += table(["framework", "terms, first step", "terms, all steps", "weights", ""], [*rows, limits])
    if "scores" in part:
        lines += [
            "",
            f"Scores of one VAE-GAN trained on {part['scored_images']:,} images, on both; allowed is a difference of "
            f"{allowed['scores']:g} of the value, or of 0.1 if that is larger.",
            "",
        ]
        rows = [[r["metric"], number(r["device"], ".6g"), number(r["cpu"], ".6g"), passed(r)] for r in part["scores"]]
        lines += table(["metric", "device", "CPU", ""], rows)
    return lines


def step_time(part: Result) -> list[str]:
    products = part["matrix_products"]
    lines = table(
        [f"matrix product, {part['side']}^3", "ms", "TFLOP/s"],
        [[name, number(1e3 * p["seconds"], ".3g"), number(p["tflops"], ".3g")] for name, p in products.items()],
    )
    lines += [
        "",
        "Medians of waited-for steps of batch 64, float32 without TF32, deterministic algorithms. An iteration is a "
        "step with all that the trainer does around it. The gain of bf16 is the time of a step over that in bf16.",
        "",
    ]
    rows = [
        [
            name,
            number(1e3 * row["seconds"], ".3g"),
            number(1e3 * row["iteration_seconds"], ".3g"),
            number(row["bf16_gain"], ".2f"),
            number(row["tflops"], ".3g"),
            number(row["share_of_float32"], ".0%"),
            number(row["peak_memory"] and row["peak_memory"] / 2**20, ",.0f"),
        ]
        for name, row in part["frameworks"].items()
    ]
    heads = ["framework", "ms a step", "ms an iteration", "bf16 gain", "TFLOP/s", "of the float32 product", "peak MiB"]
    return [*lines, *table(heads, rows)]


def waits(part: Result) -> list[str]:
    frameworks = part["frameworks"]
    lines = [
        "An iteration's waits that PyTorch warns of (`torch.cuda.set_sync_debug_mode`), and a step's calls of the CUDA "
        "runtime that its profiler counts.",
        "",
    ]
    lines += table(["framework", "waits"], [[name, f"{found['waits']:g}"] for name, found in frameworks.items()])
    for name, found in frameworks.items():
        for what in ("sites", "calls"):
            counts = [[f"`{key}`", f"{count:g}"] for key, count in found.get(what, {}).items()]
            if counts:
                lines += ["", *table([f"{name}: {what}", "number"], counts)]
        if "profiler" in found:
            lines += ["", f"The profiler failed for {name}: {found['profiler']}"]
    return lines


def as_published(part: Result) -> list[str]:
    lines = [
        "The published VAE-GAN trainer, all quirks in place; Dis learns at a tenth of the rate. Losses at the last "
        "mini-batch, and in brackets the mean over the last tenth of the iterations.",
        "",
    ]
    rows = [row for printed in part["printed"] for row in at_rate(printed, part["runs"])]
    return [*lines, *table(["rate", "run", "iterations", "seconds", *TERMS], rows)]


def at_rate(printed: Result, runs: list[Result]) -> list[list[str]]:
    """What the paper prints at one rate, the runs at it, and those that were finished together."""
    rate = f"{printed['rate']:g}"
    notebook = {name: f" (notebook {value})" for name, value in printed["notebook"].items()}
    rows = [[rate, "the paper", "938", "", *(f"{printed[name]:.4f}{notebook.get(name, '')}" for name in TERMS)]]
    mine = [run for run in runs if run["rate"] == printed["rate"]]
    for run in mine:
        values = [losses(run.get(name)) for name in TERMS]
        rows.append([rate, f"seed {run['seed']}", progress(run), number(run.get("seconds"), ".0f"), *values])
    whole = [run for run in mine if run["iterations"] == run["of"] and "diverged" not in run]
    if len(whole) > 1:
        rows.append([rate, f"mean ± sd of {len(whole)}", "", "", *(spread(whole, name) for name in TERMS)])
    return rows


def progress(run: Result) -> str:
    note = f", diverged: {run['diverged']}" if "diverged" in run else ""
    return f"{run['iterations']} of {run['of']}{note}"


def losses(found: Result | None) -> str:
    return f"{found['last']:.4f} ({found['tenth']:.4f})" if found else "–"


def spread(runs: list[Result], name: str) -> str:
    last, tenth = ([run[name][which] for run in runs] for which in ("last", "tenth"))
    return f"{fmean(last):.4f} ± {stdev(last):.4f} ({fmean(tenth):.4f} ± {stdev(tenth):.4f})"


def passed(row: Result) -> str:
    return "agrees" if row["passed"] else "**differs**"


def number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def text(value: object) -> str:
    return "–" if value is None else f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)


def table(heads: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table, as lines."""
    lines = [heads, ["---"] * len(heads), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines]


SECTIONS: dict[str, Callable[[Result], list[str]]] = {
    "machine": machine,
    "agreement": agreement,
    "step_time": step_time,
    "waits": waits,
    "as_published": as_published,
}
