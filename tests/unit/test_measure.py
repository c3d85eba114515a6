"""`triptych measure`: any program's images against real ones; errors, baselines, conversions, verdicts, messages."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import prdc as naeem
import pytest
import torch
from PIL import Image
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

import triptych
from block_features import blocks
from triptych import cli
from triptych.data.prepare import resize
from triptych.errors import InputError
from triptych.evaluation.features import Extractor
from triptych.evaluation.metrics import Metric, Output, load
from triptych.evaluation.metrics.frechet import frechet_distance
from triptych.measuring import images, jackknife
from triptych.measuring.observed import Part, Pool, two_sets
from triptych.measuring.scores import Baselines
from triptych.rng import stream
from triptych.topics import SAMPLES

BLOCKS = "block_features:EXTRACTOR"
FEW = ["frechet", "kid", "prdc"]


@pytest.fixture(scope="module")
def home(digits: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits, clean and noisy ones as samples, in arrays and in folders."""
    folder, (pixels, labels) = tmp_path_factory.mktemp("measure"), digits
    np.save(folder / "real.npy", pixels[:300])
    np.save(folder / "train.npy", pixels[300:500])
    np.savez(folder / "labelled.npz", images=pixels[:300], labels=labels[:300])
    np.savez(folder / "split.npz", x_train=pixels[300:500], x_test=pixels[:300])
    np.save(folder / "five.npy", pixels[500:505])
    np.save(folder / "same.npy", np.repeat(pixels[500:501], 150, axis=0))
    for seed in range(3):
        for name, spread in (("mild", 10), ("strong", 60)):
            generator = np.random.default_rng(seed)
            chosen = pixels[500 + 10 * seed : 650 + 10 * seed].astype(float)
            noisy = np.clip(chosen + generator.normal(0, spread, chosen.shape), 0, 255).astype(np.uint8)
            np.save(folder / f"{name}{seed}.npy", noisy)
    for name, of in {
        "grey": lambda image: image,
        "colour": lambda image: np.stack([image, image // 2, 255 - image], 2),
        "large": lambda image: np.asarray(Image.fromarray(image).resize((40, 40))),
        "oblong": lambda image: image[:, 4:-4],
    }.items():
        for i, image in enumerate(pixels[500:560]):
            path = folder / name / str(i % 2) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(of(image)).save(path)
    return folder


def measured(home: Path, samples: Any, against: str = "real.npy", **others: Any) -> dict[str, Any]:
    """What Python gives, with paths below `home`, as a table."""

    def path(text: str) -> str:
        return str(home / text)

    given = {k: [path(p) for p in v] for k, v in samples.items()} if isinstance(samples, dict) else path(samples)
    if others.get("train"):
        others["train"] = path(others["train"])
    return triptych.measure(given, path(against), **{"features": [BLOCKS], "metrics": FEW, **others}).to_dict()


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of the first set by metric."""
    return {row["metric"]: row for row in reversed(found["scores"])}


@pytest.fixture
def typed(home, monkeypatch, capfd) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`typed("mild0.npy", "--against", "real.npy")`: the command in this process, in `home`."""

    def typed(*arguments: object, columns: int = 80) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["triptych", "measure", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", str(columns))
        code: int | str | None = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return subprocess.CompletedProcess(sys.argv, int(code or 0), *capfd.readouterr())

    return typed


# values


def features(home: Path, name: str, rows: Any = slice(None)) -> np.ndarray:
    """The features of an array of images, computed here."""
    pixels = torch.from_numpy(np.load(home / name)[rows]).float()[:, None]
    return blocks(pixels * 2 / 255 - 1).double().numpy()


def test_scores_are_those_of_torchmetrics_and_of_prdc_on_the_same_arrays(home):
    found = rows(measured(home, "strong0.npy"))
    real, fake = features(home, "real.npy"), features(home, "strong0.npy")
    assert found["kid"]["n"] == 150 and found["kid"]["n_real"] == 300
    same = measured(home, "strong0.npy", "mild0.npy")  # torchmetrics' kernel distance takes equal numbers
    theirs = float(poly_mmd(*(torch.from_numpy(features(home, name)) for name in ("mild0.npy", "strong0.npy"))))
    assert rows(same)["kid"]["value"] == pytest.approx(theirs, rel=1e-5)
    for name, value in naeem.compute_prdc(real_features=real, fake_features=fake, nearest_k=5).items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-9)
    assert found["frechet_uncorrected"]["value"] == pytest.approx(by_torchmetrics(real, fake), rel=1e-5)


def by_torchmetrics(real: np.ndarray, fake: np.ndarray) -> float:
    class Identity(torch.nn.Module):
        num_features = 16

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)

    metric = FrechetInceptionDistance(Identity()).set_dtype(torch.float64)
    for rows, is_real in ((real, True), (fake, False)):
        metric.update(torch.from_numpy(rows).reshape(-1, 1, 4, 4), real=is_real)
    return float(metric.compute())


def test_every_value_has_an_error_or_a_reason_and_says_how_the_error_was_found(home):
    found = measured(home, "mild0.npy", metrics=None)
    for row in found["scores"]:
        assert (row["value"] is None) == bool(row["undefined"]), row
        if row["value"] is not None and row["metric"] != "collapsed":
            assert row["error"] is not None and row["error_by"] in ("metric", "jackknife"), row
    by = {name: row["error_by"] for name, row in rows(found).items()}
    assert {by[name] for name in ("precision", "recall", "density", "coverage")} == {"jackknife"}
    assert {by[name] for name in ("frechet_distance", "kid", "sharpness", "vendi")} == {"metric"}
    reasons = {name: row["undefined"] for name, row in rows(found).items() if row["value"] is None}
    assert reasons["copied_share"] == "no training images are given (--train)"
    assert reasons["class_distance"].startswith("no classifier")


def test_baselines_are_the_metrics_of_other_real_images_and_of_noise_at_the_same_numbers(home):
    found = measured(home, "strong0.npy")
    assert found["baselines"] == {"n": 150, "n_real": 150}
    cut = Baselines(Pool(np.load(home / "real.npy")[:, None]), 150, home)
    others, rest = features(home, "real.npy", cut.others.indices), features(home, "real.npy", cut.rest.indices)
    assert sorted([*cut.others.indices, *cut.rest.indices]) == list(range(300))
    row = rows(found)["frechet_uncorrected"]
    assert row["real_baseline"] == pytest.approx(frechet_distance(rest, others), rel=1e-6)
    assert row["matched"] == pytest.approx(frechet_distance(rest, features(home, "strong0.npy")), rel=1e-6)
    assert row["real_baseline"] < row["matched"] < row["noise_baseline"]
    chosen = torch.randperm(200, generator=stream(0, "measure/samples")).numpy()[:150]  # of more samples, as many
    row = rows(measured(home, "train.npy", metrics=["frechet"]))["frechet_uncorrected"]
    assert row["matched"] == pytest.approx(frechet_distance(rest, features(home, "train.npy", chosen)), rel=1e-6)
    assert row["n"] == 200 and row["value"] != pytest.approx(row["matched"], rel=1e-3)
    few = measured(home, "strong0.npy", images=40)  # of both: as many as samples, if real images are enough
    assert few["baselines"] == {"n": 20, "n_real": 20} and rows(few)["kid"]["n"] == 40


def test_the_same_command_gives_the_same_numbers_and_leaves_the_global_generator_alone(home):
    before = torch.random.get_rng_state()
    once, again = (measured(home, "mild0.npy", features=["pixels"]) for _ in range(2))
    assert once == again
    assert torch.equal(torch.random.get_rng_state(), before)


def test_more_images_than_memory_should_hold_are_mapped_and_give_the_same(home, monkeypatch):
    whole = measured(home, "mild0.npy")
    monkeypatch.setattr(images, "RESIDENT_BYTES", 1)
    assert measured(home, "mild0.npy")["scores"] == whole["scores"]


def test_copies_of_training_images_are_found(home):
    found = rows(measured(home, "train.npy", metrics=["memorisation"], train="train.npy"))
    assert found["copied_share"]["value"] == 1 and found["data_copying"]["value"] < -5
    assert found["copied_share"]["real_baseline"] < 0.2


def test_further_feature_spaces_have_the_metrics_of_features(home):
    found = rows(measured(home, "mild0.npy", features=[BLOCKS, "pixels"], metrics=["kid", "sharpness"]))
    assert list(found) == ["kid@pixels", "sharpness_gap", "sharpness", "kid"]
    assert found["kid@pixels"]["value"] != found["kid"]["value"] and found["kid@pixels"]["real_baseline"] is not None


@pytest.mark.slow
def test_a_classifier_is_trained_on_training_images_or_says_that_it_knows_the_real_ones(home):
    found = measured(home, "mild0.npy", "real.npy", train="labelled.npz", features=None, metrics=["class_shares"])
    assert found["features"][0].startswith("own-classifier@") and not any("knows" in note for note in found["notes"])
    assert rows(found)["class_share_1"]["value"] == pytest.approx(0.5, abs=0.1)
    found = measured(home, "mild0.npy", "labelled.npz", features=["classifier"], metrics=["kid"])
    assert any("trained on the real images themselves" in note for note in found["notes"])
    assert measured(home, "mild0.npy", "labelled.npz", features=None)["features"][0].startswith("pixels@")


def test_on_another_device_networks_move_once_and_images_follow():
    class Network(torch.nn.Linear):
        places: list[str] = []

        def to(self, device: str) -> torch.nn.Module:  # type: ignore[override]
            self.places.append(device)
            return self

    seen: list[str] = []

    def embed(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.device.type)
        return torch.zeros(len(batch), 3)

    network = Network(16, 3)
    plain = Extractor(name="plain", sha256="0" * 64, dimension=3, embed=embed)
    assert plain.on("meta") is plain  # nothing is known of what it computes with
    moved = dataclasses.replace(plain, networks=(network,)).on("meta")
    assert moved(torch.zeros(5, 1, 4, 4)).shape == (5, 3) and plain(torch.zeros(5, 1, 4, 4)).shape == (5, 3)
    assert (network.places, seen) == (["meta"], ["meta", "cpu"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_scores_of_the_cpu(home):
    here, there = (measured(home, "mild0.npy", features=["random"], device=device) for device in ("cpu", "cuda:0"))
    values, others = ([row["value"] for row in found["scores"]] for found in (here, there))
    assert others == pytest.approx(values, rel=1e-2, abs=1e-3)


# standard errors by the jackknife


def gap(observed: Any) -> dict[str, float]:
    """The difference of the means of the first feature, without an error."""
    return {"gap": float(observed.features("samples")[:, 0].mean() - observed.features("real")[:, 0].mean())}


GAP = Metric(
    name="gap",
    outputs=(
        Output(
            metric="gap",
            label="Gap",
            unit="",
            better="none",
            smallest_effect=0,
            role="secondary",
            about="Difference of means.",
            topic=SAMPLES,
        ),
    ),
    compute=gap,
    features=True,
)


def observing(x: np.ndarray, y: np.ndarray) -> jackknife.Observe:
    """Observations of rows of features."""
    space = Extractor(name="given", sha256="0" * 64, dimension=x.shape[1], embed=lambda images: images)
    pools = [Pool(np.zeros((len(rows), 1, 4, 4), np.uint8), _features={space.identity: rows}) for rows in (x, y)]
    return lambda a, b: two_sets(Part(pools[0], a), Part(pools[1], b), space)


def normals(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize(("n", "m"), [(100, 100), (60, 400), (4000, 4000), (3000, 9000)])
def test_the_jackknife_of_a_difference_of_means_is_its_known_error(n, m):
    x, y = normals(0, n, 2) * 2, normals(1, m, 2)
    found = jackknife.standard_errors(observing(x, y), n, m, GAP)["gap"]
    assert found == pytest.approx(np.sqrt(4 / n + 1 / m), rel=0.35)


def test_a_small_set_is_not_cut_for_the_others_sake_and_the_error_is_then_too_large_rather_than_too_small():
    assert jackknife.sizes(300, 300) == (300, 300, 1)
    assert jackknife.sizes(4000, 2000) == (1000, 500, 0.25)
    assert jackknife.sizes(100, 50_000) == (100, 1000, 1)
    assert jackknife.standard_errors(observing(normals(0, 19, 2), normals(1, 90, 2)), 19, 90, GAP) == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "d"), [("prdc", 150, 6), ("prdc", 400, 6), ("frechet", 40, 48)], ids=["few", "more", "frechet"]
)
def test_jackknifed_errors_are_the_spread_over_sets_drawn_anew_or_somewhat_more(name, n, d):
    [metric] = load([name])
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for draw in range(30):
        observe = observing(normals(2 * draw, n, d) * 1.1 + 0.3, normals(2 * draw + 1, n, d))
        whole = metric.compute(observe(np.arange(n), np.arange(n)))
        for output, error in jackknife.standard_errors(observe, n, n, metric).items():
            values.setdefault(output, []).append(whole[output].value)
            errors.setdefault(output, []).append(error)
    assert errors
    for output, own in errors.items():
        # of 30 draws the spread is known to 13 %
        assert 0.75 < np.sqrt(np.mean(np.square(own))) / np.std(values[output], ddof=1) < 2.1, output


# shapes


def test_five_images_have_reasons_instead_of_scores_but_for_means_over_images(home):
    found = rows(measured(home, "five.npy", metrics=None, features=["pixels"]))
    assert {name for name, row in found.items() if row["value"] is not None} == {"sharpness", "sharpness_gap"}
    assert found["sharpness"]["error"] > 0.01
    assert "too few for an error: 20 of each are needed" in found["frechet_distance"]["undefined"]
    assert found["coverage"]["undefined"] == "needs more than 5 images of each kind"


def test_fewer_images_than_features_have_an_error_by_the_jackknife_and_a_warning(home):
    found = rows(measured(home, "grey", features=["pixels"], metrics=["frechet"]))
    row = found["frechet_distance"]
    assert row["error_by"] == "jackknife" and row["error"] > 0 and "bias upwards" in row["note"]


def test_images_are_brought_to_the_shape_of_the_real_ones_and_every_change_is_noted(home):
    notes = "\n".join(measured(home, "colour", "grey", metrics=["kid"])["notes"])
    assert "colour: 60 of 60 images have colour and were made grey: colours are not measured." in notes
    found = measured(home, "grey", "colour", metrics=["kid"])
    assert found["channels"] == 3 and "60 of 60 images are grey; their grey was repeated" in "\n".join(found["notes"])
    assert "made smaller from 40 to 28" in "\n".join(measured(home, "large", "grey", metrics=["kid"])["notes"])
    found = measured(home, "grey", "large", metrics=["kid"])
    assert found["size"] == 40 and "enlarged from 28 to 40" in "\n".join(found["notes"])
    assert measured(home, "grey", "grey", metrics=["kid"])["notes"] == []
    assert measured(home, "grey", "grey", metrics=["kid"], size=20)["size"] == 20
    assert "made square by crop" in "\n".join(measured(home, "oblong", "grey", metrics=["kid"], fit="crop")["notes"])


def test_images_of_the_right_shape_are_left_as_resizing_would_leave_them(home, tmp_path):
    batch = np.load(home / "real.npy")[..., None]
    source = images.opened(str(home / "real.npy"), "real", "--against")
    same = images.read(source, images.Shape(28, 1), 1000, tmp_path).pixels
    assert np.array_equal(same, resize(batch, 28, 1, None)) and np.array_equal(same[:, 0], batch[..., 0])


def test_real_images_of_several_sizes_come_to_the_median_of_their_shorter_sides(home, tmp_path):
    for i, side in enumerate((28, 28, 28, 20, 200)):
        Image.fromarray(np.full((side, side), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
    source = images.opened(str(tmp_path), "real", "--against")
    shape, notes = images.shape_of(source, None, None, None)
    assert shape.size == 28 and "images of 3 sizes; 28 is the median" in notes[0]


def test_real_images_are_the_test_images_of_what_has_splits_and_samples_all(home):
    found = measured(home, "split.npz", "split.npz", metrics=["kid"])
    assert (found["against"]["n"], found["sets"][0]["n"]) == (300, 500)
    assert "its 300 test images are taken, not its 200 training images" in found["notes"][0]
    assert measured(home, "mild0.npy", metrics=["kid"], train="split.npz")["train"]["n"] == 200


@pytest.mark.slow(minutes=1)
def test_ten_thousand_images_take_less_than_a_minute_of_processor_time(tmp_path):
    """30 seconds of two cores; 15 seconds of one core that is free, when this was written."""
    images = triptych.load_images("mnist", size=28)
    for name, split, count in (("samples", images.train, 10_000), ("real", images.test, 10_000)):
        assert isinstance(split.pixels, torch.Tensor)
        np.save(tmp_path / f"{name}.npy", split.pixels[:count, 0].numpy())
    start = time.process_time()
    found = triptych.measure(tmp_path / "samples.npy", tmp_path / "real.npy")
    assert time.process_time() - start < 60
    assert {row["n"] for row in found.scores if row["value"] is not None} == {10_000}


# several sets


SETS = {name: [f"{name}{seed}.npy" for seed in range(3)] for name in ("mild", "strong")}


def test_several_sets_get_the_verdicts_of_a_study(home):
    found = measured(home, SETS)
    [verdict] = [each for each in found["verdicts"] if each["metric"] == "frechet_distance"]
    assert (verdict["verdict"], verdict["names"], verdict["n"]) == ("better", ["mild", "strong"], 3)
    values = {
        name: [
            row["value"] for row in found["scores"] if (row["metric"], row["framework"]) == ("frechet_distance", name)
        ]
        for name in SETS
    }
    ratio = np.log(values["mild"]) - np.log(values["strong"])
    assert verdict["effect"] == pytest.approx(np.exp(ratio.mean())) and verdict["scale"] == "factor"
    assert verdict["sentence"].startswith("mild's samples are better than strong's by Fréchet distance")
    assert verdict["risks"]["mild"]["failed"] == 0 and verdict["risks"]["mild"]["runs"] == 3


def test_the_order_in_which_sets_are_listed_does_not_matter(home):
    def verdict(sets: dict[str, list[str]]) -> dict[str, Any]:
        found = measured(home, sets, metrics=["kid"])["verdicts"][0]
        return {key: value for key, value in found.items() if key not in ("risks", "improvement")}

    as_listed = verdict(SETS)
    turned = verdict({"mild": SETS["mild"], "strong": SETS["strong"][::-1]})
    assert turned.keys() == as_listed.keys()
    for key, value in as_listed.items():
        assert turned[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), key
    assert as_listed["correlation"] is None
    assert verdict({"mild": SETS["mild"], "strong": SETS["strong"][:2]})["n"] == 2  # nor need there be as many


def test_a_set_that_has_collapsed_counts_as_failed_whatever_metrics_are_asked_for(home):
    found = measured(home, {"mild": SETS["mild"], "dead": ["same.npy", "strong1.npy", "strong2.npy"]}, metrics=["kid"])
    assert found["verdicts"][0]["risks"]["dead"]["failed"] == 1
    assert found["verdicts"][0]["risks"]["dead"]["how"] == {"collapsed": 1}


def test_sets_are_cut_to_the_smallest_and_say_so(home):
    found = measured(home, {"a": ["train.npy"], "b": ["mild0.npy"]}, metrics=["kid"])
    assert {row["n"] for row in found["sets"]} == {150}
    assert any(
        "train.npy: 150 of 200 images were chosen at random, as many as the smallest" in n for n in found["notes"]
    )


def test_names_of_sets():
    assert images.named_sets(["x/a.npy", "B=c/,d/"]) == {"a": ["x/a.npy"], "B": ["c/", "d/"]}
    assert images.named_sets(["gan/samples", "vae/samples"]) == {
        "gan/samples": ["gan/samples"],
        "vae/samples": ["vae/samples"],
    }
    with pytest.raises(InputError, match=r"two of one name.*GAN"):
        images.named_sets(["GAN=a/", "GAN =b/"])


def test_a_set_of_a_name_is_one_path_or_several(home):
    for paths in (home / "mild0.npy", str(home / "mild0.npy"), [home / "mild0.npy"]):
        found = triptych.measure({"mild": paths}, home / "real.npy", metrics=["kid"], features=[BLOCKS])
        assert [row["framework"] for row in found.scores] == ["mild"] and found.scores[0]["value"] is not None


# the command


def test_json_is_all_there_is_on_standard_output_and_equals_what_python_gives(home, typed):
    done = typed("mild0.npy", "--against", "real.npy", "--metrics", "kid,prdc", "--features", BLOCKS, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    expected = measured(home, "mild0.npy", metrics=["kid", "prdc"])
    assert [row["value"] for row in found["scores"]] == [row["value"] for row in expected["scores"]]
    assert found.keys() == expected.keys()


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_and_has_a_line_for_each_metric(typed, columns):
    done = typed("mild0.npy", "--against", "real.npy", "--features", BLOCKS, columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.split("± is a standard error")[0]
    assert max(map(len, table.splitlines())) <= columns
    for label in ("Fréchet distance", "Kernel distance", "Coverage", "Sharpness", "Vendi score"):
        assert label in table
    assert "±" in table and "real images" in table and "n = 150" in table
    assert "Not measured: Data copying, Copied samples (no training images are given" in " ".join(done.stdout.split())


def test_several_sets_print_a_table_of_verdicts(typed):
    sets = [f"{name}={','.join(paths)}" for name, paths in SETS.items()]
    done = typed(*sets, "--against", "real.npy", "--features", BLOCKS, "--metrics", "frechet")
    assert done.returncode == 0 and "mild better than" in done.stdout and "Verdicts" in done.stdout
    assert "0 of 3 mild runs failed" in done.stdout and "the report" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope", "--against", "real.npy"], "SAMPLES: no data set, file or folder of this name (got 'nope')"),
        (["mild0.npy,mild1.npy", "--against", "real.npy"], "Several sets are NAME=A,B,C"),
        (["A=", "--against", "real.npy"], "a name and its sets are NAME=A,B,C"),
        (
            ["mild0.npy", "--against", "mnits"],
            "--against: no data set, file or folder of this name (got 'mnits'). Did you",
        ),
        (["mild0.npy", "--against", "real.npy", "--train", "x"], "--train: no data set"),
        (["mild0.npy", "--against", "real.npy", "--metrics", "frechte"], "Did you mean 'frechet'?"),
        (["mild0.npy", "--against", "real.npy", "--metrics", "ssim"], "not a metric of samples"),
        (["mild0.npy", "--against", "real.npy", "--features", "pixel"], "Did you mean 'pixels'?"),
        (["mild0.npy", "--against", "real.npy", "--features", "classifier"], "no labels of two classes"),
        (["mild0.npy", "--against", "real.npy", "--size", "2"], "--size: a side has 8 to 1024 pixels (got 2)"),
        (["mild0.npy", "--against", "real.npy", "--fit", "cut"], "--fit: unknown way"),
        (["mild0.npy", "--against", "real.npy", "--channels", "2"], "--channels: images have 1 channel or 3"),
        (["mild0.npy", "--against", "real.npy", "--device", "cuda:99"], "no such device here"),
        (["oblong", "--against", "real.npy"], "60 of 60 images are not square: 60 of 20 x 28 (width x height)"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(typed, arguments, said):
    done = typed(*arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("triptych: ") and done.stderr.count("\n") == 1 and said in done.stderr
