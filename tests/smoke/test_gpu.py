"""A run on a GPU, start to scores, beside the same run on the CPU. Skipped where there is no GPU."""

from __future__ import annotations

import json

import pytest
import torch

from triptych import train_run
from triptych.data import dataset
from triptych.evaluation.run import Run
from triptych.evaluation.scoring import score_run
from triptych.spec import ScoringSpec
from triptych.store import read_lines

DEVICE = "cuda:0"

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


@pytest.mark.parametrize("framework", ["vae", "gan", "vaegan"])
def test_trains_and_scores_as_the_cpu_does(framework, tiny_run, prepared, tmp_path):
    spec = tiny_run(framework, training={"images": 64, "log_images": 16})
    runs = {}
    for device in ("cpu", DEVICE):
        data = dataset.open(prepared, device)
        runs[device] = train_run(spec, data, tmp_path / device.replace(":", "-"))

    # The same start, and first steps that differ in the last bits alone.
    here, there = (json.loads((run.folder / "outcome.json").read_text()) for run in runs.values())
    assert there["status"] == "finished" and there["certificate"] == here["certificate"]
    first, other = (read_lines(run.folder / "log.jsonl")[0]["terms"] for run in runs.values())
    assert other == pytest.approx(first, rel=1e-3)

    # One run, scored on either device.
    scoring = ScoringSpec(images=60, metrics=("frechet", "pixel_error"), features=("random",))
    scores = []
    for device in ("cpu", DEVICE):
        folder = runs[DEVICE].folder
        score_run(Run(folder, device), dataset.open(prepared, device), scoring, tmp_path / f"fitted-{len(scores)}")
        scores.append({row["metric"]: row["value"] for row in read_lines(folder / "scores.jsonl")})
    known = {name: value for name, value in scores[0].items() if value is not None}
    assert known and {name: scores[1][name] for name in known} == pytest.approx(known, rel=1e-2, abs=1e-3)
