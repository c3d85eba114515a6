"""`triptych claims FILE DIR`: claims of your own, judged by the runs of a study or of several."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from triptych import store
from triptych.claims import engine
from triptych.claims.engine import Claim
from triptych.claims.results import open_results
from triptych.directory import StudyDirectory
from triptych.terminal import tables


def run(console: Console, file: Path, folder: Path) -> list[Claim]:
    """Judge the claims of a file, print them as a table and write claims.json into the directory.

    Raises InputError, before anything is written, for a bad file and for what the studies cannot answer.
    """
    claims = engine.load(file)
    results = open_results(folder)
    engine.check(claims, results.studies, str(file))
    judged = engine.judge_claims(claims, results)
    tables.claims(console, judged)
    records = StudyDirectory(folder).claims_json
    store.write(records, store.to_json(engine.records(judged)))
    console.print(f"Records: {records}", markup=False, soft_wrap=True)
    return judged
