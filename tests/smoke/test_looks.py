"""Seeds that are added look by look: how far a study goes, what resumes it, and what extends it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from triptych import store
from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.spec import StudySpec, checked
from triptych.study import runner
from triptych.study.extending import extension
from triptych.study.observer import Silent

pytestmark = pytest.mark.slow


class Hearing(Silent):
    """Keeps what it hears: the notes, and how often each run was announced as finished."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.finished: Counter[str] = Counter()

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def computing(self, costs: Any) -> Iterator[Any]:
        def on_event(event: dict[str, Any]) -> None:
            self.finished.update([event["id"]] if event["event"] == "finished" else [])

        yield on_event, lambda: False


@pytest.fixture
def study(digits_file: Path) -> StudySpec:
    values = {
        "name": "looking",
        "frameworks": ["vae", "gan"],
        "seeds": 4,
        "looks": [2, 3, 4],
        "data": {"source": "arrays", "path": str(digits_file), "size": 16},
        "network": {"width": 0.03, "latent": 4},
        "training": {"images": 32, "batch_size": 16},
        "scoring": {"images": 50, "metrics": ["frechet"], "features": ["pixels"]},
        "execution": {"executor": "inline:EXECUTOR", "workers": 1, "threads": 1},
    }
    return checked(StudySpec, values, "study.toml")


@pytest.fixture
def decided_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the primary comparisons be decided from a number of seeds on, whatever they are."""

    def decided_from(seeds: int) -> None:
        monkeypatch.setattr(runner, "is_settled", lambda verdicts: max(row["n"] for row in verdicts) >= seeds)

    return decided_from


def seeds_run(folder: Path) -> set[int]:
    return {store.read_json(run.spec_json)["seed"] for run in StudyDirectory(folder).run_directories()}


def judged(folder: Path) -> dict[str, Any]:
    [row] = [row for row in store.read_json(StudyDirectory(folder).verdicts_json) if row["role"] == "primary"]
    return row


def test_a_study_goes_on_while_a_primary_comparison_is_open_and_announces_each_run_once(study, tmp_path, decided_from):
    decided_from(3)
    heard = Hearing()
    outcome = runner.run_study(study, tmp_path / "out", heard)
    assert seeds_run(tmp_path / "out") == {0, 1, 2} and len(outcome.results) == 6
    assert set(heard.finished.values()) == {1} and set(heard.finished) == set(outcome.results)
    assert [note for note in heard.notes if "more seeds" in note] == [
        "Not all primary comparisons are decided by 2 seeds: more seeds are added."
    ]
    assert {row["state"] for row in runner.status(tmp_path / "out")} == {"finished"}
    row = judged(tmp_path / "out")
    assert (row["n"], row["looks"], row["look"]) == (3, [2, 3, 4], 2)


def test_a_planned_look_extends_a_settled_study_and_is_kept_when_it_is_run_again(study, tmp_path, decided_from):
    decided_from(2)
    out = tmp_path / "out"
    runner.run_study(study, out)
    assert seeds_run(out) == {0, 1}
    more = extension(out, 3)
    assert (more.spec, more.folder, more.until, more.note) == (study, out, 3, "")
    with pytest.raises(InputError, match=r"not planned.*5.*One of 2, 3, 4"):
        extension(out, 5)
    with pytest.raises(InputError, match=r"in its own directory.*Leave --out away"):
        extension(out, 3, tmp_path / "elsewhere")

    runner.run_study(study, out, until=3)
    assert (seeds_run(out), judged(out)["n"]) == ({0, 1, 2}, 3)
    before = (out / "verdicts.json").read_bytes()
    heard = Hearing()
    runner.run_study(study, out, heard)
    assert (seeds_run(out), set(heard.finished.values()), len(heard.finished)) == ({0, 1, 2}, {1}, 6)
    assert (out / "verdicts.json").read_bytes() == before
    with pytest.raises(InputError, match=r"has 3 seeds already.*2.*One of 3, 4"):
        extension(out, 2)
    runner.run_study(study, out, until=2)  # as if that were asked for all the same
    assert (seeds_run(out), judged(out)["n"]) == ({0, 1, 2}, 3)


def test_a_look_of_which_runs_are_missing_is_not_judged(study, tmp_path, decided_from):
    """An extension that was stopped: what it has computed stays, and enters no verdict until its look is whole."""
    decided_from(2)
    out = tmp_path / "out"
    runner.run_study(study, out, until=3)
    lost = next(run for run in StudyDirectory(out).run_directories() if store.read_json(run.spec_json)["seed"] == 2)
    (lost.path / "manifest.json").unlink()
    runner.run_study(study, out)
    assert judged(out)["n"] == 2


def test_a_study_without_looks_is_followed_by_a_second_one_that_says_so(study, tmp_path, monkeypatch):
    fixed = study.model_copy(update={"seeds": (0, 1), "looks": ()})
    runner.run_study(fixed, tmp_path / "looking")
    before = {path: path.read_bytes() for path in (tmp_path / "looking").rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path / "looking")
    more = extension(Path("."), 4)
    assert (more.folder, more.spec.seeds, more.until) == (tmp_path / "looking-extended", (2, 3), None)
    assert "have been seen" in more.note and str(more.folder) in more.note
    assert extension(Path("."), 4, tmp_path / "mine").folder == tmp_path / "mine"
    with pytest.raises(InputError, match=r"at least 2 others.*Give 4 or more"):
        extension(Path("."), 3)
    runner.run_study(more.spec, more.folder)
    assert seeds_run(more.folder) == {2, 3}
    assert {path: path.read_bytes() for path in before} == before
    page = (more.folder / "report.html").read_text("utf-8")
    assert "The results of looking had been seen when this study was planned" in page
