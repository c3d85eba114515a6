"""`triptych check` and `pytest --triptych`: what is sound passes, and each fault is named by the check meant for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import triptych as package
from triptych.contracts import Result, checks_of, run_checks
from triptych.errors import InputError

pytestmark = pytest.mark.slow

HELPERS = Path(__file__).resolve().parents[1] / "helpers"
SIGNS = "no player helps a critic that it should fool"
BROKEN = {
    # the framework: the check that finds it, and the sentence that it says
    "FixedSeed": (
        "own random weights differ between seeds",
        "the network 'tint' has the same random weights at seeds 0 and 1, so its seeds are one run",
    ),
    "GlobalGenerator": (
        "nothing uses the global random generator",
        "a training step uses PyTorch's global random generator, so a run cannot be repeated",
    ),
    "Backward": (
        "gradients are left nowhere",
        "terms() leaves a gradient in dis.",
    ),
    "Forgetful": (
        "every player reaches all of its parameters",
        "the loss of player 'vae' does not reach 2 of its ",
    ),
    "Recognised": (SIGNS, "the term 'recognised' of player 'dec' lowers the loss of 'dis'"),
    "Leaked": (SIGNS, "the term 'gan' of player 'dec' lowers the loss of 'dis'"),
    "Deaf": (
        "samples depend on their latents, and on nothing else",
        "other latents give the same samples: the sampler ignores its seed",
    ),
    "Restless": (
        "samples depend on their latents, and on nothing else",
        "equal latents give other samples each time",
    ),
    "Peeking": (
        "no step depends on the values of a tensor",
        "a training step does not work without the values of its tensors: ",
    ),
    "Counting": ("a resumed run gives the same bits", "a run that is stopped and resumed differs in 'enc'"),
    "Redrawn": (
        "shared networks start from the shared weights",
        "the network 'dec' does not start from the weights that all frameworks share",
    ),
    "Squeezed": ("declared abilities work", "encode() of 1 at 16 pixels and 1 channels gives [3] instead of [1, 3]"),
    "Glaring": ("declared abilities work", "sample() of 1 at 16 pixels and 1 channels gives pixels beyond [-1, 1]"),
}
"""Restless and Squeezed break other checks as well, and these say so."""
SOUND = ("vae", "gan", "vaegan", "vae_disl", "as_published", "broken_frameworks:Tinted")


def only(name: str, check: str) -> Result:
    """How one check of a plug-in ends."""
    (result,) = run_checks([each for each in checks_of(name) if each.name == check])
    return result


def faults(name: str) -> dict[str, str]:
    """The checks that a plug-in breaks, with what they say."""
    return {result.check: result.message for result in run_checks(checks_of(name)) if result.status == "broken"}


@pytest.mark.parametrize("name", BROKEN)
def test_each_fault_of_a_framework_is_named(name: str):
    check, said = BROKEN[name]
    result = only(f"broken_frameworks:{name}", check)
    assert result.status == "broken"
    assert result.message.startswith(said)
    assert ". Usual cause: " in result.message and result.message.endswith(".")


def test_a_random_sampler_is_also_found_by_its_use_of_the_global_generator():
    result = only("broken_frameworks:Restless", "nothing uses the global random generator")
    assert result.message.startswith("sample() uses PyTorch's global random generator")


@pytest.mark.parametrize("name", SOUND)
def test_what_is_sound_passes(name: str):
    results = run_checks(checks_of(name))
    assert [result for result in results if result.status == "broken"] == []
    assert [result.check for result in results if result.status == "skipped"] == ([SIGNS] if name == "vae" else [])


@pytest.mark.parametrize(
    ("name", "term"), [("as_published@gan", "judged_fake"), ("vaegan@pythae", "gan")], ids=lambda value: value
)
def test_published_faults_are_found_by_the_sign_and_by_nothing_else(name: str, term: str):
    found = faults(name)
    assert list(found) == [SIGNS]
    assert found[SIGNS].startswith(f"the term {term!r} of player 'dec' lowers the loss of 'dis'")


def test_an_exception_of_the_authors_own_is_a_broken_contract_with_its_place(outside):
    file = outside(
        "raising",
        "from triptych.frameworks.vae import VAE\n\n\nclass Raising(VAE):\n"
        "    def sample(self, nets, latents, labels):\n        return latents.no_such_method()\n",
    )
    found = faults("raising:Raising")
    assert found["samples depend on their latents, and on nothing else"].startswith("It raised AttributeError: ")
    assert f"({file}, line 6)." in found["samples depend on their latents, and on nothing else"]
    assert "sample() of 1 at 16 pixels" in found["declared abilities work"]


# Metrics, data sources and feature extractors.


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`outside(module, text)`: a file that can be imported from."""
    monkeypatch.syspath_prepend(tmp_path)

    def outside(module: str, text: str) -> Path:
        file = tmp_path / f"{module}.py"
        file.write_text(text, encoding="utf-8")
        return file

    return outside


