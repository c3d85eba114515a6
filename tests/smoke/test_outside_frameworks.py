"""The eight frameworks of docs/how-to/add-a-framework: one file each, from `triptych check` to the report of a study.

Nothing of the package knows them: each file lies alone in a folder that is on the module path.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych as package
from report_page import Page
from triptych import store
from triptych.contracts import Result, checks_of, run_checks
from triptych.directory import StudyDirectory
from triptych.errors import InputError
from triptych.frameworks import framework_class
from triptych.training import grids

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-framework"
FILES = {
    "hinge_gan": "HingeGAN",
    "wgan_gp": "WGANGP",
    "wae_mmd": "WAE",
    "adversarial_autoencoder": "AdversarialAutoencoder",
    "vq_vae": "VQVAE",
    "conditional_vae": "ConditionalVAE",
    "conditional_gan": "ConditionalGAN",
    "flow_matching": "FlowMatching",
}
NAMES = {module: f"{module}:{name}" for module, name in FILES.items()}
CONDITIONAL = ("conditional_vae", "conditional_gan")
MOST_LINES = 122
NO_CRITIC = "no player is only a critic"

STUDY = """
frameworks = {frameworks}
seeds = 1
data = {data}
network = {{ width = 0.03, latent = 3 }}
training = {{ images = 128, batch_size = 32 }}
execution = {{ device = "cpu", workers = 1, threads = 1 }}

[scoring]
images = 50
features = ["pixels"]
metrics = {metrics}

[scoring.options]
inversion = {{ images = 4, restarts = 1, steps = 6 }}

[scoring.options.likelihood]
images = 2
validation_images = 1
simulated_images = 2
chains = 1
temperatures = 4
leapfrog = 1
importance_samples = 2
"""
OPTIONAL = ("inversion", "likelihood")
METRICS = ("frechet", "pixel_error", "active_units", "linear_probe", "interpolation", "shift_response", *OPTIONAL)

ASKED = {
    "reconstruct": "reconstruction_mse",
    "posterior": "posterior_kl",
    "encode": "linear_probe",
    "decode": "inverted_mse",
    "discriminator_features": "dis_l_response",
    "likelihood": "log_likelihood",
}
"""For each ability a score that asks for it."""

NEEDS_CLASS = {"conditional_vae": "the decoder needs a class", "conditional_gan": "the generator needs a class"}
"""What stands in for the decoder of a conditional framework: a metric's own latents have no class."""


