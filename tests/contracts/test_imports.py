"""The order of the rooms: imports point down only, little is imported for little, and no file grows past reading."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import triptych

ROOT = Path(triptych.__file__).parent
LEVELS = [
    {"errors", "text", "topics"},
    {"plugins", "rng", "store", "imagefile"},
    {"spec"},
    {"directory"},
    {"data", "networks", "verdicts"},
    {"frameworks", "report", "terminal"},
    {"training"},
    {"evaluation"},
    {"study", "measuring"},
    {"api", "contracts", "claims"},
    {"papers"},
    {"cli"},
]
"""From the ground up. A package (or a module at the root) imports only packages below it."""
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
LIGHT = [
    "verdicts.stats",
    "verdicts.comparisons",
    "report",
    "spec",
    "errors",
    "study.presets",
    "store",
    "directory",
    "plugins",
    "cli",
    "data.sources",
]


def modules() -> dict[str, Path]:
    """Every module of the package by its name below it, such as "metrics.ssim"; a folder by its own name."""
    names = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    del names[""]  # the package itself, which imports on demand
    return names


def imported(path: Path) -> set[str]:
    """The rooms that a module imports, in functions too, but not for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            names = [alias.name for alias in node.names]
            found |= {f"triptych.{name}" for name in names} if node.module == "triptych" else {node.module or ""}
    return {name.split(".")[1] for name in found if name.startswith("triptych.")}


def functions(path: Path) -> list[tuple[str, int]]:
    """Each function of a module and its number of lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [(n.name, (n.end_lineno or 0) - n.lineno + 1) for n in ast.walk(tree) if isinstance(n, kinds)]


def test_every_room_has_its_level_and_stands_once():
    assert sum(map(len, LEVELS)) == len(LEVEL)
    assert {name.split(".")[0] for name in modules()} == LEVEL.keys()


def test_the_root_is_small():
    assert len(list(ROOT.glob("*.py"))) <= 12


@pytest.mark.parametrize("name", modules())
def test_imports_point_down(name):
    room = name.split(".")[0]
    upward = {other for other in imported(modules()[name]) - {room} if LEVEL[other] >= LEVEL[room]}
    assert not upward, f"{name} imports {upward}"


@pytest.mark.parametrize("name", modules())
def test_no_file_and_no_function_is_too_long(name):
    path = modules()[name]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert [(function, lines) for function, lines in functions(path) if lines > 60] == []


def in_a_fresh_process(code: str) -> list[str]:
    """What a Python program prints last, as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", LIGHT)
def test_no_torch_where_no_tensor_is(name):
    code = f"import json, sys, triptych.{name}; print(json.dumps(sorted(sys.modules)))"
    loaded = in_a_fresh_process(code)
    assert "torch" not in loaded and f"triptych.{name}" in loaded


def test_importing_the_package_imports_nothing_else_of_it():
    code = "import json, sys, triptych; print(json.dumps(sorted(sys.modules)))"
    assert [name for name in in_a_fresh_process(code) if name.startswith("triptych.")] == []


HEAVY = ("torch", "scipy", "numpy", "matplotlib", "pandas", "PIL")


def heavy(loaded: list[str], kinds: tuple[str, ...] = HEAVY) -> set[str]:
    return {name.split(".")[0] for name in loaded} & set(kinds)


def test_help_imports_nothing_heavy():
    code = (
        "import json, sys\nfrom triptych import cli\nsys.argv = ['triptych', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    print(json.dumps(sorted(sys.modules)))"
    )
    loaded = in_a_fresh_process(code)
    assert heavy(loaded) == set() and "triptych.cli" in loaded


def test_a_worker_is_started_by_a_process_that_has_imported_nothing_heavy():
    """So that both import PyTorch at the same time."""
    code = "import json, sys\nfrom triptych.study.executors import local\nprint(json.dumps(sorted(sys.modules)))"
    assert heavy(in_a_fresh_process(code)) == set()


def test_a_worker_comes_to_its_first_step_without_what_only_scores_need():
    code = (
        "import json, sys\nfrom triptych.study import worker\nworker.import_ahead()\n"
        "from triptych import store\nfrom triptych.data import dataset\nfrom triptych.directory import RunDirectory\n"
        "from triptych.training.loop import train\nprint(json.dumps(sorted(sys.modules)))"
    )
    loaded = in_a_fresh_process(code)
    assert heavy(loaded, ("scipy", "matplotlib", "pandas", "torchvision", "sklearn")) == set()
    assert not [name for name in loaded if name.startswith(("triptych.evaluation", "triptych.report"))]
    assert {"torch", "torch._dynamo"} <= set(loaded)  # the second, which the first update would import, comes ahead


def test_planning_imports_no_slow_part_of_scipy_and_no_report():
    code = (
        "import json, sys\nfrom triptych.study import runner\nfrom triptych.spec import ScoringSpec\n"
        "from triptych.evaluation.scoring import metrics_of\nmetrics_of(ScoringSpec())\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = in_a_fresh_process(code)
    assert {"scipy.stats", "scipy.signal", "scipy.optimize", "triptych.report", "matplotlib"}.isdisjoint(loaded)


def test_the_public_names_are_few_and_all_there():
    assert len(triptych.__all__) == len(set(triptych.__all__)) <= 15
    for name in triptych.__all__:
        assert getattr(triptych, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'vea'"):
        _ = triptych.vea


PAGE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
"""Its code spans are a path, then the names defined in that file, functions as `name()` or `Class.name()`."""


def defined(path: Path) -> set[str]:
    """The functions "f()" and "C.f()" and the classes "C" of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(f"{node.name}()")
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{part.name}()" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_the_map_shows_every_package_and_root_module():
    tree = PAGE.read_text(encoding="utf-8").split("```")[1]
    shown = re.findall(r"^  (\w+)(?:/|\.py) +\S", tree, re.MULTILINE)
    assert sorted(shown) == sorted(LEVEL)


def test_the_map_has_the_order_of_imports():
    text = PAGE.read_text(encoding="utf-8").partition("## The order of imports")[2]
    lines = text.split("```")[1].strip().splitlines()
    assert [set(line.split()) for line in reversed(lines)] == LEVELS


def test_every_file_and_function_of_the_map_exists():
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    names: set[str] | None = None
    checked = 0
    for span in spans:
        if re.fullmatch(r"[\w/]+\.py", span):
            assert (ROOT / span).is_file(), span
            names = defined(ROOT / span)
        elif span.endswith("()") or re.fullmatch("[A-Z][a-z]+([A-Z][a-z]+)*", span):
            assert names is not None and span in names, span
            checked += 1
    assert checked > 50