METRIC = """
import torch

from triptych import topics
from triptych.evaluation.metrics import Metric, Output


def compute(observed):
    error = float((observed.reconstructions - observed.real).square().mean())
    return {RESULT}


METRIC = Metric(
    name="error",
    outputs=(
        Output(
            metric="error",
            label="Error",
            unit="squared grey range",
            better="BETTER",
            smallest_effect=0.01,
            role="primary",
            about="Mean squared error of reconstructions.",
            topic=topics.RECONSTRUCTION,
        ),
    ),
    compute=compute,
)
"""
METRICS = {
    "sound": ("lower", '{"error": error}', {}),
    "upside_down": (
        "higher",
        '{"error": error}',
        {"heavy noise is worse than none": "error is higher for images under heavy noise"},
    ),
    "misnamed": (
        "lower",
        '{"err": error}',
        {"it gives a value or a reason for each output": "compute() leaves out error"},
    ),
    "raising": (
        "lower",
        '{"error": observed.nothing}',
        {"it gives a value or a reason for each output": "compute() raised AttributeError: "},
    ),
    "random": (
        "lower",
        '{"error": error + float(torch.rand(()))}',
        {
            "the same observations give the same values": "the same observations give other values",
            "nothing uses the global random generator": "compute() uses PyTorch's global random generator",
        },
    ),
}
SOURCE = """
import numpy as np

from triptych.data.sources import Raw, array_split


def load(spec):
    rng = np.random.default_rng(SEED)
    images = rng.integers(0, 256, (60, 16, 16, 1), dtype=np.uint8)
    labels = rng.integers(0, 2, 60)
    RETURN
"""
SOUND_RETURN = 'return Raw(array_split(images, labels), label_names=["a", "b"])'
SOURCES = {
    "sound": ("0", SOUND_RETURN, {}),
    "other_each_time": (
        "",
        SOUND_RETURN,
        {"the same images are loaded each time": "'train' has other images when it is loaded again"},
    ),
    "labels_beyond_names": (
        "0",
        'return Raw(array_split(images, labels), label_names=["a"])',
        {"labels fit the images and their names": "labels of 'train' are no int64 places in label_names"},
    ),
    "floats": (
        "0",
        'return Raw(array_split(images / 255, labels), label_names=["a", "b"])',
        {"images are read in the order asked for": "read() of 'train' gives float64"},
    ),
    "nothing": ("0", "pass", {"it loads, and its splits say what they hold": "the data source returned a NoneType"}),
    "raising": ("0", "return images.missing", {"it loads, and its splits say what they hold": "loading raised"}),
}
EXTRACTOR = """
import torch

from triptych.evaluation.features import Extractor


def embed(images):
    means = torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
    return RESULT


extractor = Extractor(name="means", sha256="", dimension=4, embed=embed)
"""
EXTRACTORS = {
    "sound": ("means", {}),
    "wrong_dimension": (
        "means[:, :3]",
        {"it gives finite features of its dimension": "the extractor means gave features of shape [250, 3]"},
    ),
    "of_the_batch": (
        "means - means[:1]",
        {"features of an image do not depend on the others": "features depend on the other images of the batch"},
    ),
    "constant": ("0 * means", {"features differ between images": "all images have the same features"}),
    "random": (
        "means + torch.randn_like(means)",
        {
            "features are the same each time": "the same images have other features each time",
            "nothing uses the global random generator": "embed() uses PyTorch's global random generator",
        },
    ),
}


def assert_found(found: dict[str, str], expected: dict[str, str]) -> None:
    for check, said in expected.items():
        assert found[check].startswith(said), found
    assert bool(found) == bool(expected), found


@pytest.mark.parametrize("name", METRICS)
def test_metrics(name: str, outside):
    better, result, expected = METRICS[name]
    module = f"checked_metric_{name}"
    outside(module, METRIC.replace("{RESULT}", result).replace("BETTER", better))
    assert_found(faults(f"{module}:METRIC"), expected)


@pytest.mark.parametrize("name", SOURCES)
def test_sources(name: str, outside):
    seed, returned, expected = SOURCES[name]
    module = f"checked_source_{name}"
    outside(module, SOURCE.replace("SEED", seed).replace("RETURN", returned))
    assert_found(faults(f"{module}:load"), expected)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_extractors(name: str, outside):
    result, expected = EXTRACTORS[name]
    module = f"checked_extractor_{name}"
    outside(module, EXTRACTOR.replace("RESULT", result))
    assert_found(faults(f"{module}:extractor"), expected)