def reasons(module: str) -> dict[str, str]:
    """What a framework declares that it cannot do, by ability."""
    kind = framework_class(NAMES[module])
    found: dict[str, str] = dict(kind(kind.Options()).lacks)
    if module in NEEDS_CLASS:
        found.setdefault("decode", NEEDS_CLASS[module])
    return found


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the eight files alone."""
    folder = tmp_path_factory.mktemp("outside")
    for module in FILES:
        shutil.copy(FOLDER / f"{module}.py", folder)
    return folder


@pytest.fixture
def importable(modules: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(modules)
    return modules


def test_every_file_of_the_folder_is_tried():
    assert {file.stem for file in FOLDER.glob("*.py")} == set(FILES)


def test_each_file_is_short():
    counts = {module: len((FOLDER / f"{module}.py").read_text("utf-8").splitlines()) for module in FILES}
    print("\n", counts)
    assert max(counts.values()) <= MOST_LINES, counts


@pytest.mark.slow
@pytest.mark.parametrize("module", FILES)
def test_each_keeps_the_contract(module: str, importable: Path):
    assert Path(framework_class(NAMES[module]).__module__ + ".py").name == f"{module}.py"
    results = run_checks(checks_of(NAMES[module]))
    assert len(results) == 14
    assert [result for result in results if result.status == "broken"] == []
    skipped = [dataclasses.replace(result, check="") for result in results if result.status == "skipped"]
    has_critic = module in ("hinge_gan", "wgan_gp", "adversarial_autoencoder", "conditional_gan")
    # A conditional VAE, a WAE, a VQ-VAE and flow matching have nobody who judges; VQ-VAE's prior is no judge.
    assert skipped in ([], [Result(check="", status="skipped", message=NO_CRITIC)])
    assert not (has_critic and skipped)


def source_files() -> dict[Path, tuple[int, int]]:
    """Every file of the package with the time at which it was last written, and its size."""
    files = Path(package.__file__).parent.rglob("*")
    stats = {file: file.stat() for file in files if file.is_file() and file.suffix != ".pyc"}
    return {file: (stat.st_mtime_ns, stat.st_size) for file, stat in stats.items()}


def run(triptych: Callable[..., Any], modules: Path, folder: Path, data: str) -> Path:
    """A study of all eight through the command line, from the folder that holds their files."""
    text = STUDY.format(frameworks=list(NAMES.values()), data=data, metrics=list(METRICS)).replace("'", '"')
    (folder / "study.toml").write_text(text, encoding="utf-8")
    before = source_files()
    done = triptych("run", folder / "study.toml", "--out", folder / "out", cwd=modules)
    assert done.returncode == 0, done.stdout + done.stderr
    assert source_files() == before, "a framework from outside needs no file of the package to be written"
    return folder / "out"


@pytest.fixture(scope="module")
def on_digits(triptych, modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(triptych, modules, tmp_path_factory.mktemp("digits"), "{ size = 16 }")


def paint(folder: Path, classes: tuple[str, ...], each: int) -> Path:
    """Colour PNGs of 20 x 20 pixels: discs at random places, one colour per class, in class folders."""
    draw = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :20]
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            y, x, radius = draw.uniform(6, 14), draw.uniform(6, 14), draw.uniform(3, 6)
            pixels = draw.integers(0, 40, (20, 20, 3), dtype=np.uint8)
            pixels[np.hypot(rows - y, columns - x) < radius, number] = 220
            Image.fromarray(pixels).save(folder / name / f"{index:03}.png")
    return folder


@pytest.fixture(scope="module")
def on_colours(triptych, modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    images = paint(folder / "images", ("blue", "green", "red"), 80)
    return run(triptych, modules, folder, f'{{ source = "images", path = "{images}", size = 16 }}')


@pytest.fixture(params=["digits", "colours"])
def study(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"on_{request.param}")


def scores_of(study: Path, module: str) -> dict[str, dict[str, Any]]:
    lines = store.read_lines(StudyDirectory(study).scores_jsonl)
    return {line["metric"]: line for line in lines if line["framework"] == NAMES[module]}


def run_of(study: Path, module: str) -> Path:
    (folder,) = (study / "runs").glob(f"{module}-*")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", FILES)
def test_each_is_trained_and_scored_with_a_number_or_a_reason(module: str, study: Path, importable: Path):
    assert store.is_complete(run_of(study, module))
    assert store.read_json(run_of(study, module) / "outcome.json")["status"] == "finished"
    scores = scores_of(study, module)
    assert len(scores) > 20
    for metric, line in scores.items():
        assert (line["value"] is None) == bool(line["undefined"]), metric
        assert line["value"] is None or math.isfinite(line["value"]), metric
        assert not re.match(r"\w*(Error|Exception)\b", line["undefined"] or ""), (metric, line["undefined"])
    declared = reasons(module)
    for ability, metric in ASKED.items():
        assert scores[metric]["undefined"] == declared.get(ability), (ability, metric)
    assert scores["frechet_distance"]["value"] > 0, "what samples is scored by its samples"


@pytest.mark.slow
def test_the_report_names_each_and_its_reasons(study: Path, importable: Path):
    page = Page(study / "report.html")
    said = " ".join(" ".join(page.sections.values()).split())
    for module, name in NAMES.items():
        assert name in said or framework_class(name).name in said
        for ability, reason in reasons(module).items():
            assert ability not in ASKED or reason in said, (module, ability)
    assert "Error" not in re.sub(r"standard errors?", "", said, flags=re.IGNORECASE).replace("Error of", "")


@pytest.mark.slow
@pytest.mark.parametrize("module", CONDITIONAL)
def test_the_command_draws_one_class(module: str, triptych, on_colours: Path, modules: Path, importable: Path):
    out, folder = modules / f"{module}.png", run_of(on_colours, module)
    done = triptych("sample", folder, "--class", 1, "-n", 4, "--out", out, cwd=modules)
    assert done.returncode == 0, done.stderr
    opened = package.open_run(folder)
    assert out.read_bytes() == grids.png(opened.sample(4, label=1))
    assert not torch.equal(opened.sample(4, label=1), opened.sample(4, label=2)), "another class is another picture"
    with Image.open(out) as picture:
        assert picture.mode == "RGB"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "label", "said"),
    [
        ("conditional_gan", 99, "class: no such class (got 99). Classes: 0 to 2."),
        ("vq_vae", 1, "class: not a conditional framework (got 'vq_vae:VQVAE'). Leave the class out."),
        ("flow_matching", 99, "class: not a conditional framework (got 'flow_matching:FlowMatching')."),
    ],
)
def test_a_class_that_is_not_there_is_one_message(module, label, said, triptych, on_colours, modules, tmp_path):
    out = tmp_path / "samples.png"
    done = triptych("sample", run_of(on_colours, module), "--class", label, "--out", out, cwd=modules)
    assert done.returncode == 2
    assert done.stderr.startswith(f"triptych: {said}") and len(done.stderr.splitlines()) == 1
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("module", FILES)
def test_runs_are_opened_in_python(module: str, on_digits: Path, importable: Path):
    opened = package.open_run(run_of(on_digits, module))
    drawn = opened.sample(3)
    assert drawn.shape == (3, 1, 16, 16) and float(drawn.abs().max()) <= 1
    assert torch.equal(drawn, opened.sample(3)), "one seed, one sample"
    if module in CONDITIONAL:
        assert not torch.equal(opened.sample(3, label=1), opened.sample(3, label=2))
    for label in (99, *(() if module in CONDITIONAL else (1,))):
        with pytest.raises(InputError, match="no such class" if module in CONDITIONAL else "not a conditional"):
            opened.sample(3, label=label)


@pytest.mark.slow
def test_the_command_reconstructs_by_a_conditional_framework(triptych, on_digits: Path, modules: Path, tmp_path: Path):
    out, unlabelled = tmp_path / "made.png", tmp_path / "unlabelled.npy"
    done = triptych("reconstruct", run_of(on_digits, "conditional_vae"), "-n", 4, "--out", out, cwd=modules)
    assert done.returncode == 0 and out.exists(), done.stderr
    np.save(unlabelled, np.zeros((60, 16, 16), dtype=np.uint8))
    done = triptych("reconstruct", run_of(on_digits, "conditional_vae"), unlabelled, "--out", out, cwd=modules)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "cannot reconstruct (a conditional framework needs labels, and these images have none)" in done.stderr


def test_a_conditional_framework_on_images_without_labels_is_one_message(triptych, modules: Path, digits_file: Path):
    out, name = modules / "unlabelled", NAMES["conditional_gan"]
    done = triptych("compare", digits_file, "--frameworks", f"vae,{name}", "--out", out, cwd=modules)
    assert done.returncode == 2
    (message,) = done.stderr.splitlines()
    assert message.startswith("triptych: frameworks: this framework needs labels, and the data have none")
    assert name in message and "one folder per class" in message
    assert not list(out.glob("runs/*"))
