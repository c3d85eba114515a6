"""Run the paper's reproduction: four studies in one directory, then all claims judged and the pages written.

Each study is an ordinary one, run as `triptych run` does it, and can be reported by itself. Complete runs are not
repeated, and a complete study is skipped. Conclusions are drawn from files alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from triptych import store
from triptych.claims import engine
from triptych.claims.engine import Claim, ClaimSpec
from triptych.claims.results import open_results
from triptych.directory import LOCK, ReproductionDirectory, RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.papers.vae_vs_gan_vs_vaegan import content, designs, page, page_text
from triptych.papers.vae_vs_gan_vs_vaegan.designs import NAMES, SCALES, Scale, studies
from triptych.plugins import suggest
from triptych.spec import RunSpec, StudySpec
from triptych.study import runner
from triptych.study.costing import Estimate, preview
from triptych.study.plan import runs_of
from triptych.terminal import running
from triptych.text import count, duration, number

ABOUT = {
    "matched": "the frameworks under matched conditions",
    "rates": "the same at a quarter and four times the rate",
    "as_published": "the paper's own trainers",
    "ablation": "the paper's own trainers, one quirk fixed at a time, or left in alone",
}


@dataclass(frozen=True)
class PlannedStudy:
    """One of the four studies in its directory."""

    name: str
    spec: StudySpec
    directory: StudyDirectory
    runs: list[RunSpec]

    @cached_property
    def left(self) -> list[RunSpec]:
        """The runs that were not complete when this was first asked, since it takes a while to check all files."""
        return [run for run in self.runs if not self.directory.run(run.id).is_complete()]

    @property
    def is_concluded(self) -> bool:
        """Whether nothing is left to do; the report, written last, is removed before a run starts."""
        return not self.left and self.directory.report_html.exists()


def reproduce(
    console: Console,
    scale: str,
    seeds: int | None = None,
    out: Path | None = None,
    claims: Path | None = None,
    docs: Path | None = None,
    execution: dict[str, Any] | None = None,
    only_plan: bool = False,
) -> int:
    """Run what is missing of the four studies, judge the claims, and write the pages; the exit code.

    `seeds` are those of every study, by default the scale's own; `claims` is a file of claims in place of the paper's;
    `docs` a second folder for the page in Markdown and its pictures. Raises InputError, before anything is written,
    for what cannot be run, and for claims that these studies could not answer.
    """
    chosen = scale_of(scale, seeds)
    specs = {name: _executed(spec, execution or {}) for name, spec in studies(chosen).items()}
    tested = engine.load(claims or designs.CLAIMS)
    engine.check(tested, specs, str(claims or designs.CLAIMS.name))
    directory = ReproductionDirectory(out or Path("results") / f"paper-{scale}")
    check_free(directory, specs)
    if docs is not None:
        check_path(docs, "--docs")
    try:
        planned = [
            PlannedStudy(name=name, spec=spec, directory=directory.study(name), runs=runs_of(spec))
            for name, spec in specs.items()
        ]
        console.print(chosen.sentence, markup=False, highlight=False)
        say_cost(console, planned)
        if only_plan:
            return 0
        with runner.study_lock(directory.path):
            failed = run(console, planned)
            if failed is not None:
                return conclude(console, tested, directory, docs, failed)
    except KeyboardInterrupt:  # an interrupted run continues from its last checkpoint
        pass
    return running.stopped(console, directory.path)


def scale_of(name: str, seeds: int | None) -> Scale:
    """A scale by its name, with another number of seeds if that is tested for."""
    if name not in SCALES:
        raise InputError("unknown scale", where="--scale", value=name, hint=suggest(name, SCALES))
    return SCALES[name] if seeds is None else replace(SCALES[name], seeds=seeds)


def _executed(spec: StudySpec, execution: dict[str, Any]) -> StudySpec:
    own = {key: value for key, value in execution.items() if value is not None}
    return spec.model_copy(update={"execution": spec.execution.model_copy(update=own)})


def check_path(folder: Path, option: str) -> None:
    """Raise InputError for a directory that is a file or lies below one."""
    for path in (folder, *folder.parents):
        if path.exists():
            if not path.is_dir():
                raise InputError("is a file, not a directory", where=str(path), hint=f"Choose another {option}.")
            return


def check_free(directory: ReproductionDirectory, specs: dict[str, StudySpec]) -> None:
    """Raise InputError, and touch nothing, if the directory holds something else than these studies, or if a symbolic
    link in it leads elsewhere. The studies' own directories may be links.
    """
    folder = directory.path
    check_path(folder, "--out")
    inside = {path.name for path in folder.iterdir()} if folder.exists() else set()
    begun = any(directory.study(name).study_toml.exists() for name in specs)
    if not begun and inside - {LOCK, *specs}:
        raise InputError("holds something else than a reproduction", where=str(folder), hint="Choose another --out.")
    for path in (folder / name for name in sorted(inside - specs.keys())):
        store.refuse_link(path)
        store.refuse_links(path)
    for name, spec in specs.items():
        runner.check(directory.study(name).path, spec)


def say_cost(console: Console, planned: list[PlannedStudy]) -> None:
    """What is left of each study and of all together, and what it will cost."""
    costs: list[Estimate] = []
    for study in planned:
        runs, left = len(study.runs), len(study.left)
        said = "all done"
        if left:
            costs.append(preview(study.spec).estimate(study.left))
            said = f"about {duration(costs[-1].seconds)} of training"
        done = f", {runs - left} of them done; " if 0 < left < runs else "; " if left else ", "
        line = f"  {study.name}, {ABOUT[study.name]}: {count(runs, 'run')}{done}{said}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not costs:
        console.print("All runs are done: only the claims are judged again.")
        return
    console.print(
        f"In all {count(sum(len(study.left) for study in planned), 'run')} to go: about "
        f"{duration(sum(e.seconds for e in costs))} of training "
        f"({number(sum(e.flops for e in costs) / 1e12, 3)} TFLOP), then scoring; "
        f"{max(e.memory_bytes for e in costs) / 2**30:.1f} GiB of memory, "
        f"{sum(e.disk_bytes for e in costs) / 2**30:.1f} GiB of disk",
        highlight=False,
        soft_wrap=True,
    )


def run(console: Console, planned: list[PlannedStudy]) -> list[RunDirectory] | None:
    """Run each study to its end, one after another; the directories of the failed runs, None when stopped."""
    failed: list[RunDirectory] = []
    for place, study in enumerate(planned, 1):
        if study.is_concluded:
            continue
        console.print(f"Study {place} of {len(planned)}: {study.name}, {ABOUT[study.name]}", style="bold")
        if study.left:
            study.directory.report_html.unlink(missing_ok=True)
        observer = running.Terminal(console, show_plan=False)
        outcome = runner.run_study(study.spec, study.directory.path, observer)
        if outcome.is_stopped:
            return None
        failed += outcome.failed
    return failed


def conclude(
    console: Console,
    tested: list[ClaimSpec],
    directory: ReproductionDirectory,
    docs: Path | None,
    failed: list[RunDirectory],
) -> int:
    """Judge the claims by the complete runs, and write claims.json and the pages; the exit code."""
    console.print("Judging the claims ...")
    results = open_results(directory.path, NAMES)
    judged = engine.judge_claims(tested, results)
    store.write(directory.claims_json, store.to_json(records(judged)))
    report = page.write(results, judged, directory.path, docs)
    for claim in judged:
        console.print(f"{claim.id} {claim.verdict}: {claim.summary}", markup=False, highlight=False, soft_wrap=True)
    if caution := page_text.rehearsal(content.scale_of(results)):
        console.print(caution, style="yellow", markup=False, highlight=False, soft_wrap=True)
    running.failures(console, failed)
    if failed:
        are = "is" if len(failed) == 1 else "are"
        console.print(f"{count(len(failed), 'run')} {are} missing from the report; run the same command to try again.")
    console.print(f"Report: {report}", markup=False, soft_wrap=True)
    return running.FAILED if failed else 0


def records(judged: list[Claim]) -> list[dict[str, Any]]:
    """The content of claims.json, with the verdict on the as-published parts as `claim_published`."""
    rows = engine.records(judged)
    for row in rows:
        row["claim_published"] = row.pop("claim_others").get("as published")
    return rows
