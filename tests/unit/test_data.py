"""The packaged MNIST is the real one; prepared data are right, deterministic, whole or absent, and drawn by
rule.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.data import dataset
from triptych.data.dataset import batch_indices, epoch_order, random_subset
from triptych.data.prepare import dequantise, prepare, resize, split_up
from triptych.data.sources import array_split, load
from triptych.data.transforms import random_translate, translate
from triptych.errors import InputError
from triptych.spec import DataSpec

pytestmark = pytest.mark.slow

SUMS = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST prepared at 32 pixels."""
    folder = tmp_path_factory.mktemp("mnist")
    prepare(DataSpec(), folder)
    return folder


def colour_file(path: Path, count: int = 50, side: int = 20) -> DataSpec:
    """A small set of random colour images in an .npz with labels."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, side, side, 3), np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 5)
    return DataSpec(source="arrays", path=str(path), size=16)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


# --- MNIST ---


def test_mnist_in_the_package_is_the_original() -> None:
    folder = resources.files("triptych.data.sources") / "mnist_idx"
    sums = {n: hashlib.sha256(gzip.decompress((folder / n).read_bytes())).hexdigest() for n in SUMS}
    assert sums == SUMS
    notice = (folder / "NOTICE.md").read_text(encoding="utf-8")
    assert all(part in notice for part in ("LeCun", "Cortes", "Burges", "CC BY-SA 3.0", *SUMS.values()))


def test_mnist_raw_statistics() -> None:
    raw = load(DataSpec())
    pixels = np.concatenate(list(raw.train.read(np.arange(60_000)))) / 255.0
    assert pixels.shape == (60_000, 28, 28, 1)
    assert round(pixels.mean(), 4) == 0.1307 and round(pixels.std(), 4) == 0.3081
    assert raw.train.labels is not None and raw.test is not None and len(raw.test) == 10_000
    assert raw.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(raw.train.labels).tolist() == counts


def test_mnist_splits_keep_the_original_order(mnist: Path) -> None:
    data, raw = dataset.open(mnist), load(DataSpec())
    assert data.counts == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert (data.size, data.channels, data.label_names) == (32, 1, list("0123456789"))
    for split, own, start in (
        (data.train, raw.train, 0),
        (data.validation, raw.train, 50_000),
        (data.test, raw.test, 0),
    ):
        assert own is not None and own.labels is not None and split.labels is not None
        assert np.array_equal(split.labels.numpy(), own.labels[start : start + len(split)])
        expected = resize(next(own.read(np.arange(start, start + 3))), 32, 1, None)
        assert torch.equal(split.images(torch.arange(3)), dataset.scale(torch.from_numpy(expected)))
    mean = (data.test.images(torch.arange(10_000)).mean() + 1) / 2
    assert abs(mean - 0.1325) < 0.001  # 0.1325 is the mean of the 28-pixel test images: resizing keeps it


def test_mnist_fingerprint_does_not_hang_on_machine_or_threads(mnist: Path) -> None:
    pinned = "d1cb1ebe61403cc6f2ed78824e727429110315f857f4f221107a42ba6fb18807"
    assert dataset.open(mnist).fingerprint == pinned
    hash_ = hashlib.sha256()
    for name in ("train", "validation", "test"):
        hash_.update(np.load(mnist / f"{name}-images.npy").tobytes())
        hash_.update(np.load(mnist / f"{name}-labels.npy").tobytes())
    assert hash_.hexdigest() == pinned


def test_mapped_batches_equal_resident_ones_bit_for_bit(mnist: Path) -> None:
    resident, mapped = dataset.open(mnist), dataset.open(mnist, resident_bytes=1000)
    assert isinstance(resident.train.pixels, torch.Tensor) and isinstance(mapped.train.pixels, np.memmap)
    for step in (0, 7, 781):
        indices = batch_indices(3, step, len(resident.train), 64)
        a, b = resident.train.images(indices), mapped.train.images(indices)
        assert a.dtype == torch.float32 and a.shape == (64, 1, 32, 32) and torch.equal(a, b)
        assert a.min() == -1 and a.max() == 1


# --- pixels ---


def test_scaling_is_symmetric_exact_at_the_ends_and_invertible() -> None:
    grey = torch.arange(256, dtype=torch.uint8)
    scaled = dataset.scale(grey)
    assert scaled[0] == -1 and scaled[255] == 1 and torch.equal(scaled, -scaled.flip(0))
    assert torch.equal(((scaled + 1) * 127.5).round().to(torch.uint8), grey)


def test_resizing_agrees_with_pillow_and_keeps_constants() -> None:
    image = np.random.default_rng(1).integers(0, 256, (1, 28, 28, 1), np.uint8)
    for size in (16, 32, 64):
        theirs = Image.fromarray(image[0, ..., 0]).resize((size, size), Image.Resampling.BILINEAR)
        # Pillow rounds twice, after each direction, so it may be one grey off and now and then two.
        assert np.abs(resize(image, size, 1, None)[0, 0].astype(int) - np.asarray(theirs)).max() <= 2
    for value in (0, 1, 127, 255):
        assert (resize(np.full((2, 28, 28, 1), value, np.uint8), 40, 3, None) == value).all()


def test_fits_crop_the_middle_pad_with_black_and_stretch() -> None:
    image = np.zeros((1, 16, 32, 1), np.uint8)
    image[:, :, 8:24] = 200
    assert (resize(image, 16, 1, "crop") == 200).all()
    padded = resize(np.full((1, 16, 32, 1), 200, np.uint8), 32, 1, "pad")[0, 0]
    assert (padded[8:24] == 200).all() and not padded[:8].any() and not padded[24:].any()
    stretched = resize(image, 16, 1, "stretch")[0, 0]
    assert (stretched[:, 5:11] == 200).all() and not stretched[:, [0, 1, 2, 13, 14, 15]].any()


def test_grey_from_colour_is_bt601_luma() -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    images = np.broadcast_to(colours[:, None, None], (4, 16, 16, 3))
    assert resize(images, 16, 1, None)[:, 0, 0, 0].tolist() == [76, 150, 29, 255]


# --- splits ---


def sets(train: int, test: int | None, by_class: bool = False):
    """The indices of each split of a source with so many images."""
    from triptych.data.sources import Raw

    split = [array_split(np.zeros((n, 1, 1, 1), np.uint8), None) for n in (train, test or 1)]
    raw = Raw(split[0], test=split[1] if test else None, by_class=by_class)
    return {name: indices for name, (_, indices) in split_up(raw, "here").items()}


def test_held_out_images_are_disjoint_complete_and_fixed() -> None:
    parts = sets(1000, None)
    assert {name: len(own) for name, own in parts.items()} == {"train": 810, "validation": 90, "test": 100}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1000))
    assert all(np.array_equal(own, sets(1000, None)[name]) for name, own in parts.items())
    assert np.abs(parts["test"].mean() - 500) < 100  # shuffled: the last 100 would have a mean of 950


def test_validation_is_the_last_ten_thousand_or_tenth() -> None:
    assert np.array_equal(sets(60_000, 5)["validation"], np.arange(50_000, 60_000))
    assert np.array_equal(sets(59_990, 5)["validation"], np.arange(53_991, 59_990))
    parts = sets(100, 30, by_class=True)
    assert sorted(parts["test"]) == list(range(30)) and parts["test"].tolist() != list(range(30))
    assert sorted([*parts["train"], *parts["validation"]]) == list(range(100))
    assert parts["validation"].min() < 90


def test_twenty_images_suffice_and_one_does_not() -> None:
    assert {name: len(own) for name, own in sets(20, None).items()} == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    for count in (1, 2, 14):
        with pytest.raises(InputError, match=f"here: too few images: the {count} found.*20 training images"):
            sets(count, None)


# --- preparing ---


def test_a_folder_of_colour_pngs_from_end_to_end(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    for number in range(40):
        file = tmp_path / "pngs" / ("red", "blue")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 50, (30, 30, 3), np.uint8)
        pixels[..., 2 if number % 2 else 0] = 250
        Image.fromarray(pixels).save(file)
    data = dataset.load_images(str(tmp_path / "pngs"), size=16)
    assert (data.channels, data.label_names) == (3, ["blue", "red"]) and data.notes == []
    for split in (data.train, data.validation, data.test):
        images, labels = split.images(torch.arange(len(split))), split.labels
        assert labels is not None and torch.equal(images.mean((2, 3)).argmax(1), torch.where(labels == 0, 2, 0))
    grey = dataset.load_images(str(tmp_path / "pngs"), size=16, channels=1)
    assert grey.train.images(torch.tensor([0])).shape == (1, 1, 16, 16)
    assert grey.notes == ["40 colour images were made grey (ITU-R BT.601 luma)."]


def test_preparing_twice_gives_the_same_bytes_and_progress_ends_whole(tmp_path: Path) -> None:
    spec, seen = colour_file(tmp_path / "x.npz"), []
    prepare(spec, tmp_path / "a", lambda done, total: seen.append((done, total)))
    prepare(spec, tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b") and seen[-1] == (50, 50)
    record = json.loads((tmp_path / "a" / "data.json").read_text())
    assert record["counts"] == {"train": 40, "validation": 5, "test": 5}
    assert (record["size"], record["channels"], record["original_sizes"]) == (16, 3, {"20x20": 50})


def test_a_preparation_that_fails_midway_leaves_no_data_and_is_redone(tmp_path: Path) -> None:
    spec = colour_file(tmp_path / "x.npz")
    prepare(spec, tmp_path / "whole")

    def stop(done: int, total: int) -> None:
        if done > 42:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(spec, tmp_path / "torn", stop)
    assert any(name.endswith(".tmp") for name in contents(tmp_path / "torn"))
    with pytest.raises(InputError, match="no prepared data"):
        dataset.open(tmp_path / "torn")
    prepare(spec, tmp_path / "torn")
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")


@pytest.mark.parametrize("renames", [0, 1, 3, 6])
def test_a_kill_between_the_renames_leaves_no_data(tmp_path: Path, renames: int) -> None:
    spec = colour_file(tmp_path / "x.npz")
    killed = (
        "import os, sys; from pathlib import Path; from triptych.data.prepare import prepare\n"
        "from triptych.spec import DataSpec\n"
        f"left, rename = [{renames}], os.replace\n"
        "def replace(*names):\n"
        "    if not left[0]: os.kill(os.getpid(), 9)\n"
        "    left[0] -= 1; rename(*names)\n"
        "os.replace = replace\n"
        f"prepare(DataSpec.model_validate_json({spec.model_dump_json()!r}), Path(sys.argv[1]))"
    )
    died = subprocess.run([sys.executable, "-c", killed, str(tmp_path / "torn")], check=False)
    assert died.returncode == -9 and not (tmp_path / "torn" / "data.json").exists()
    prepare(spec, tmp_path / "torn")
    prepare(spec, tmp_path / "whole")
    assert contents(tmp_path / "torn") == contents(tmp_path / "whole")


def test_prepared_data_are_kept_and_never_mixed(tmp_path: Path) -> None:
    spec = colour_file(tmp_path / "x.npz")
    prepare(spec, tmp_path / "a")
    before = contents(tmp_path / "a")
    assert ".preparing" not in before
    (tmp_path / "a" / ".preparing").touch()  # as a kill after the last rename leaves it
    (tmp_path / "x.npz").unlink()
    prepare(spec, tmp_path / "a")  # nothing to do, so the source is not even read
    with pytest.raises(InputError, match="another specification"):
        prepare(spec.model_copy(update={"size": 32}), tmp_path / "a")
    assert contents(tmp_path / "a") == before
    (tmp_path / "a" / "test-images.npy").write_bytes(before["test-images.npy"][:-1])
    with pytest.raises(InputError, match="incomplete"):
        dataset.open(tmp_path / "a")


def test_files_that_triptych_has_not_written_are_left_alone(tmp_path: Path) -> None:
    """Even where they have the names of prepared images, and even where they are the source itself."""
    spec = colour_file(tmp_path / "x.npz")
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "train-images.npy", np.zeros((60, 16, 16), np.uint8))
    (tmp_path / "data" / "notes.partial").write_text("half of a thesis")
    (tmp_path / "data" / "data.json").write_text('{"made by": "another program"}')
    before = contents(tmp_path / "data")
    own = DataSpec(source="arrays", path=str(tmp_path / "data" / "train-images.npy"), size=16)
    for each in (spec, own):
        for replace in (False, True):
            with pytest.raises(InputError, match="has not written"):
                prepare(each, tmp_path / "data", replace=replace)
    assert contents(tmp_path / "data") == before


def test_prepared_data_give_way_only_to_images_that_can_be_read(tmp_path: Path) -> None:
    spec = colour_file(tmp_path / "x.npz")
    prepare(spec, tmp_path / "data")
    before = contents(tmp_path / "data")
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="not a NumPy file"):
        broken = spec.model_copy(update={"path": str(tmp_path / "broken.npz")})
        prepare(broken, tmp_path / "data", replace=True)
    assert contents(tmp_path / "data") == before
    prepare(spec.model_copy(update={"size": 24}), tmp_path / "data", replace=True)
    assert dataset.open(tmp_path / "data").size == 24
    assert contents(tmp_path / "data").keys() == before.keys()


def test_images_that_are_not_square_need_a_rule(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((30, 20, 30), np.uint8))
    with pytest.raises(InputError, match="not square, 30 of 30 x 20"):
        prepare(DataSpec(source="arrays", path=str(tmp_path / "x.npy")), tmp_path / "out")


# --- dequantising ---


def test_dequantised_pixels_lie_evenly_within_their_own_grey_level(tmp_path: Path) -> None:
    spec = colour_file(tmp_path / "x.npz", side=16)
    prepare(spec, tmp_path / "whole")
    prepare(spec.model_copy(update={"dequantise": True}), tmp_path / "fine")
    levels, fine = (dataset.open(tmp_path / name).train for name in ("whole", "fine"))
    every = torch.arange(len(fine))
    on_256 = (fine.images(every).double() + 1) * 128
    assert isinstance(levels.pixels, torch.Tensor) and torch.equal(on_256.floor(), levels.pixels.double())
    inside = on_256 - on_256.floor()
    assert torch.equal(inside * 256, (inside * 256).floor() + 0.5)  # the middles of 256 steps, without rounding
    n = inside.numel()
    assert abs(inside.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5 and abs(inside.var() - 1 / 12) < 4 * (1 / 180 / n) ** 0.5
    assert float(fine.images(every).abs().max()) < 1


def test_dequantising_noise_is_drawn_once_and_is_its_splits_own(tmp_path: Path) -> None:
    spec = colour_file(tmp_path / "x.npz").model_copy(update={"dequantise": True})
    for name in ("a", "b"):
        prepare(spec, tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    resident, mapped = dataset.open(tmp_path / "a"), dataset.open(tmp_path / "a", resident_bytes=0)
    assert isinstance(mapped.test.pixels, np.ndarray) and isinstance(resident.test.pixels, torch.Tensor)
    some = torch.tensor([4, 0, 3, 3])
    assert torch.equal(resident.test.images(some), mapped.test.images(some))
    noise = [split.pixels[:5].numpy() & 255 for split in (resident.validation, resident.test)]
    assert not np.array_equal(*noise)


def test_dequantising_does_not_depend_on_how_images_are_read() -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 1, 16, 16), np.uint8)
    whole = dequantise(images, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert np.array_equal(whole, np.concatenate([dequantise(part, generator) for part in (images[:2], images[2:])]))


# --- order ---


def test_an_epoch_visits_every_image_once_in_a_new_order() -> None:
    first, second = epoch_order(1, 0, 100), epoch_order(1, 1, 100)
    assert sorted(first.tolist()) == list(range(100)) == sorted(second.tolist())
    assert not torch.equal(first, second) and not torch.equal(first, epoch_order(2, 0, 100))


def test_batches_are_a_pure_function_of_the_step() -> None:
    forwards = [batch_indices(5, step, 103, 10) for step in range(25)]
    backwards = [batch_indices(5, step, 103, 10) for step in reversed(range(25))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    assert torch.equal(torch.cat(forwards[:10]), epoch_order(5, 0, 103)[:100])
    assert torch.equal(torch.cat(forwards[10:20]), epoch_order(5, 1, 103)[:100])
    forwards[0].zero_()  # what a caller does to a batch does not reach the next one
    assert torch.equal(batch_indices(5, 0, 103, 10), backwards[0])


def test_a_batch_larger_than_the_data_is_refused() -> None:
    assert len(batch_indices(0, 3, 50, 50)) == 50
    with pytest.raises(InputError, match=r"training.batch_size: .*all 50 training images \(got 51\)"):
        batch_indices(0, 0, 50, 51)


# --- translation ---


def test_translation_moves_right_and_down_and_fills_with_background() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    moved = translate(image, torch.tensor([1]), torch.tensor([1]))
    assert moved.tolist() == [[[[-1, -1, -1, -1], [-1, 0, 1, 2], [-1, 4, 5, 6]]]]
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    dx, dy = torch.tensor([0, 1, -2, 8, -9]), torch.tensor([0, -3, 2, 0, 1])
    there = translate(images, dx, dy, fill=0.5)
    assert torch.equal(there[0], images[0]) and (there[3:] == 0.5).all()
    assert torch.equal(there[2, :, 2:, :-2], images[2, :, :-2, 2:])
    assert torch.equal(translate(there, -dx, -dy)[1, :, 3:, :-1], images[1, :, 3:, :-1])


def test_random_translation_is_uniform_bounded_and_seeded() -> None:
    images = torch.full((4000, 1, 17, 17), -1.0)
    images[:, :, 8, 8] = 1
    moved = random_translate(images, 0.125, torch.Generator().manual_seed(3))
    assert torch.equal(moved, random_translate(images, 0.125, torch.Generator().manual_seed(3)))
    _, _, rows, columns = (moved == 1).nonzero(as_tuple=True)
    assert len(rows) == 4000
    for places in (rows, columns):
        assert set(places.tolist()) == {6, 7, 8, 9, 10}
        assert (torch.bincount(places)[6:] - 800).abs().max() < 5 * (4000 * 0.2 * 0.8) ** 0.5
    assert torch.equal(random_translate(images, 0.0, torch.Generator()), images)


def test_draws_are_random_the_same_for_all_and_a_smaller_one_begins_a_larger_one() -> None:
    whole = random_subset(10_000, 10_000)
    assert sorted(whole.tolist()) == list(range(10_000))
    for most in (0, 1, 24, 2500):
        assert torch.equal(random_subset(10_000, most), whole[:most])
    assert torch.equal(random_subset(5, 9), random_subset(5, 5))
    # of a file that alternates in whatever rhythm, a draw of 2,500 holds a share within four standard errors
    for period in range(2, 30):
        share = (whole[:2500] % period == 0).double().mean()
        assert abs(float(share) - 1 / period) < 4 * (1 / period * (1 - 1 / period) / 2500) ** 0.5, period
