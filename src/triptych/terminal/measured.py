"""What `triptych measure` prints: what was measured, a table of scores, what was not measured and why."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from triptych.terminal import tables
from triptych.text import number
from triptych.verdicts import scales

Row = dict[str, Any]


@contextmanager
def working(console: Console) -> Iterator[tuple[Callable[[str], None], Callable[[int, int], None]]]:
    """A line that says what is being done, where there is a person to see it; nothing of it stays."""
    if not console.is_terminal:
        yield lambda text: None, lambda done, total: None
        return
    with console.status("opening images") as status:

        def progress(done: int, total: int) -> None:
            status.update(f"reading images: {done:,} of {total:,}")

        yield lambda text: status.update(Text(text)), progress


def scores(console: Console, found: Row) -> None:
    """One set as a table of values with errors, several as a table with a column for each name."""
    _heading(console, found)
    rows = [row for row in found["scores"] if not row["per_class"]]
    shown = list(dict.fromkeys(row["metric"] for row in rows if row["value"] is not None))
    table = _one(found, rows, shown) if len(found["sets"]) == 1 else _several(found, rows, shown)
    console.print(table)
    _legend(console, found)
    _missing(console, rows)
    tables.notes(console, _remarks(rows, len(found["sets"])))
    if classes := len({row["metric"] for row in found["scores"] if row["per_class"]}):
        tables.notes(console, [f"the share of each of the {classes} classes is in the output of --json"])
    tables.notes(console, found["notes"])


def _heading(console: Console, found: Row) -> None:
    against, sets = found["against"], found["sets"]
    what = sets[0]["path"] if len(sets) == 1 else f"{len(sets)} sets"
    kind = "colour" if found["channels"] == 3 else "grey"
    each = " each" if len(sets) > 1 else ""
    for line in (
        f"{what}: {sets[0]['n']:,} images{each}, against {against['n']:,} real images of {against['path']}",
        f"{found['size']} x {found['size']} pixels, {kind}; features {', '.join(found['features'])}",
    ):
        console.print(line, highlight=False, markup=False)


def _table(columns: list[str], found: Row) -> Table:
    """A plain table; the last columns are values at the number of images that the baselines have."""
    n = found["baselines"]["n"]
    baselines = [f"{name}\nn = {n:,}" for name in ("real images", "noise")] if n else []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    table.add_column("better", overflow="fold")
    for column in [*columns, *baselines]:
        table.add_column(column, justify="right", overflow="fold")
    return table


def _one(found: Row, rows: list[Row], shown: list[str]) -> Table:
    """Values with standard errors; the same at the baselines' number of images; baselines."""
    n = found["baselines"]["n"]
    table = _table(["value ± error", *([f"samples\nn = {n:,}"] if n else [])], found)
    by_metric = {row["metric"]: row for row in rows}
    for name in shown:
        row = by_metric[name]
        cells = [with_error(row["value"], row["error"])]
        if n:
            cells += [_plain(row[key]) for key in ("matched", "real_baseline", "noise_baseline")]
        table.add_row(*map(Text, (row["label"], _better(row), *cells)))
    return table


def _several(found: Row, rows: list[Row], shown: list[str]) -> Table:
    """The mean of each name's sets; the same at the baselines' number of images, where that is another; baselines."""
    names, n = list(dict.fromkeys(row["framework"] for row in rows)), found["baselines"]["n"]
    scale_of = {output["metric"]: output["scale"] for output in found["metrics"]}
    again = names if n and _cut(found) else []
    table = _table([*names, *(f"{name}\nn = {n:,}" for name in again)], found)
    for metric in shown:
        own = [row for row in rows if row["metric"] == metric]
        of = {name: [row for row in own if row["framework"] == name] for name in names}
        cells = [_typical(of[name], scale_of[metric]) for name in names]
        cells += [_plain(_mean([row["matched"] for row in of[name]], scale_of[metric])) for name in again]
        if n:
            cells += [_plain(own[0][key]) for key in ("real_baseline", "noise_baseline")]
        table.add_row(*map(Text, (own[0]["label"], _better(own[0]), *cells)))
    return table


def _cut(found: Row) -> bool:
    """Whether there are too few real images for baselines at the number of samples."""
    return found["baselines"]["n"] < found["sets"][0]["n"]


def _mean(values: list[float | None], scale: scales.Scale) -> float | None:
    known = [value for value in values if value is not None]
    return scales.mean(scale, known).point if known else None


def _typical(rows: list[Row], scale: scales.Scale) -> str:
    """The mean of several sets on the metric's scale and their standard deviation; one set's value with its error."""
    values = [row["value"] for row in rows if row["value"] is not None]
    mean = _mean(values, scale)
    if mean is None:
        return "–"
    return with_error(mean, rows[0]["error"] if len(rows) == 1 else statistics.stdev(values) if values[1:] else None)


def _better(row: Row) -> str:
    return "" if row["better"] == "none" else row["better"]


def _plain(value: float | None) -> str:
    return "–" if value is None else number(value, 3)


def with_error(value: float, error: float | None) -> str:
    """A value with its standard error, both with as many decimals as give the error two digits: "12.3 ± 0.41"."""
    if not error:
        return number(value, 3)
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if decimals > 6:
        return f"{number(value, 3)} ± {number(error, 2)}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _legend(console: Console, found: Row) -> None:
    """What the columns are."""
    n, rest, one = found["baselines"]["n"], found["baselines"]["n_real"], len(found["sets"]) == 1
    seeds = len({row["seed"] for row in found["sets"]})
    lines = ["± is a standard error over images." if seeds == 1 else "± is the standard deviation of a name's sets."]
    if n:
        what = f"{n:,} samples, " if one or _cut(found) else ""
        lines.append(f"At n = {n:,}: {what}{n:,} other real images and noise, each against {rest:,} real images.")
        if what:
            lines.append("Scores depend on n, so compare only these columns with each other.")
    console.print(" ".join(lines), highlight=False, markup=False)


def _remarks(rows: list[Row], sets: int) -> list[str]:
    """What metrics say themselves of the values of every set."""
    said = Counter((row["label"], row["note"]) for row in rows if row["note"])
    return [f"{label}: {note}" for (label, note), times in said.items() if times == sets]


def _missing(console: Console, rows: list[Row]) -> None:
    """What has no value in some set, by reason."""
    reasons: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["value"] is None:
            reasons.setdefault(row["undefined"], {})[row["label"]] = None
    for reason, labels in reasons.items():
        console.print(f"Not measured: {', '.join(labels)} ({reason})", highlight=False, markup=False)
