"""Scoring anew: what is added is added to every run, what stands stays, and what cannot be mixed is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import triptych as package
from triptych import store
from triptych.errors import InputError
from triptych.spec import ScoringSpec, load_study
from triptych.study import rescoring, runner

pytestmark = pytest.mark.slow

STUDY = """
frameworks = ["vae", "gan"]
seeds = 1
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 320, batch_size = 32, log_images = 320 }}
scoring = {{ images = 100, metrics = ["frechet", "pixel_error"] }}
execution = {{ device = "cpu", workers = 1, threads = 1 }}
"""


@pytest.fixture(scope="module")
def finished(digits_file, triptych, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    (folder / "study.toml").write_text(STUDY.format(data=digits_file))
    done = triptych("run", folder / "study.toml", "--out", folder / "out")
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "out"


@pytest.fixture
def study(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def lines(study: Path) -> dict[tuple[str, str], dict]:
    return {(line["framework"], line["metric"]): line for line in store.read_lines(study / "scores.jsonl")}


def test_every_score_stands_between_both_baselines_with_its_error(finished):
    found = lines(finished)
    for framework in ("vae", "gan"):
        line = found[framework, "frechet_distance"]
        assert 0 < line["real_baseline"] < line["noise_baseline"]
        assert line["error"] > 0 and line["n"] == 100
    assert found["vae", "reconstruction_mse"]["real_baseline"] == 0
    assert found["gan", "reconstruction_mse"]["undefined"] == "no encoder"
    spaces = {line["features"].partition("@")[0] for line in found.values() if line["features"]}
    assert spaces == {"pixels", "random"}  # without labels
    assert found["vae", "frechet_distance@random"]["features"].startswith("random@")


def test_metrics_join_those_there_are_and_these_stay(study, triptych):
    before = lines(study)
    done = triptych("score", study, "--metrics", "sharpness")
    assert (done.returncode, done.stderr) == (0, "")
    after = lines(study)
    assert {key: after[key] for key in before} == before
    assert {metric for _, metric in after.keys() - before.keys()} == {
        "sharpness",
        "sharpness_gap",
        "reconstruction_sharpness",
        "reconstruction_sharpness_gap",
    }
    assert load_study(study / "study.toml").scoring.metrics == ("frechet", "pixel_error", "sharpness")
    assert all(store.is_complete(run) for run in (study / "runs").iterdir())
    again = triptych("run", study / "study.toml")  # which has nothing left to do
    assert again.returncode == 0 and lines(study) == after


def test_a_number_of_images_changes_all_scores(study):
    before = lines(study)
    package.open_study(study).score(images=60)
    after = lines(study)
    assert after.keys() == before.keys() and {line["n"] for line in after.values()} == {60}
    assert load_study(study / "study.toml").scoring.images == 60


def test_one_run_can_be_scored_but_not_in_another_way(study, triptych):
    run = next((study / "runs").glob("vae-*"))
    done = triptych("score", run, "--metrics", "frechet")
    assert done.returncode == 0 and "frechet_distance" in done.stdout and "noise" in done.stdout
    before = lines(study)
    refused = triptych("score", run, "--metrics", "sharpness")
    assert refused.returncode == 2 and "Score the whole study" in refused.stderr
    assert lines(study) == before and all(store.is_complete(each) for each in (study / "runs").iterdir())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"metrics": ["sharpnes"]}, "Did you mean 'sharpness'"),
        ({"features": ["pixel"]}, "Did you mean 'pixels'"),
        ({"images": 10}, "greater than or equal to 50"),
        ({"features": ["classifier"]}, "label"),
        ({"features": ["random"], "metrics": ["pixel_error"]}, "further feature spaces"),
    ],
)
def test_what_cannot_be_scored_is_said_and_nothing_is_touched(study, asked, said):
    before = {path: path.read_bytes() for path in study.rglob("*.json*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        package.open_study(study).score(**asked)
    assert {path: path.read_bytes() for path in before} == before
    assert all(store.is_complete(run) for run in (study / "runs").iterdir())


def test_a_scoring_cut_short_leaves_no_run_that_passes_for_whole(study):
    """Two runs, one of them scored before the kill: `run` scores the other, and both are whole and alike."""
    opened, jobs = rescoring.rescore(study, ScoringSpec(metrics=("sharpness",)))
    runner.execute(opened, jobs[:1])
    assert sorted(store.is_complete(run) for run in (study / "runs").iterdir()) == [False, True]
    package.run_study(load_study(study / "study.toml"), study)
    found = lines(study)
    assert {found[framework, "sharpness"]["undefined"] for framework in ("vae", "gan")} == {None}
    assert all(store.is_complete(run) for run in (study / "runs").iterdir())


def test_a_study_without_a_trained_run_is_refused_and_keeps_its_scoring(study):
    for run in (study / "runs").iterdir():
        (run / "outcome.json").unlink()
    before = (study / "study.toml").read_bytes()
    with pytest.raises(InputError, match="no finished run"):
        package.open_study(study).score(metrics=["sharpness"])
    assert (study / "study.toml").read_bytes() == before
    assert all((run / "manifest.json").exists() for run in (study / "runs").iterdir())


def test_a_kill_before_the_study_says_so_leaves_no_run_complete_under_a_scoring_that_it_never_had(study, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(*arguments):
        raise Killed

    before = lines(study)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(runner, "write_study", kill)
        rescoring.rescore(study, ScoringSpec(metrics=("sharpness",)))
    assert load_study(study / "study.toml").scoring.metrics == ("frechet", "pixel_error")
    package.run_study(load_study(study / "study.toml"), study)
    assert lines(study) == before and all(store.is_complete(run) for run in (study / "runs").iterdir())
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store, "write", kill)  # of study.toml: by then no run may count as complete
        rescoring.rescore(study, ScoringSpec(metrics=("sharpness",)))
    assert not any(store.is_complete(run) for run in (study / "runs").iterdir())


def test_complete_runs_are_read_once(study, monkeypatch):
    opened = package.open_study(study)
    first = opened.runs
    assert len(first) == 2
    monkeypatch.setattr(store, "is_complete", lambda folder: pytest.fail("all files are read again"))
    assert opened.runs is first


def test_scores_of_another_versions_runs_are_not_thrown_away(study):
    """Where no run is of the study beside it, nothing is concluded: the scores that stand there are somebody's."""
    for run in list((study / "runs").iterdir()):
        run.rename(run.with_name(f"{run.name[:-8]}00000000"))
    before = (study / "scores.jsonl").read_bytes()
    with pytest.raises(InputError, match="older version"):
        runner.summarise(study)
    assert (study / "scores.jsonl").read_bytes() == before


def test_no_study_or_no_finished_run_is_said(tmp_path, triptych):
    done = triptych("score", tmp_path)
    assert done.returncode == 2 and "holds no study" in done.stderr
