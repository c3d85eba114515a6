"""`triptych report`: the report of one study, or the ranks of frameworks over several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.study import runner
from triptych.terminal import tables

ACROSS = Path("results/across")


def write(console: Console, directories: Sequence[Path], out: Path | None, figures: bool = False) -> None:
    """Judge the scores of one study again and write its report again; of several, write their ranks into `out`.

    With `figures`, those of one study are drawn as PDF, too. Raises InputError for what cannot be reported, for `out`
    with a single study, and for `figures` of several.
    """
    if figures and len(directories) > 1:
        raise InputError("is for a single study", where="--figures", hint="Give one directory.")
    if len(directories) > 1:
        from triptych.report import across  # only here: scipy.stats, which ranks need, takes a second

        page = (out or ACROSS) / across.PAGE
        for row in across.write(directories, page.parent):
            console.print(f"{row['metric']}: {row['sentence']}", markup=False, highlight=False)
    elif out is not None:
        hint = "Leave it out: the report is written into the study's directory."
        raise InputError("is for several studies", where="--out", value=str(out), hint=hint)
    else:
        page = StudyDirectory(directories[0]).report_html
        tables.verdicts(console, runner.summarise(directories[0], figures))
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
