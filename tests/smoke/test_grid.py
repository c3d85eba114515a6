"""A grid over a list, from the study file to the report: the list stays a list all the way."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

import triptych
from triptych.report.collect import collect
from triptych.spec import load_study
from triptych.study.observer import Silent

pytestmark = pytest.mark.slow

STUDY = """
frameworks = ["gan", "gan@other"]
seeds = 1
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 64, batch_size = 32, updates = "sequential" }}
scoring = {{ images = 50, metrics = ["sharpness"] }}
execution = {{ device = "cpu", workers = 2, threads = 1 }}
[override."gan@other".options]
adversarial = "non-saturating"
[grid]
"training.order" = [["dis", "dec"], ["dec", "dis"]]
"""


class Notes(Silent):
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.runs = 0

    def prepared(self, study) -> None:
        self.runs = len(study.runs)

    def computing(self, costs):
        return nullcontext((lambda event: self.events.append(event["event"]), lambda: False))


@pytest.fixture(scope="module")
def finished(digits_file, tmp_path_factory) -> tuple[triptych.api.Study, Notes]:
    folder, notes = tmp_path_factory.mktemp("grid"), Notes()
    (folder / "study.toml").write_text(STUDY.format(data=digits_file))
    return triptych.run_study(load_study(folder / "study.toml"), folder / "out", notes), notes


POINTS = [{"training.order": ["dis", "dec"]}, {"training.order": ["dec", "dis"]}]


def test_runs_scores_and_verdicts_carry_the_table(finished):
    study, notes = finished
    assert notes.runs == len(study.runs) == 4 and notes.events.count("finished") == 4
    rows = [json.loads(line) for line in (study.folder / "scores.jsonl").read_text().splitlines()]
    answers = json.loads((study.folder / "verdicts.json").read_text())
    for kept in (rows, answers, [run.spec.model_dump(mode="json") for run in study.runs]):
        assert [point for point in POINTS if point not in [each["condition"] for each in kept]] == []
        assert all(each["condition"] in POINTS for each in kept)
    (sentence, *_) = [a["sentence"] for a in answers if a["condition"] == POINTS[1]]
    assert sentence.startswith('With training.order=["dec", "dis"]: ')


def test_the_report_has_a_part_for_every_point_in_the_order_of_the_grid(finished):
    study, _ = finished
    read = collect(study.folder)
    assert list(read.points.values()) == POINTS and read.problems == []
    assert all(len(read.of(condition)) == 2 for condition in read.conditions)
    page = Path(study.report).read_text(encoding="utf-8")
    places = [page.index(f"training.order={shown}") for shown in ("[&#34;dis", "[&#34;dec")]
    assert places == sorted(places)
