"""docs/how-to/check-a-plug-in.md: two faulty frameworks, what `triptych check` prints for them, and their repair."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from triptych import plugins
from triptych.contracts import checks_of, run_checks

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "how-to"
EXAMPLES = {
    "inverted_generator": ("InvertedGenerator", r"cross_entropy_fake(\(fake\).mean\(\),  # should be (\w+))"),
    "leaked_gradient": ("LeakedGradient", r"1\.0 - S(\},  # should be (-S))"),
}
"""The class, and the faulty words with a comment that says what they should be."""


def test_the_page_shows_every_example_and_every_contract_of_frameworks():
    page = (FOLDER / "check-a-plug-in.md").read_text("utf-8")
    assert {file.stem for file in (FOLDER / "check-a-plug-in").glob("*.py")} == set(EXAMPLES)
    assert all(f"triptych check {module}:{name}\n" in page for module, (name, _) in EXAMPLES.items())
    rows = re.findall(r"^\| (.*?) \|", page, re.MULTILINE)
    assert rows[1:] == [check.name for check in checks_of("vae")]


@pytest.mark.parametrize("module", EXAMPLES)
def test_the_page_shows_what_the_command_prints(module: str, triptych):
    blocks = re.findall(r"```text\n(.*?)```", (FOLDER / "check-a-plug-in.md").read_text("utf-8"), re.DOTALL)
    name, _ = EXAMPLES[module]
    done = triptych("check", f"{module}:{name}", cwd=FOLDER / "check-a-plug-in")
    assert done.returncode == 2 and done.stderr == ""
    assert done.stdout == blocks[list(EXAMPLES).index(module)]


@pytest.mark.parametrize("module", EXAMPLES)
def test_with_the_commented_words_corrected_every_contract_holds(module: str, tmp_path, monkeypatch):
    name, fault = EXAMPLES[module]
    text, count = re.subn(fault, r"\2\1", (FOLDER / "check-a-plug-in" / f"{module}.py").read_text("utf-8"))
    assert count == 1
    (tmp_path / f"corrected_{module}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.find("frameworks", f"corrected_{module}:{name}") is not None
    results = run_checks(checks_of(f"corrected_{module}:{name}"))
    assert [result.status for result in results] == ["holds"] * 14, results
    sys.modules.pop(f"corrected_{module}")
