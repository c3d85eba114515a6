"""A seed of its own for one source of randomness changes what that source draws, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from framework_cases import TINY, dataset_of, every_framework, seen, spec_of
from triptych.data import dataset
from triptych.data.dataset import Dataset
from triptych.directory import RunDirectory
from triptych.evaluation.run import Run
from triptych.spec import RunSpec
from triptych.training.loop import Training, train
from triptych.training.state import digest

TRAINED = ("initial", "order", "noise")


@pytest.fixture(scope="module")
def data(prepared: Path) -> Dataset:
    return dataset.open(prepared)


def spec(name: str, **seeds: int) -> RunSpec:
    training: dict[str, Any] = {"images": 48, "batch_size": 16, "translate": 0.1}
    return spec_of(name, seeds=seeds, training=training)


def drawn(folder: Path, spec: RunSpec, data: Dataset) -> dict[str, Any]:
    """What a run draws from each source, as it is seen from outside, and the weights that it comes to."""
    training = Training(folder, spec, data)
    initial = {label: digest(net) for label, net in training.state.nets.items()}
    plain = Training(
        folder, spec.model_copy(update={"training": spec.training.model_copy(update={"translate": 0.0})}), data
    )
    order = torch.cat([examples.images for examples in plain.next_examples()])
    noise = seen(training.state, spec, training.state.framework.active_players(0.0)).noise("z")
    shifted = torch.cat([examples.images for examples in training.next_examples()])
    while training.state.step < training.steps:
        training.play()
    weights = {label: digest(net) for label, net in training.state.nets.items()}
    return {"initial": initial, "order": order, "noise": noise, "shifted": shifted, "weights": weights}


def same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@every_framework
@pytest.mark.parametrize("source", TRAINED)
def test_one_source_alone_is_varied(name: str, source: str, data: Dataset, tmp_path: Path):
    base, varied = (drawn(tmp_path, spec(name, **seeds), data) for seeds in ({}, {source: 1}))
    for other in TRAINED:
        assert same(base[other], varied[other]) == (other != source), other
    assert same(base["shifted"], varied["shifted"]) == (source == "initial")
    assert base["weights"] != varied["weights"]


@every_framework
def test_a_source_at_the_seed_of_the_run_is_that_of_the_ordinary_run(name: str, data: Dataset, tmp_path: Path):
    base, named = (drawn(tmp_path, spec(name, **seeds), data) for seeds in ({}, dict.fromkeys(TRAINED, 0)))
    assert all(same(base[what], named[what]) for what in base)


@every_framework
def test_other_evaluation_samples_come_from_the_same_weights(name: str, data: Dataset, tmp_path: Path):
    runs = []
    for folder, seeds in ((tmp_path / "base", {}), (tmp_path / "other", {"samples": 1})):
        train(folder, spec(name, **seeds), data)
        runs.append(Run(folder))
    weights = [{path.name: path.read_bytes() for path in run.weights.iterdir()} for run in runs]
    assert weights[0] == weights[1]
    if "sample" not in runs[0].lacks:
        assert not torch.equal(*(run.sample(4) for run in runs))
        assert torch.equal(*(run.sample(4, seed=5) for run in runs))


@pytest.mark.parametrize("resident", [True, False])
def test_a_split_drawn_anew_moves_images_between_training_and_validation_alone(prepared: Path, resident: bool):
    before = dataset.open(prepared, resident_bytes=2**31 if resident else 0)
    after, again, other = (dataset.redrawn(before, seed) for seed in (1, 1, 2))

    def pixels(split: dataset.Split) -> list[bytes]:
        return [image.numpy().tobytes() for image in split.images(torch.arange(len(split)))]

    def both(data: Dataset) -> list[bytes]:
        return sorted(pixels(data.train) + pixels(data.validation))

    assert (len(after.train), len(after.validation)) == (len(before.train), len(before.validation))
    assert both(after) == both(before)
    assert pixels(after.test) == pixels(before.test)
    assert set(pixels(after.train)) != set(pixels(before.train))
    assert pixels(after.train) == pixels(again.train) != pixels(other.train)
    assert after.fingerprint == again.fingerprint
    assert len({before.fingerprint, after.fingerprint, other.fingerprint}) == 3
    assert dataset.redrawn(before, None) is before


def test_a_split_is_the_same_in_memory_and_on_disk_and_keeps_labels_with_images(tmp_path: Path):
    images = torch.arange(40, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 16, 16).contiguous()
    labels = torch.arange(40)

    def opened(on_disk: bool) -> Dataset:
        splits = [
            dataset.Split(images[part].numpy() if on_disk else images[part], labels[part], torch.device("cpu"))
            for part in (slice(0, 24), slice(24, 32), slice(32, 40))
        ]
        return dataset_of(splits, classes=40)

    found = [dataset.redrawn(opened(on_disk), 3) for on_disk in (False, True)]
    for data in found:
        for split in (data.train, data.validation):
            assert split.labels is not None
            shown = dataset.to_uint8(split.images(torch.arange(len(split))))[:, 0, 0, 0]
            assert torch.equal(shown.long(), split.labels)
            assert split.pixels.shape == (len(split), 1, 16, 16)
    assert found[0].train.labels is not None and found[1].train.labels is not None
    assert torch.equal(found[0].train.labels, found[1].train.labels)


def test_a_certificate_names_the_order_that_a_run_has(data: Dataset, tmp_path: Path):
    names = [Training(tmp_path, spec("vae", **seeds), data).certificate for seeds in ({}, {"order": 1}, {"noise": 1})]
    assert names[0]["data_order"] == names[2]["data_order"] != names[1]["data_order"]
    assert names[0]["initial_weights"] == names[1]["initial_weights"]


def test_a_run_of_its_own_seeds_goes_on_from_where_it_was_stopped(data: Dataset, tmp_path: Path):
    varied = spec("vaegan", order=1, noise=2)
    train(tmp_path / "whole", varied, data)
    asked = iter([False, True])
    assert not train(tmp_path / "parts", varied, data, should_stop=lambda: next(asked, False))
    assert train(tmp_path / "parts", varied, data)
    one, other = (RunDirectory(tmp_path / name) for name in ("whole", "parts"))
    for path in one.weights.iterdir():
        assert path.read_bytes() == (other.weights / path.name).read_bytes()


def test_ordinary_runs_keep_their_specification_and_so_their_names():
    plain = RunSpec.model_validate({"framework": "vae", **TINY})
    assert "seeds" not in plain.model_dump(mode="json")
    assert spec_of("vae", seeds={"order": 1}).id.startswith("vae-s0-order1-")
