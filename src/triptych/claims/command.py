"""`triptych claims FILE DIR`: claims of your own, judged by the runs of a study or of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from triptych import store
from triptych.claims import engine
from triptych.claims.engine import Claim
from triptych.claims.judging import Part
from triptych.claims.results import open_results
from triptych.text import number

CLAIMS = "claims.json"
COLOURS = {"supported": "green", "contradicted": "red", "undecided": "yellow", "undefined": "dim", "measured": "cyan"}


def run(console: Console, file: Path, folder: Path) -> list[Claim]:
    """Judge the claims of a file, print them as a table and write claims.json into the directory.

    Raises InputError, before anything is written, for a bad file and for what the studies cannot answer.
    """
    claims = engine.load(file)
    results = open_results(folder)
    engine.check(claims, results.studies, str(file))
    judged = engine.judge(claims, results)
    show(console, judged)
    store.write(folder / CLAIMS, store.to_json(engine.records(judged)))
    console.print(f"Records: {folder / CLAIMS}", markup=False, soft_wrap=True)
    return judged


def show(console: Console, claims: Sequence[Claim]) -> None:
    """Each claim with its verdict, a table of its parts, and what it means."""
    for claim in claims:
        console.print(f"{claim.id} {claim.verdict}: {claim.statement}", style="bold", markup=False, highlight=False)
        console.print(_table(claim.parts))
        text = f"{claim.summary} {claim.meaning}".strip()
        console.print(f"{text}\n", markup=False, highlight=False)


def _table(parts: Sequence[Part]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    table.add_column("part", no_wrap=True)
    table.add_column("comparison", ratio=3)
    table.add_column("estimate (95 % interval)", ratio=2)
    for name in ("seeds", "p", "verdict"):
        table.add_column(name, no_wrap=True)
    for part in parts:
        interval = "" if part.low is None else f" ({number(part.low, 3)} to {number(part.high, 3)})"
        estimate = "–" if part.estimate is None else f"{number(part.estimate, 3)}{interval} {part.unit}".strip()
        p = "" if part.p is None else "< 0.001" if part.p < 0.001 else f"{part.p:.2g}"
        verdict = f"[{COLOURS[part.verdict]}]{part.verdict}[/]"
        table.add_row(part.id, escape(part.statement), escape(estimate), str(part.n), p, verdict)
    return table
