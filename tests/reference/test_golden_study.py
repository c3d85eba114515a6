"""A change of structure leaves every weight, score and verdict of the built-in frameworks as it was.

`golden_study.json` is what `scripts/golden.py` printed before the package was reorganised. It is to be written again
only when the numbers are meant to change.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.slow(minutes=3)

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("weights", "scores", "verdicts")


def script() -> ModuleType:
    """`scripts/golden.py`, which is in no package."""
    spec = importlib.util.spec_from_file_location("golden", ROOT / "scripts" / "golden.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def differing(found: dict[str, Any], golden: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The entries that are not exactly equal: what was found, and what there was."""
    return {key: (found[key], golden[key]) for key in golden if found[key] != golden[key]}


def test_a_study_comes_to_the_golden_weights_scores_and_verdicts(tmp_path: Path):
    """To the last bit on the processor and the PyTorch of the golden study, and closely on any other."""
    golden = json.loads((ROOT / "tests" / "reference" / "golden_study.json").read_text(encoding="utf-8"))
    found = json.loads(json.dumps(script().run(tmp_path / "golden")))
    assert found.keys() == golden.keys()
    for part in PARTS:
        assert found[part].keys() == golden[part].keys(), part
    errors = [key for key in golden["scores"] if key.endswith("/reconstruction_mse") and key.startswith("vae-s")]
    assert len(errors) == 3
    for key in errors:
        assert found["scores"][key]["value"] == pytest.approx(golden["scores"][key]["value"], rel=0.01), key
    if found["processor"] == golden["processor"]:
        for part in PARTS:
            assert not differing(found[part], golden[part]), part
