"""Whatever a user gets wrong: exit code 2, one message that says what, where and how to fix it, and no harm done."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych as package
from triptych import cli
from triptych.data import dataset
from triptych.errors import InputError
from triptych.spec import load_study
from triptych.study import runner

pytestmark = pytest.mark.slow

STUDY = """
frameworks = ["vae"]
seeds = 1
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 64, batch_size = 32 }}
{more}
"""


@pytest.fixture
def here(tmp_path, monkeypatch, digits_file) -> Path:
    """An empty folder to work in, but for good images in `good.npz`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.npz").write_bytes(digits_file.read_bytes())
    return tmp_path


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def refused(here: Path, monkeypatch, capfd, *arguments: object) -> str:
    """Give a command that cannot work: it ends with 2, leaves everything as it was, and says this."""
    before = listing(here)
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr()
    assert end.value.code == 2, said
    assert "Traceback" not in said.err and said.err.strip(), said
    assert listing(here) == before
    return said.err


def images(folder: Path, count: int = 30, sizes: tuple[tuple[int, int], ...] = ((16, 16),)) -> Path:
    folder.mkdir()
    for number in range(count):
        shape = sizes[number % len(sizes)]
        pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


ARGUMENTS: dict[str, tuple[list[object], list[str]]] = {
    "unknown data": (["mnits"], ["DATA", "'mnits'", "Did you mean 'mnist'?"]),
    "unknown framework": (["--frameworks", "vae,vea"], ["unknown framework", "'vea'", "Did you mean 'vae'?"]),
    "unknown preset of one": (["--frameworks", "vaegan@larsen"], ["vaegan", "larsen-paper"]),
    "a framework twice": (["--frameworks", "vae,vae"], ["frameworks", "once"]),
    "no framework": (["--frameworks", ","], ["frameworks"]),
    "unknown scale": (["--preset", "quik"], ["--preset", "'quik'", "Did you mean 'quick'?"]),
    "no seeds": (["--seeds", "0"], ["seeds", "at least 1 seed is needed"]),
    "seeds that are no number": (["--seeds", "many"], ["seeds are a number such as 3", "3..12", "many"]),
    "no images": (["--images", "0"], ["--images", "greater than or equal to 1"]),
    "a size that is no multiple of 8": (["--size", "30"], ["data.size", "multiple of 8", "30"]),
    "a size too large": (["--size", "256"], ["data.size", "128", "256"]),
    "two channels": (["--channels", "2"], ["data.channels", "2"]),
    "unknown fit": (["--fit", "squeeze"], ["data.fit", "'crop'", "squeeze"]),
    "unknown optimiser": (["--optimiser", "RMSProp"], ["optimiser.name", "'RMSProp'", "Did you mean 'RMSprop'?"]),
    "no rate": (["--rate", "0"], ["optimiser.rate", "greater than 0"]),
    "a batch of one": (["--batch-size", "1"], ["training.batch_size", "2"]),
    "a device of no kind": (["--device", "gpu"], ["execution.device", "'gpu'", "cpu"]),
    "a framework in no package": (["--frameworks", "nowhere.at:All"], ["nowhere"]),
    "a framework in no module": (["--frameworks", "triptych.frameworks.vae:VEA"], ["VEA"]),
    "a framework that is none": (["--frameworks", "pathlib:Path"], ["not a triptych.frameworks.Framework"]),
    "data in no package": (["nowhere.at:load"], ["nowhere"]),
    "an option that is none": (["--sede", "3"], ["--sede", "--seeds"]),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_wrong_argument(name, here, monkeypatch, capfd):
    arguments, words = ARGUMENTS[name]
    data = [] if not str(arguments[0]).startswith("--") else ["good.npz"]
    said = refused(here, monkeypatch, capfd, "compare", *data, *arguments, "--out", "out")
    for word in words:
        assert word in said
    assert "{'" not in said, "the whole study is no message"
    if not name.startswith(("no images", "an option")):  # those are typer's own messages, in a box
        assert said.startswith("triptych: ") and len(said.splitlines()) == 1, said


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_gpu_that_is_not_there(here, monkeypatch, capfd):
    said = refused(here, monkeypatch, capfd, "compare", "good.npz", "--device", "cuda:0", "--out", "out")
    assert "execution.device" in said and "'cuda:0'" in said and "auto" in said


FILES: dict[str, tuple[str, list[str]]] = {
    "a typo in a key": ("trainig = { images = 3 }", ["unknown key", "trainig", "Did you mean 'training'?"]),
    "a typo below": ("[scoring]\nimagse = 60", ["scoring.imagse", "Did you mean 'images'?"]),
    "broken": ("[scoring\n", ["not a TOML file", "line"]),
    "the wrong type": ("[scoring]\nimages = 'many'", ["scoring.images", "'many'"]),
    "unknown metric": ("[scoring]\nmetrics = ['frechte']", ["'frechte'", "Did you mean 'frechet'?"]),
    "grid of nothing": ("[grid]\n'optimizer.rate' = [0.1]", ["grid.optimizer.rate", "optimiser.rate"]),
    "override of nobody": ("[override.gan.optimiser]\nrate = 0.1", ["override.gan", "Known: vae"]),
    "option of nobody": ("[override.vae.options]\nbeat = 2", ["vae", "beat", "Did you mean 'beta'?"]),
    "order of nobody": ("[override.vae.training]\nupdates='sequential'\norder=['dis']", ["training.order", "'dis'"]),
}


@pytest.mark.parametrize("name", FILES)
def test_a_wrong_study(name, here, monkeypatch, capfd):
    more, words = FILES[name]
    Path("study.toml").write_text(STUDY.format(data="good.npz", more=more))
    said = refused(here, monkeypatch, capfd, "run", "study.toml", "--out", "out")
    for word in words:
        assert word in said
    assert said.startswith("triptych: ") and len(said.splitlines()) == 1


def test_a_file_that_is_not_there(here, monkeypatch, capfd):
    assert "no such file" in refused(here, monkeypatch, capfd, "run", "study.toml")
    assert "no such file" in refused(here, monkeypatch, capfd, "plan", "study.toml")
    assert "file or folder of this name" in refused(here, monkeypatch, capfd, "compare", "nothing.npz")
    assert "holds no study" in refused(here, monkeypatch, capfd, "status", "nowhere")
    assert "holds no study" in refused(here, monkeypatch, capfd, "report", "nowhere")
    assert "holds no run" in refused(here, monkeypatch, capfd, "sample", "nowhere")
    assert "holds no run" in refused(here, monkeypatch, capfd, "reconstruct", "nowhere")


def compare(here, monkeypatch, capfd, data: object, *options: object) -> str:
    return refused(here, monkeypatch, capfd, "compare", data, "--size", 16, *options, "--out", "out")


def test_images_that_cannot_be_used(here, monkeypatch, capfd):
    Path("empty").mkdir()
    assert "the folder is empty" in compare(here, monkeypatch, capfd, "empty")
    said = compare(here, monkeypatch, capfd, images(Path("one"), 1))
    assert "too few images" in said and "20" in said
    said = compare(here, monkeypatch, capfd, images(Path("mixed"), 30, ((16, 16), (20, 12))))
    assert "2 sizes" in said and "--fit" in said and "mixed" in said
    Path("notes.txt").write_text("words")
    assert "no data source reads files of this kind" in compare(here, monkeypatch, capfd, "notes.txt")


def test_a_broken_image_is_named_and_can_be_skipped(here, monkeypatch, capfd):
    folder = images(Path("photos").resolve(), 60)
    whole = (folder / "07.png").read_bytes()
    (folder / "07.png").write_bytes(whole[: len(whole) // 2])
    said = compare(here, monkeypatch, capfd, folder)
    assert "07.png" in said and "1 of 60" in said and "--broken skip" in said
    spec = load_study(write_study(folder, 'broken = "skip"', "images"))
    opened = runner.prepare(Path("out"), spec)  # what the commands print as notes
    assert sum(opened.data.counts.values()) == 59
    assert "1 images could not be decoded and were skipped." in opened.data.notes


def write_study(data: object, data_more: str = "", source: str = "arrays", more: str = "") -> Path:
    text = STUDY.format(data=data, more=more).replace('"arrays"', f'"{source}"')
    Path("study.toml").write_text(text.replace("size = 16 }", f"size = 16{', ' * bool(data_more)}{data_more} }}"))
    return Path("study.toml")


def test_arrays_that_cannot_be_used(here, monkeypatch, capfd):
    pixels = np.random.default_rng(0).random((60, 16, 16))
    pixels[3, 4, 5] = np.nan
    np.save("nan.npy", pixels)
    said = compare(here, monkeypatch, capfd, "nan.npy")
    assert "NaN" in said and "nan.npy" in said
    np.save("objects.npy", np.array([{"a": 1}] * 60), allow_pickle=True)
    said = compare(here, monkeypatch, capfd, "objects.npy")
    assert "unpickling can run any code" in said and "objects.npy" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[scoring]\nsmallest_effect = { frechet_distanse = 1 }", ["frechet_distanse", "'frechet_distance'"]),
        ("[scoring]\nsmallest_effect = { frechet_distance = -1 }", ["frechet_distance", "-1"]),
        ("[override.vae.training]\nbatch_size = 5000", ["training.batch_size", "5000", "540"]),
    ],
    ids=["unknown margin", "negative margin", "batch larger than the data"],
)
def test_what_only_the_data_can_tell(more, words, here, monkeypatch, capfd):
    """The data are prepared by then: they are kept for the mended command, and stand in no other's way."""
    write_study("good.npz", more=more)
    monkeypatch.setattr(sys, "argv", ["triptych", "run", "study.toml", "--out", "out"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr().err
    assert end.value.code == 2 and len(said.splitlines()) == 1
    for word in words:
        assert word in said
    assert not Path("out", "study.toml").exists()
    spec = load_study(write_study("good.npz"))
    other = spec.model_copy(update={"data": spec.data.model_copy(update={"size": 24})})
    assert runner.prepare(Path("out"), other).data.size == 24


def test_a_directory_of_another_study_is_left_alone(here, monkeypatch, capfd):
    runner.prepare(Path("out"), load_study(write_study("good.npz")))
    write_study("good.npz", more="[optimiser]\nrate = 0.01")
    said = refused(here, monkeypatch, capfd, "run", "study.toml", "--out", "out")
    assert "another study" in said and "optimiser.rate (0.001 there, 0.01 here)" in said and "--out" in said


def test_a_directory_of_something_else_is_left_alone(here, monkeypatch, capfd):
    Path("out").mkdir()
    Path("out", "thesis.tex").write_text("years of work")
    assert "do not belong to a study" in compare(here, monkeypatch, capfd, "good.npz")
    Path("file").write_text("a file")
    said = refused(here, monkeypatch, capfd, "compare", "good.npz", "--out", "file")
    assert "file: is a file" in said


def test_images_where_results_would_go_are_left_alone(here, monkeypatch, capfd):
    Path("data").mkdir()
    np.save("data/train-images.npy", np.zeros((60, 16, 16), np.uint8))
    said = refused(here, monkeypatch, capfd, "compare", "data/train-images.npy", "--size", 16, "--out", ".")
    assert "holds the images that this study reads" in said and "--out" in said
    Path("project").mkdir()
    Path("data").rename("project/data")
    said = refused(here, monkeypatch, capfd, "compare", "good.npz", "--size", 16, "--out", "project")
    assert "project: contains files that do not belong" in said
    source = here / "project" / "data" / "train-images.npy"
    for name in ("project/study.toml", "study.toml"):  # the first one could stand for its own directory
        Path("study.toml").unlink(missing_ok=True)
        write_study(source)
        Path("study.toml").rename(name)
        said = refused(here, monkeypatch, capfd, "run", name, "--out", "project")
        assert "holds the images that this study reads" in said


def test_a_study_next_to_the_images_of_its_own_is_run_elsewhere(here):
    """`triptych run FOLDER/study.toml` takes FOLDER for a study's directory only if its data are prepared ones."""
    Path("project", "data").mkdir(parents=True)
    Path("good.npz").rename("project/data/digits.npz")
    write_study("data/digits.npz").rename("project/study.toml")
    before = listing(here / "project")
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "_run_study", lambda spec, out: ran.append(out))
        cli.run(Path("project/study.toml"))
        runner.prepare(Path("out"), load_study(write_study(here / "project/data/digits.npz")))
        cli.run(Path("out/study.toml"))
    assert ran == [Path("results/study"), Path("out")] and listing(here / "project") == before


def test_a_refused_study_removes_only_the_folders_that_it_made(here, monkeypatch):
    spec = load_study(write_study(here / "nothing.npz"))
    Path("own", "data").mkdir(parents=True)
    for folder in ("own", "new"):
        with pytest.raises(InputError, match=r"nothing\.npz"):
            package.run_study(spec, Path(folder))
    assert Path("own", "data").is_dir() and not Path("new").exists()
    monkeypatch.chdir("own")
    with pytest.raises(InputError, match=r"nothing\.npz"):
        package.run_study(spec, Path("."))
    assert (here / "own").is_dir()


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"batch_size": 5000}},
        {"data": {"path": "nothing.npz"}},
        {"execution": {"device": "gpu"}},
        {"frameworks": ("vea",)},
        {"scoring": {"metrics": ("frechte",)}},
    ],
    ids=str,
)
def test_after_a_mistake_the_mended_command_works_in_the_same_directory(change: dict[str, Any], here):
    spec = load_study(write_study(here / "good.npz"))
    parts = {
        name: getattr(spec, name).model_copy(update=part) if isinstance(part, dict) else part
        for name, part in change.items()
    }
    with pytest.raises(InputError):
        runner.prepare(Path("out"), spec.model_copy(update=parts))
    opened = runner.prepare(Path("out"), spec)
    assert Path("out", "study.toml").exists()
    assert dataset.open(Path("out", "data")).fingerprint == opened.data.fingerprint


@pytest.mark.parametrize("name", ["study.toml.partial", "study.toml.0a1b2c3d.partial"])
def test_a_command_killed_while_it_claims_its_directory_can_be_given_again(name, here):
    spec = load_study(write_study(here / "good.npz"))
    runner.prepare(Path("out"), spec)
    Path("out", "study.toml").rename(Path("out", name))
    runner.check(Path("out"), spec)
    assert runner.prepare(Path("out"), spec).runs
