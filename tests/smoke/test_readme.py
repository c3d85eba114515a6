"""README and docs say what is so: examples run, commands and options exist, links lead somewhere, tables agree."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer.main
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import triptych
from triptych import plugins
from triptych.cli import app
from triptych.frameworks import framework_of
from triptych.networks import options_of
from triptych.spec import RunSpec, StudySpec, load_study
from triptych.study.plan import runs_of
from triptych.study.presets import comparison

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")), *ROOT.glob("docs/**/*.md")])
COMMANDS: Any = typer.main.get_command(app)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def typed() -> list[tuple[str, list[str]]]:
    """Every `triptych ...` line of the docs' shell blocks: where it stands, and its words."""
    found = []
    for page in PAGES:
        for line in "".join(blocks(page, "sh")).splitlines():
            words = shlex.split(line)
            while words and "=" in words[0]:  # PYTHONPATH=.
                words.pop(0)
            if words and words[0] == "triptych":
                found.append((f"{name_of(page)}: {line}", words[1:]))
    return found


AFTERWARDS = """
assert samples.shape == (16, 1, 16, 16) and samples.abs().max() <= 1
assert decoder(samples.new_zeros(2, 128)).shape == samples[:2].shape
assert curves["images"].iloc[-1] == 640
assert {run.spec.framework for run in study.runs} == {"vae", "vaegan"} and len(study.runs) == 4
assert study.report.exists()
"""


def test_python_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    """As a plain script: no `__main__` guard is needed, and nothing complains."""
    (code,) = blocks(ROOT / "README.md", "python")
    (tmp_path / "example.py").write_text(code + AFTERWARDS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(triptych.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_docs_show_every_command() -> None:
    assert {words[0] for _, words in typed()} == set(COMMANDS.commands)


@pytest.mark.parametrize(("line", "words"), typed(), ids=[line for line, _ in typed()])
def test_every_command_in_the_docs_can_be_given_so(line: str, words: list[str]) -> None:
    """Parsing refuses an unknown option, a value of a wrong type, and a missing argument."""
    COMMANDS.commands[words[0]].make_context(words[0], words[1:])
    assert not [
        word
        for word in words
        if word.endswith(".toml") and "/" in word and not word.startswith("results/") and not (ROOT / word).exists()
    ]


def test_the_readme_lists_every_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `triptych (\w+)", readme, re.MULTILINE)) == set(COMMANDS.commands)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)", prose)
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not dead


def test_the_docs_reach_every_page() -> None:
    seen, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page not in seen:
            seen.add(page)
            links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text("utf-8"))
            todo += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert {name_of(page) for page in PAGES} - {name_of(page) for page in seen} <= {"CHANGELOG.md"}


def test_generated_pages_are_up_to_date() -> None:
    place = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts" / "write_reference.py")
    assert place is not None and place.loader is not None
    script = importlib.util.module_from_spec(place)
    place.loader.exec_module(script)
    for name, text in script.pages().items():
        found = (ROOT / "docs" / "reference" / name).read_text("utf-8")
        assert found == text, f"{name} is out of date: run python scripts/write_reference.py"


def resolved(framework: str) -> RunSpec:
    """A run of the framework in a study that says nothing else, with all its options written out."""
    run = runs_of(StudySpec(frameworks=(framework,)))[0]
    options = framework_of(run).options.model_dump()
    network = run.network.model_copy(update={"options": options_of(run.network).model_dump()})
    return run.model_copy(update={"options": options, "network": network})


def test_the_table_of_disagreements_says_what_the_presets_do() -> None:
    page = (ROOT / "docs" / "reference" / "frameworks.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    head, body = rows[0], rows[2:]
    columns = {name: resolved(f"vaegan@{name}") for name in head[2:-1]} | {head[-1]: resolved("vaegan")}
    checked = 0
    for row in body:
        for name, cell in zip(columns, row[2:], strict=True):
            value: Any = columns[name].model_dump()
            for key in row[1].strip("`").split("."):
                value = value[key]
            if cell.startswith("`"):
                said = tomllib.loads(f"value = {cell.split('`')[1]}")["value"]
                assert said == value, (row[0], name)
                checked += 1
    assert checked > 70


@pytest.mark.parametrize("path", sorted(ROOT.glob("studies/*.toml")), ids=lambda path: path.name)
def test_shipped_studies_can_be_planned(path: Path) -> None:
    study = load_study(path)
    expected = len(study.frameworks) * len(study.seeds) * len(study.conditions())
    assert len({run.id for run in runs_of(study)}) == expected


def test_shipped_studies_are_what_compare_runs() -> None:
    everyone = ("vae", "gan", "vaegan", "vae_disl")
    assert load_study(ROOT / "studies" / "quick.toml") == comparison()
    assert load_study(ROOT / "studies" / "small.toml") == comparison(frameworks=everyone, preset="small")


def test_every_framework_stands_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "frameworks.md").read_text("utf-8")
    assert set(re.findall(r"^## (\w+):", page, re.MULTILINE)) == set(plugins.names("frameworks"))


def test_constraints_pin_all_that_is_asked_for() -> None:
    """Every requirement, and what those require in turn here, has one exact version, and no address."""
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(line.partition("==")[0]) for line in lines if line}
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines if line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    todo = [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]
    seen: set[str] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        todo += [Requirement(text) for text in metadata.requires(name) or []]
    # The build of PyTorch decides which CUDA packages come with it; they are not ours to pin.
    assert {name for name in seen - pins if not name.startswith(("nvidia-", "cuda-", "triton"))} == set()
