"""The worked examples of the docs, as they stand there, add a framework, a metric, a data source, a feature
extractor and a network family in one file each.

Each way in is walked through the real command line: as "package.module:Name" from outside, and as a file dropped into
a copy of the package.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import triptych
from report_page import Page
from triptych import store
from triptych.spec import StudySpec, checked, load_study, read_toml, to_toml

pytestmark = pytest.mark.slow

OWN_TOPIC = """
from triptych.evaluation.metrics import Metric, Output
from triptych.topics import Topic

CONTRAST = Topic("contrast", title="Contrast", question="Who has the right contrast?", subject="greys", order=0)


def compute(observed):
    real, samples = (images.double().std().item() for images in (observed.real, observed.samples))
    return {"contrast_gap": abs(samples - real), "contrast": samples}


def output(name, label, better, role):
    return Output(
        metric=name,
        label=label,
        unit="greys",
        better=better,
        smallest_effect=0.01,
        role=role,
        about="Standard deviation of all pixels.",
        topic=CONTRAST,
    )


GAP = output("contrast_gap", "Contrast gap", "lower", "primary")
METRIC = Metric(name="contrast", outputs=(GAP, output("contrast", "Spread", "none", "secondary")), compute=compute)
"""
"""A metric from outside with a topic of its own, in one file."""

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = {
    "frameworks": ("add-a-framework/README.md", "lsgan"),
    "evaluation/metrics": ("add-a-metric.md", "brightness"),
    "data/sources": ("add-a-data-source.md", "bars"),
    "evaluation/features": ("add-a-feature-extractor.md", "tones"),
    "networks": ("add-a-network-family.md", "linear"),
}
NAMES = {
    "outside": ("mine.lsgan:LSGAN", "mine.brightness:METRIC", "mine.bars:load", "mine.tones:extractor", "mine.linear"),
    "dropped in": ("lsgan", "brightness", "bars", "tones", "linear"),
}


def example(page: str) -> str:
    """The one block of Python on a how-to page."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / page).read_text("utf-8"), re.DOTALL)
    return code


def install(way: str, folder: Path) -> Path:
    """Put the examples where that way in wants them; returns what goes onto the module path."""
    if way == "dropped in":
        package = Path(triptych.__file__).parent
        # MNIST is left out: the study must work on the new source alone.
        shutil.copytree(package, folder / "triptych", ignore=shutil.ignore_patterns("__pycache__", "mnist_idx"))
    for home, (page, name) in EXAMPLES.items():
        target = folder / ("triptych/" + home if way == "dropped in" else "mine") / f"{name}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        assert not target.exists(), "an example must be a new file"
        target.write_text(example(page), encoding="utf-8")
    return folder


def write_study(path: Path, framework: str, metric: str, source: str, extractor: str, family: str) -> None:
    values = {
        "frameworks": ["gan", framework],
        "seeds": 1,
        "data": {"source": source, "size": 16, "options": {"share": 0.3}},
        "network": {"family": family, "width": 0.1, "latent": 4, "options": {"bias": False}},
        "training": {"images": 64, "batch_size": 16},
        "scoring": {"images": 50, "metrics": ["kid", metric, "topical:METRIC"], "features": ["pixels", extractor]},
    }
    path.write_text(to_toml(checked(StudySpec, values, "this test")), encoding="utf-8")


def command(where: Path, *words: str) -> None:
    """Run `triptych` with `where` before everything else on the module path; it must end well."""
    path = os.pathsep.join([str(where), str(Path(triptych.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-m", "triptych.cli", *words],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=where,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", [page for page, _ in EXAMPLES.values()])
def test_each_example_is_short(page: str) -> None:
    assert len(example(page).splitlines()) < 60


@pytest.mark.parametrize("way", NAMES)
def test_examples_run_in_a_study(way: str, tmp_path: Path) -> None:
    framework, metric, source, extractor, family = NAMES[way]
    where = install(way, tmp_path / "modules")
    write_study(tmp_path / "study.toml", framework, metric, source, extractor, family)
    (where / "topical.py").write_text(OWN_TOPIC, encoding="utf-8")
    out = tmp_path / "out"
    command(where, "run", str(tmp_path / "study.toml"), "--out", str(out))

    data = json.loads((out / "data" / "data.json").read_text("utf-8"))
    assert (data["source"], data["label_names"]) == (source, ["upright", "level"])
    assert data["spec"]["options"] == {"share": 0.3}
    networks = {store.read_json(spec)["network"]["family"] for spec in out.glob("runs/*/spec.json")}
    assert networks == {family}
    scores = [line for line in store.read_lines(out / "scores.jsonl") if line["metric"] == "brightness_gap"]
    assert [line["framework"] for line in scores] == ["gan", framework]
    assert all(line["undefined"] is None and 0 <= line["value"] <= 1 for line in scores)
    seen = [line for line in store.read_lines(out / "scores.jsonl") if line["metric"] == "kid@tones"]
    assert len(seen) == 2
    assert all(line["features"].startswith("tones@") and line["undefined"] is None for line in seen)
    asked = [(v["metric"], v["a"], v["b"], v["n"]) for v in store.read_json(out / "verdicts.json")]
    assert ("brightness_gap", "gan", framework, 1) in asked
    assert "Brightness gap" in (out / "report.html").read_text("utf-8")
    check_topic(out)
    logged = store.read_lines(next(out.glob("runs/*lsgan*s0-*")) / "log.jsonl")
    assert set(logged[-1]["terms"]) == {"telling", "fooling"}


def check_topic(out: Path) -> None:
    """A topic from outside, with its words, is wherever a built-in one is: files, card, tables and sentences."""
    entries = {entry["metric"]: entry for entry in store.read_json(out / "metrics.json")}
    assert entries["contrast_gap"]["topic"]["question"] == "Who has the right contrast?"
    (verdict,) = [v for v in store.read_json(out / "verdicts.json") if v["metric"] == "contrast_gap"]
    assert (verdict["topic"], verdict["subject"], verdict["role"]) == ("contrast", "greys", "primary")
    assert "by contrast gap, GAN's greys score" in verdict["sentence"]
    sections = Page(out / "report.html").sections
    answer = sections["answer"]
    assert answer.index("Who has the right contrast?") < answer.index("At what cost?"), "a card"
    assert "Not measured in this study: who samples best, who covers the data" in answer
    assert verdict["sentence"] in sections["verdicts"]
    assert "Contrast gap" in sections["scores"] and "1 secondary measure" in sections["scores"]


@pytest.mark.parametrize(
    ("page", "part", "key", "name"),
    [
        ("add-a-metric.md", "scoring", "metrics", "mine.brightness:METRIC"),
        ("add-a-feature-extractor.md", "scoring", "features", "mine.tones:extractor"),
        ("add-a-data-source.md", "data", "source", "mine.bars:load"),
        ("add-a-network-family.md", "network", "family", "mine.linear"),
    ],
)
def test_a_page_names_its_example_in_a_study(page: str, part: str, key: str, name: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / "how-to" / page).read_text("utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    file = tmp_path / "study.toml"
    file.write_text('frameworks = ["vae"]\n' + block, encoding="utf-8")
    named = read_toml(file)[part][key]
    assert name == named or name in named
    assert getattr(getattr(load_study(file), part), key) is not None
