"""A study that varies single sources of randomness, from its file to the sentence: stopped, resumed, extended."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import triptych as package
from triptych import store
from triptych.claims.results import open_results
from triptych.directory import RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.spec import ScoringSpec, StudySpec, checked
from triptych.study import runner, worker
from triptych.study.costing import preview
from triptych.study.observer import Silent
from triptych.study.plan import all_runs, groups, runs_of, varied_runs
from triptych.study.rescoring import score_study
from triptych.study.scatter import scatter

pytestmark = pytest.mark.slow(minutes=1)

Command = Callable[..., Any]
SOURCES = ["initial", "order", "noise", "samples", "split"]


def study_of(digits_file: Path, vary: list[str], **other: Any) -> StudySpec:
    values: dict[str, Any] = {
        "name": "varied",
        "frameworks": ["vae"],
        "seeds": 3,
        "vary": vary,
        "data": {"source": "arrays", "path": str(digits_file), "size": 16},
        "network": {"width": 0.03, "latent": 4},
        "training": {"images": 64, "batch_size": 16},
        "scoring": {"images": 50, "metrics": ["frechet", "pixel_error"], "features": ["pixels"]},
        "execution": {"executor": "inline:EXECUTOR", "workers": 1, "threads": 1},
    }
    return checked(StudySpec, {**values, **other}, "study.toml")


def written(folder: Path) -> dict[str, int]:
    """When the weights of every run were written."""
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("runs/*/weights/*.safetensors")}


class StopsAtScoring(Silent):
    """Asks to stop as soon as a run that scores the weights of another begins."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    @contextmanager
    def computing(self, costs: Any) -> Iterator[Any]:
        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "started" and "-samples" in event["id"]:
                self.asked.set()

        yield on_event, self.asked.is_set


