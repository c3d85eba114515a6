"""Weights kept during training, and what is measured over its course."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from triptych import store
from triptych.data import dataset
from triptych.errors import InputError
from triptych.evaluation import features, metrics
from triptych.evaluation.metrics.frechet import corrected
from triptych.evaluation.observations import Observations
from triptych.evaluation.run import Run
from triptych.evaluation.scoring import observe
from triptych.spec import RunSpec
from triptych.training import loop

pytestmark = pytest.mark.slow


def spec_of(snapshots: int, images: int = 160) -> RunSpec:
    return RunSpec.model_validate(
        {
            "framework": "vae",
            "data": {"size": 16},
            "network": {"width": 0.03, "latent": 4},
            "training": {"images": images, "batch_size": 16, "snapshots": snapshots},
        }
    )


@pytest.fixture(scope="module")
def data(prepared):
    return dataset.open(prepared)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("kept") / "run"
    assert loop.train(folder, spec_of(4), data)
    return Run(folder)


def test_weights_are_kept_at_evenly_spaced_steps_the_last_being_the_end(run: Run):
    # Ten steps in four parts: 2.5, 5, 7.5 and 10, each at the first step that has passed it.
    assert run.snapshots == [48, 80, 128, 160]
    for name in ("enc", "dec"):
        last = run.folder / "snapshots" / "000000160" / f"{name}.safetensors"
        assert last.read_bytes() == (run.folder / "weights" / f"{name}.safetensors").read_bytes()


def test_a_run_at_a_moment_is_the_run_that_would_have_ended_there(run: Run, data, tmp_path: Path):
    folder = tmp_path / "short"
    assert loop.train(folder, spec_of(0, images=80), data)
    assert torch.equal(run.at(80).sample(8), Run(folder).sample(8))
    assert not torch.equal(run.at(80).sample(8), run.sample(8))


def test_without_snapshots_nothing_is_kept_and_the_runs_name_is_as_before(run: Run, data, tmp_path: Path):
    assert "snapshots" not in spec_of(0).model_dump()["training"] and spec_of(0).id != spec_of(4).id
    folder = tmp_path / "plain"
    assert loop.train(folder, spec_of(0), data)
    assert Run(folder).snapshots == [] and not (folder / "snapshots").exists()
    weights = [(f / "weights" / "dec.safetensors").read_bytes() for f in (folder, run.folder)]
    assert weights[0] == weights[1]


def test_a_moment_that_was_not_kept_is_refused_with_those_that_were(run: Run):
    with pytest.raises(InputError, match=r"no weights were kept then .*64.* Kept: 48, 80, 128, 160"):
        run.at(64)


def test_a_resumed_run_keeps_the_same_snapshots(run: Run, data, tmp_path: Path):
    stops = iter([False, False, False, True])
    assert not loop.train(tmp_path / "run", spec_of(4), data, should_stop=lambda: next(stops))
    assert loop.train(tmp_path / "run", spec_of(4), data)
    for path in sorted((run.folder / "snapshots").rglob("*.safetensors")):
        assert (tmp_path / "run" / path.relative_to(run.folder)).read_bytes() == path.read_bytes()


def test_convergence_is_the_mean_score_over_the_moments_and_its_curve_the_scores(run: Run, data, tmp_path: Path):
    (extractor, *_) = features.choose(("pixels",), data, tmp_path)
    observed = observe(run, data, 60, extractor)
    assert sorted(observed.history) == run.snapshots
    rows = {
        row["metric"]: row
        for row in metrics.score(observed, metrics.load(["convergence"]), options={"convergence": {"images": 50}})
    }
    row = rows["frechet_convergence"]
    expected = [
        corrected(observed.features("real"), extractor(run.at(images).sample(50))).value for images in run.snapshots
    ]
    assert row["curve"] == [
        [images, pytest.approx(value)] for images, value in zip(run.snapshots, expected, strict=True)
    ]
    assert row["value"] == pytest.approx(np.mean(expected)) and row["n"] == 50
    some = observed.real[observed.some(50)]
    errors = [float(((run.at(i).reconstruct(some) - some).double() / 2).square().mean()) for i in run.snapshots]
    assert [y for _, y in rows["mse_convergence"]["curve"]] == pytest.approx(errors)


def test_the_networks_of_one_moment_at_a_time_are_in_memory(run: Run, data, tmp_path: Path, monkeypatch):
    (extractor, *_) = features.choose(("pixels",), data, tmp_path)
    at, alive = Run.at, []

    def counted(self: Run, images: int) -> Run:
        earlier = at(self, images)
        alive.append(weakref.ref(earlier))
        assert sum(each() is not None for each in alive) == 1, "an earlier moment is still open"
        return earlier

    monkeypatch.setattr(Run, "at", counted)
    observed = observe(run, data, 60, extractor)
    assert len(observed.history) == 4 and not alive, "nothing is opened before a metric asks"
    (*_, row) = metrics.score(observed, metrics.load(["convergence"]), options={"convergence": {"images": 50}})
    assert len(row["curve"]) == 4 and len(alive) == 8  # two outputs


def test_without_snapshots_convergence_says_what_it_takes(data, tmp_path: Path):
    (extractor, *_) = features.choose(("pixels",), data, tmp_path)
    real = data.test.images(torch.arange(60))
    rows = metrics.score(Observations(real, lambda n: real[:n], extractor), metrics.load(["convergence"]))
    assert {row["undefined"] for row in rows} == {"no weights were kept during training (training.snapshots)"}


def test_validation_frechet_is_the_distance_to_validation_images(data, tmp_path: Path):
    (extractor, *_) = features.choose(("pixels",), data, tmp_path)
    real, samples = data.test.images(torch.arange(60)), data.train.images(torch.arange(60))
    others = data.validation.images(torch.arange(60))
    observed = Observations(
        real=real, sample=lambda n: samples[:n], extractor=extractor, validation=lambda most: (others[:most], None)
    )
    (row,) = metrics.score(observed, metrics.load(["validation_frechet"]))
    assert row["value"] == pytest.approx(corrected(extractor(others), extractor(samples)).value)
    assert row["value"] != pytest.approx(corrected(extractor(real), extractor(samples)).value)


def test_the_manifest_holds_the_snapshots(run: Run):
    run.files.commit()
    files = store.read_json(run.folder / store.MANIFEST)["files"]
    assert "snapshots/000000080/dec.safetensors" in files
