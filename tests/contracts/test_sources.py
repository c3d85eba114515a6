"""Every data source keeps one contract, and every bad input ends in one clear message."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import sources
from triptych.data.prepare import prepare
from triptych.data.sources import idx
from triptych.errors import InputError
from triptych.plugins import names
from triptych.spec import DataSpec

COUNT, SIDE = 40, 12
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE), np.uint8)
LABELS = np.arange(COUNT, dtype=np.uint8) // 10


def write_idx(path: Path, array: np.ndarray) -> None:
    """An IDX file of uint8, compressed if its name says so."""
    body = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)


def idx_folder(folder: Path, ending: str = "") -> str:
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"train-images-idx3-ubyte{ending}", PIXELS)
    write_idx(folder / f"train-labels-idx1-ubyte{ending}", LABELS)
    return str(folder)


def image_folder(folder: Path) -> str:
    for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
        file = folder / f"class {label}" / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return str(folder)


def array_file(folder: Path) -> str:
    np.savez(folder / "set.npz", images=PIXELS, labels=LABELS)
    return str(folder / "set.npz")


MAKERS = {"idx": idx_folder, "images": image_folder, "arrays": array_file}


def load(source: str, path: object = None, **fields: object) -> sources.Raw:
    """The raw images of a source."""
    return sources.load(DataSpec.model_validate({"source": source, "path": path and str(path), **fields}))


def pixels_of(split: sources.RawSplit, indices: np.ndarray | None = None) -> np.ndarray:
    """All images of a split of one size, in the order of the indices."""
    return np.concatenate(list(split.read(np.arange(len(split)) if indices is None else indices)))


@pytest.mark.parametrize("source", names("sources"))
def test_source_keeps_the_contract(source: str, tmp_path: Path) -> None:
    raw = load(source, MAKERS[source](tmp_path) if source in MAKERS else None)
    for split in raw.splits().values():
        some = np.random.default_rng(1).permutation(len(split))[:30]
        batches = list(split.read(some))
        assert all(b.dtype == np.uint8 and b.ndim == 4 and b.shape[3] in (1, 3) for b in batches)
        assert sum(map(len, batches)) == len(some)
        assert {b.shape[1:3] for b in batches} <= set(split.sizes)
        one_by_one = [pixels_of(split, some[i : i + 1]) for i in range(len(some))]
        assert np.array_equal(np.concatenate(batches), np.concatenate(one_by_one))
        assert split.labels is not None and raw.label_names is not None
        assert split.labels.dtype == np.int64 and len(split.labels) == len(split)
        assert set(split.labels) == set(range(len(raw.label_names)))


@pytest.mark.parametrize("source", list(MAKERS))
def test_the_same_images_come_out_of_every_source(source: str, tmp_path: Path) -> None:
    path = MAKERS[source](tmp_path)
    assert sources.guess_source(path) == (source, path)
    raw = load(source, path)
    assert np.array_equal(pixels_of(raw.train)[..., 0], PIXELS)
    assert raw.train.labels is not None and np.array_equal(raw.train.labels, LABELS)
    assert raw.train.colour == 0 and raw.notes == []


def test_a_source_from_outside_the_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_source.py").write_text(
        "import numpy as np\nfrom triptych.data.sources import Raw, array_split\n"
        "def load(spec):\n    return Raw(array_split(np.full((30, 8, 8, 1), 7, np.uint8), None))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert sources.guess_source("outside_source:load") == ("outside_source:load", None)
    assert (pixels_of(load("outside_source:load").train) == 7).all()


# --- IDX ---


def test_idx_plain_is_mapped_and_equals_gz(tmp_path: Path) -> None:
    plain = load("idx", idx_folder(tmp_path / "plain"))
    packed = load("idx", idx_folder(tmp_path / "gz", ".gz"))
    assert np.array_equal(pixels_of(plain.train), pixels_of(packed.train))
    assert isinstance(idx.read_idx(tmp_path / "plain" / "train-images-idx3-ubyte", 3), np.memmap)


def test_emnist_is_turned_upright_and_its_labels_keep_their_names(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_idx(tmp_path / f"emnist-letters-{split}-images-idx3-ubyte.gz", PIXELS.swapaxes(1, 2).copy())
        write_idx(tmp_path / f"emnist-letters-{split}-labels-idx1-ubyte.gz", LABELS + 1)
    raw = load("idx", tmp_path)
    assert raw.test is not None and np.array_equal(pixels_of(raw.test)[..., 0], PIXELS)
    assert raw.label_names == ["1", "2", "3", "4"] and "upright" in raw.notes[0]
    write_idx(tmp_path / "emnist-digits-train-images-idx3-ubyte.gz", PIXELS[:25])
    with pytest.raises(InputError, match=r"several data sets.*digits, emnist-letters"):
        load("idx", tmp_path)
    assert len(load("idx", tmp_path / "emnist-digits-train-images-idx3-ubyte.gz").train) == 25


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda body: body[:-1], "truncated IDX file"),
        (lambda body: body + b"x", "overlong IDX file"),
        (lambda body: b"\0\0\x0d\3" + body[4:], "bad magic number.*00000d03"),
        (lambda body: body[:7], "truncated IDX file"),
        (lambda body: b"", "bad magic number"),
        (lambda body: bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, 28, 28), "without entries"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_damaged_idx_is_named(tmp_path: Path, damage, message: str, ending: str) -> None:
    idx_folder(tmp_path, ending)
    path = tmp_path / f"train-images-idx3-ubyte{ending}"
    body = gzip.decompress(path.read_bytes()) if ending else path.read_bytes()
    path.write_bytes(gzip.compress(damage(body)) if ending else damage(body))
    with pytest.raises(InputError, match=f"train-images-idx3-ubyte.*{message}"):
        load("idx", tmp_path)


def test_truncated_gzip_is_named(tmp_path: Path) -> None:
    idx_folder(tmp_path, ".gz")
    path = tmp_path / "train-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no gzip", whole[:50] + b"\xff" * 50 + whole[100:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz: truncated or damaged gzip"):
            load("idx", tmp_path)


def test_idx_labels_must_match(tmp_path: Path) -> None:
    idx_folder(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS[:-1])
    with pytest.raises(InputError, match=r"train-labels.*39 labels for 40 images"):
        load("idx", tmp_path)


# --- arrays ---


def save(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize("shape", [(0, 1, 2, 3), (0, 3, 1, 2)])
def test_array_layouts_and_npy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    colour = np.random.default_rng(2).integers(0, 256, (30, 10, 9, 3), np.uint8)
    np.save(tmp_path / "x.npy", colour.transpose(shape))
    split = load("arrays", tmp_path / "x.npy").train
    assert np.array_equal(pixels_of(split), colour)
    assert split.sizes == {(10, 9): 30} and split.colour == 30 and split.labels is None


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_float_arrays_are_scaled_to_the_nearest_grey(tmp_path: Path, low: float) -> None:
    floats = (PIXELS / 255.0) * (1 - low) + low
    raw = load("arrays", save(tmp_path / "x.npz", x_train=floats.astype(np.float32)))
    assert np.array_equal(pixels_of(raw.train)[..., 0], PIXELS)
    assert raw.notes[0].startswith(f"{COUNT} images were floats in [{low:g}, 1]")


def test_medmnist_layout_with_its_own_validation(tmp_path: Path) -> None:
    arrays = {f"{s}_images": PIXELS[:n] for s, n in (("train", 40), ("val", 8), ("test", 9))}
    arrays |= {f"{s}_labels": LABELS[:n, None] for s, n in (("train", 40), ("val", 8), ("test", 9))}
    raw = load("arrays", save(tmp_path / "m.npz", **arrays))
    assert {name: len(split) for name, split in raw.splits().items()} == {
        "train": 40,
        "validation": 8,
        "test": 9,
    }
    assert raw.train.labels is not None and np.array_equal(raw.train.labels, LABELS)
    arrays["train_labels"] = np.tile(LABELS[:, None], 3)
    assert "several labels" in load("arrays", save(tmp_path / "m.npz", **arrays)).notes[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": PIXELS, "labels": LABELS[:9]}, "9 labels for 40 images"),
        ({"images": np.where(np.arange(SIDE) == 3, np.nan, PIXELS / 255)}, "NaN"),
        ({"images": PIXELS / 1.0}, "floats from 0 to 255"),
        ({"images": PIXELS / -255.0 * 2}, "floats from -2 to"),
        ({"images": PIXELS.astype(np.int64)}, "neither uint8 nor floats.*int64"),
        ({"images": PIXELS[0]}, r"not an array of images.*\(12, 12\)"),
        ({"images": np.zeros((9, 8, 8, 4), np.uint8)}, "not an array of images"),
        ({"images": PIXELS[:0]}, "not an array of images"),
        ({"pictures": PIXELS}, "no training images"),
        ({"images": np.array([PIXELS, None], object)}, "pickled"),
        ({"images": PIXELS, "labels": np.array([None] * COUNT)}, "pickled"),
    ],
)
def test_bad_arrays(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=rf"bad\.npz.*{message}"):
        load("arrays", save(tmp_path / "bad.npz", **arrays))


@pytest.mark.parametrize("name", ["bad.npy", "bad.npz"])
def test_files_that_are_no_arrays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    np.save(tmp_path / "objects.npy", np.array([{}, None], object))
    np.save(tmp_path / "whole.npy", PIXELS)
    for body, message in (
        (b"", "not a NumPy file"),
        (b"PK\x03\x04 torn", "cannot be read"),
        (b"hello there", "not a NumPy file"),
        (pickle.dumps({"images": 3}), "pickled"),
        ((tmp_path / "objects.npy").read_bytes(), "pickled"),
        ((tmp_path / "whole.npy").read_bytes()[:-9], "cannot be read"),
    ):
        path.write_bytes(body)
        with pytest.raises(InputError, match=message):
            load("arrays", path)


# --- images ---


def test_colour_transparency_depth_and_orientation(tmp_path: Path) -> None:
    red = np.zeros((10, 20, 4), np.uint8)
    red[..., 0], red[..., 3] = 200, 128
    Image.fromarray(red).save(tmp_path / "a.png")
    Image.fromarray(np.full((10, 20), 1000, np.uint16)).save(tmp_path / "b.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees clockwise when shown
    Image.fromarray(np.full((20, 10, 3), 77, np.uint8)).save(tmp_path / "c.png", exif=exif)
    raw = load("images", tmp_path)
    a, b, c = (pixels_of(raw.train, np.array([i])) for i in range(3))
    assert (a == [100, 0, 0]).all() and (b == round(1000 / 257)).all() and (c == 77).all()
    assert raw.train.sizes == {(10, 20): 3} and raw.train.colour == 1 and c.shape[3] == 1
    assert sorted(raw.notes) == [
        "1 images had 16-bit grey values: scaled to 8 bits.",
        "1 images had transparency: composited over black.",
        "1 images were turned as their EXIF orientation says.",
    ]


def test_own_splits_and_nested_labels(tmp_path: Path) -> None:
    for name in (
        "train/cat/x/1.png",
        "train/cat/2.png",
        "train/dog/3.png",
        "test/dog/4.png",
        "train/.hidden.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), int(name[-5]) if name[-5].isdigit() else 9, np.uint8)).save(tmp_path / name)
    raw = load("images", tmp_path)
    assert raw.label_names == ["cat", "dog"] and raw.test is not None
    assert sorted(pixels_of(raw.train)[:, 0, 0, 0].tolist()) == [1, 2, 3]
    assert raw.train.labels is not None and sorted(raw.train.labels.tolist()) == [0, 0, 1]
    assert raw.test.labels is not None and raw.test.labels.tolist() == [1]


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    for number, name in enumerate(("car", "plane", "train")):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((4, 4), number, np.uint8)).save(tmp_path / name / "1.png")
    raw = load("images", tmp_path)
    assert raw.label_names == ["car", "plane", "train"] and raw.test is None
    assert raw.train.labels is not None and raw.train.labels.tolist() == [0, 1, 2]
    assert "train/ was taken for a label" in raw.notes[0]


def test_truncated_images_among_good_ones(tmp_path: Path) -> None:
    image_folder(tmp_path)
    for number in (13, 31):
        path = tmp_path / f"class {number // 10}" / f"{number:03d}.png"
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"class 1/013\.png: cannot be decoded.*2 of 40 images are broken"):
        load("images", tmp_path)
    raw = load("images", tmp_path, broken="skip")
    assert raw.skipped == ["class 1/013.png", "class 3/031.png"] and len(raw.train) == 38
    kept = np.delete(np.arange(COUNT), [13, 31])
    assert np.array_equal(pixels_of(raw.train)[..., 0], PIXELS[kept])
    assert raw.train.labels is not None and np.array_equal(raw.train.labels, LABELS[kept])
    assert "2 images could not be decoded and were skipped." in raw.notes


def test_nothing_but_broken_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"a\.png: cannot be decoded.*1 of 1"):
        load("images", tmp_path)
    with pytest.raises(InputError, match="no readable training image"):
        load("images", tmp_path, broken="skip")


def test_mixed_sizes_need_a_rule(tmp_path: Path) -> None:
    for number in range(30):
        shape = (20, 16) if number < 18 else (24, 24) if number < 29 else (9, 9)
        Image.fromarray(np.full(shape, 255, np.uint8)).save(tmp_path / f"{number:02d}.png")
    spec = DataSpec(source="images", path=str(tmp_path))
    with pytest.raises(InputError, match=r"3 sizes, most often 18 of 16 x 20, then 11 of 24 x 24.*--fit"):
        prepare(spec, tmp_path / "out")
    for fit in ("crop", "pad", "stretch"):
        prepare(spec.model_copy(update={"fit": fit}), tmp_path / fit)
        train = np.load(tmp_path / fit / "train-images.npy")
        assert train.shape == (24, 1, 32, 32) and (train.min() == 0) == (fit == "pad")


# --- what DATA means ---


def test_unknown_names_and_empty_places(tmp_path: Path) -> None:
    assert sources.guess_source("mnist") == ("mnist", None)
    with pytest.raises(InputError, match="Did you mean 'mnist'"):
        sources.guess_source("mnits")
    with pytest.raises(InputError, match="no data set, file or folder"):
        sources.guess_source(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="the folder is empty"):
        sources.guess_source(str(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no images found.*notes\.txt"):
        sources.guess_source(str(tmp_path))
    with pytest.raises(InputError, match="no data source reads files of this kind"):
        sources.guess_source(str(tmp_path / "notes.txt"))
    with pytest.raises(InputError, match="mnist comes with the package"):
        load("mnist", tmp_path)
    with pytest.raises(InputError, match="Did you mean 'images'"):
        load("image")
    for source, message in (("images", "no images in the folder"), ("idx", "no IDX file")):
        with pytest.raises(InputError, match=message):
            load(source, tmp_path)
        with pytest.raises(InputError, match="needs a path"):
            load(source)
        with pytest.raises(InputError, match="no such file or folder"):
            load(source, tmp_path / "nowhere")