@pytest.fixture(scope="module")
def folder(digits_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study without varied sources that was then given all, stopped before its last runs, and resumed."""
    folder = tmp_path_factory.mktemp("scatter") / "study"
    runner.run_study(study_of(digits_file, []), folder)
    before = written(folder)
    assert runner.run_study(study_of(digits_file, SOURCES), folder, StopsAtScoring()).is_stopped
    states = {row["run"]: row["state"] for row in runner.status(folder)}
    assert {state for run, state in states.items() if "-samples" not in run} == {"finished"}
    assert "missing" in states.values()
    assert runner.run_study(study_of(digits_file, SOURCES), folder).failed == []
    assert before.items() <= written(folder).items()  # what was trained was not trained again
    return folder


def test_each_source_has_a_run_per_seed_and_all_share_the_first(digits_file: Path):
    study = study_of(digits_file, SOURCES[:4], seeds=[4, 0, 7])
    found = groups(study, "vae", {})
    assert list(found) == ["all", *SOURCES[:4]]
    assert [(run.seed, run.seeds) for run in found["all"]] == [(4, {}), (0, {}), (7, {})]
    for source in SOURCES[:4]:
        assert [(run.seed, run.seeds) for run in found[source]] == [(4, {}), (4, {source: 0}), (4, {source: 7})]
    assert runs_of(study) == found["all"]
    assert len(varied_runs(study)) == 4 * 2


def test_where_the_split_varies_it_varies_in_the_total_too_but_not_in_ordinary_runs(digits_file: Path):
    study = study_of(digits_file, ["split"])
    assert [(run.seed, run.seeds) for run in groups(study, "vae", {})["all"]] == [
        (0, {}),
        (1, {"split": 1}),
        (2, {"split": 2}),
    ]
    assert all(not run.seeds for run in runs_of(study))
    assert len({run.id for run in all_runs(study)}) == 3 + 4


def test_runs_that_only_score_cost_no_training(digits_file: Path):
    with_samples, without = (preview(study_of(digits_file, vary)) for vary in (["samples"], []))
    assert len(with_samples.runs) == len(without.runs) + 2
    assert with_samples.estimate().flops == without.estimate().flops


def test_shares_are_those_of_the_scores_in_the_run_directories(folder: Path):
    study = StudyDirectory(folder).load()
    records = {(row["framework"], row["metric"]): row for row in scatter(StudyDirectory(folder))}
    assert list(records.values()) == store.read_json(StudyDirectory(folder).variance_json)
    record = records["vae", "frechet_distance"]
    assert [source["source"] for source in record["sources"]] == SOURCES
    for group, runs in groups(study, "vae", {}).items():
        scored = [StudyDirectory(folder).run(run.id).read().scores["frechet_distance"]["value"] for run in runs]
        assert record["values"][group] == scored
        assert len(set(scored)) == 3, group
    assert "comes from" in record["sentence"]
    error = {source["source"]: source for source in records["vae", "reconstruction_mse"]["sources"]}
    assert error["samples"]["is_same"]
    assert not error["noise"]["is_same"]


def test_other_evaluation_samples_are_of_the_very_same_weights(folder: Path):
    base, *others = [StudyDirectory(folder).run(run.id) for run in groups(study_at(folder), "vae", {})["samples"]]
    for run in others:
        assert {p.name: p.read_bytes() for p in run.weights.iterdir()} == {
            p.name: p.read_bytes() for p in base.weights.iterdir()
        }
        assert run.is_complete()


def study_at(folder: Path) -> StudySpec:
    return StudyDirectory(folder).load()


def test_verdicts_scores_claims_and_the_api_know_ordinary_runs_alone(folder: Path):
    ordinary = {run.id for run in runs_of(study_at(folder))}
    assert {line["run"] for line in store.read_lines(StudyDirectory(folder).scores_jsonl)} == ordinary
    assert {run.id for run in open_results(folder).runs} == ordinary
    assert {run.spec.id for run in package.open_study(folder).runs} == ordinary


def test_the_report_has_a_section_and_no_varied_run_among_its_seeds(folder: Path):
    page = StudyDirectory(folder).report_html.read_text(encoding="utf-8")
    assert 'id="scatter"' in page
    assert scatter(StudyDirectory(folder))[0]["sentence"].split(",")[0] in page
    for run in varied_runs(study_at(folder)):
        assert run.id not in page
    runner.summarise(folder, figures=True)
    assert (StudyDirectory(folder).figures / "shares.pdf").stat().st_size > 1000


def test_the_command_prints_the_sentence_or_json(folder: Path, triptych: Command):
    done = triptych("scatter", folder)
    assert done.returncode == 0, done.stderr
    assert "Of the variance of Fréchet distance between runs of VAE, " in done.stdout
    assert "need not add up to 100 %" in done.stdout
    records = json.loads(triptych("scatter", folder, "--json").stdout)
    assert records == store.read_json(StudyDirectory(folder).variance_json)
    wrong = triptych("scatter", folder, "--metrics", "frechet_distanse")
    assert wrong.returncode == 2
    assert "Did you mean 'frechet_distance'" in wrong.stderr


def test_all_runs_are_scored_again(folder: Path):
    outcome = score_study(folder, ScoringSpec(metrics=("kid",)))
    assert outcome.failed == []
    assert {row["metric"] for row in scatter(StudyDirectory(folder))} >= {"frechet_distance", "kid"}


def test_sources_may_be_added_but_not_taken_away(folder: Path, digits_file: Path):
    with pytest.raises(InputError, match=r"holds another study, .*vary \(.*there, \['order'\] here\)"):
        runner.check(folder, study_of(digits_file, ["order"]))


def test_a_study_that_varies_nothing_is_told_how_to(digits_file: Path, tmp_path: Path):
    runner.prepare(tmp_path / "study", study_of(digits_file, []))
    with pytest.raises(InputError, match=r'varies no single source.*vary = \["initial", "order"\]'):
        scatter(StudyDirectory(tmp_path / "study"))


def test_before_any_run_is_complete_nothing_is_said(digits_file: Path, tmp_path: Path):
    runner.prepare(tmp_path / "study", study_of(digits_file, ["order"]))
    (record, *_) = scatter(StudyDirectory(tmp_path / "study"))
    assert record["undefined"] == "3 of 3 runs without this score"
    assert record["notes"] == ["5 of 5 runs not complete"]


def test_weights_of_a_run_that_is_not_trained_cannot_be_scored(tmp_path: Path):
    study = checked(StudySpec, {"frameworks": ["vae"], "vary": ["samples"]}, "study.toml")
    base, other, _ = groups(study, "vae", {})["samples"]
    files = RunDirectory(tmp_path / "runs" / other.id)
    with pytest.raises(InputError, match=f"scores the weights of the run {base.id}, which is not trained"):
        worker.adopt(files, other, str(tmp_path / "runs" / base.id))
    assert not files.path.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vary": ["intial"]}, "vary.0: unknown source of randomness. Did you mean 'initial'"),
        ({"vary": ["order", "order"]}, "vary: name each source once"),
        ({"vary": ["order"], "seeds": 2}, "vary: at least 3 seeds are needed, and the study has 2"),
        ({"vary": ["order"], "seeds": "3..8"}, "vary: needs a fixed number of seeds"),
    ],
)
def test_what_is_wrong_is_said_in_one_message(values: dict[str, Any], message: str):
    with pytest.raises(InputError) as refused:
        checked(StudySpec, {"frameworks": ["vae"], **values}, "study.toml")
    assert message in str(refused.value)
    assert str(refused.value).count("vary") == 1