OBJECTS = {"framework": "FRAMEWORK", "metric": "METRIC", "source": "load", "extractor": "extractor"}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("framework", "from triptych.frameworks.vae import VAE\n\nFRAMEWORK = VAE\n"),
        ("metric", METRIC.replace("{RESULT}", '{"error": error}').replace("BETTER", "lower")),
        ("source", SOURCE.replace("SEED", "0").replace("RETURN", SOUND_RETURN)),
        ("extractor", EXTRACTOR.replace("RESULT", "means")),
    ],
)
def test_a_module_alone_names_its_object_of_the_usual_name(kind: str, text: str, outside, tmp_path: Path):
    """As everywhere else that takes "package.module"."""
    (tmp_path / f"checked_{kind}").mkdir()
    outside(f"checked_{kind}/plug_in", text)
    named = [check.name for check in checks_of(f"checked_{kind}.plug_in:{OBJECTS[kind]}")]
    assert [check.name for check in checks_of(f"checked_{kind}.plug_in")] == named


def test_a_module_without_any_plug_in_is_refused(outside, tmp_path: Path):
    (tmp_path / "checked_nothing").mkdir()
    outside("checked_nothing/plug_in", "LSGAN = 1\n")
    with pytest.raises(InputError, match=r'defines none of FRAMEWORK, METRIC, .*"checked_nothing.plug_in:Name"'):
        checks_of("checked_nothing.plug_in")


@pytest.mark.parametrize("name", ["frechet", "pixel_error", "mnist", "pixels"])
def test_built_in_plug_ins_of_the_other_kinds_pass(name: str):
    assert faults(name) == {}


def test_a_source_that_needs_a_path_is_skipped_with_the_reason():
    results = run_checks(checks_of("arrays"))
    assert {result.status for result in results} == {"skipped"}
    assert all("needs a path" in result.message for result in results)


def test_what_is_no_plug_in_is_refused():
    with pytest.raises(InputError, match="neither a framework, a metric, a data source nor a feature extractor"):
        checks_of("triptych.rng:__doc__")
    with pytest.raises(InputError, match="Did you mean 'vaegan'"):
        checks_of("vagean")


# The command line and pytest.


def test_the_command_says_what_holds_and_ends_with_0_or_2(triptych):
    sound = triptych("check", "vae")
    assert sound.returncode == 0 and sound.stderr == ""
    lines = sound.stdout.splitlines()
    assert lines[-1] == "13 of 14 contracts hold, 1 skipped: vae"
    assert sum(line.startswith("holds   ") for line in lines) == 13
    broken = triptych("check", "broken_frameworks:Recognised", cwd=HELPERS)
    assert broken.returncode == 2 and broken.stderr == ""
    (line,) = [line for line in broken.stdout.splitlines() if line.startswith("broken")]
    assert line.startswith(f"broken  {SIGNS}: the term 'recognised' of player 'dec' lowers the loss of 'dis'")
    assert broken.stdout.splitlines()[-1] == "13 of 14 contracts hold: broken_frameworks:Recognised"


def test_an_unknown_name_is_one_message_with_a_suggestion(triptych):
    done = triptych("check", "vagean")
    assert done.returncode == 2 and done.stdout == ""
    (message,) = done.stderr.splitlines()
    assert message.startswith("triptych: NAME: no such plug-in (got 'vagean'). Did you mean 'vaegan'?")


def pytest_of(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """pytest in a folder without tests; the plug-in by its entry point, or by name where it is not installed."""
    installed = any(entry.value == PLUG_IN for entry in metadata.entry_points(group="pytest11"))
    paths = [str(HELPERS), str(Path(package.__file__).parents[1])]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *([] if installed else ["-p", PLUG_IN]), "-v", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


PLUG_IN = "triptych.contracts.pytest_plugin"


def test_pytest_runs_the_checks_as_tests(tmp_path: Path):
    sound = pytest_of(tmp_path, "--triptych", "vae")
    assert sound.returncode == pytest.ExitCode.OK, sound.stdout + sound.stderr
    assert "13 passed, 1 skipped" in sound.stdout
    broken = pytest_of(tmp_path, "--triptych", "broken_frameworks:Deaf")
    assert broken.returncode == pytest.ExitCode.TESTS_FAILED, broken.stdout + broken.stderr
    assert "1 failed, 12 passed, 1 skipped" in broken.stdout
    assert BROKEN["Deaf"][1] in broken.stdout and "Traceback" not in broken.stdout


def test_pytest_refuses_an_unknown_name_as_a_usage_error(tmp_path: Path):
    done = pytest_of(tmp_path, "--triptych", "vagean")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
    assert "Did you mean 'vaegan'?" in done.stderr and "Traceback" not in done.stderr
