"""The script that checks a GPU, tried without one: every part at a tiny size, and a limit that is over at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu_check.sh"
PARTS = ["machine", "agreement", "step_time", "waits", "as_published"]


def check(out: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """The parts and the page that the script leaves."""
    command = [str(SCRIPT), "--tiny", "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert said.returncode == 0, said.stderr
    return json.loads((out / "gpu.json").read_text())["parts"], (out / "gpu.md").read_text()


def test_every_part_has_its_numbers(tmp_path):
    parts, page = check(tmp_path, "--device", "cpu", "--minutes", "3")
    skipped = {name: part["status"] for name, part in parts.items() if part["status"] != "done"}
    assert list(parts) == PARTS and skipped == {"waits": "skipped: no CUDA"}

    assert parts["machine"]["device"] == "cpu" and parts["machine"]["torch"]
    frameworks = parts["agreement"]["frameworks"]
    assert set(frameworks) == {"vae", "gan", "vaegan", "vae_disl", "as_published@vaegan"}
    # oneDNN and its absence do differ, or nothing was compared
    assert all(0 < found["weights"] < 0.1 and found["passed"] for found in frameworks.values())
    scores = {row["metric"]: row for row in parts["agreement"]["scores"]}
    assert {"frechet_distance", "coverage", "reconstruction_mse"} <= set(scores)
    assert scores["frechet_distance"]["device"] > 0 and parts["agreement"]["passed"] is True

    assert all(product["tflops"] > 0 for product in parts["step_time"]["matrix_products"].values())
    assert set(parts["step_time"]["frameworks"]) == {"vae", "gan", "vaegan"}
    assert all(
        row["seconds"] > 0 and row["tflops"] > 0 and row["bf16_gain"] > 0
        for row in parts["step_time"]["frameworks"].values()
    )

    runs = parts["as_published"]["runs"]
    assert [(run["rate"], run["seed"]) for run in runs] == [(0.0003, 0), (0.00015, 0), (0.0006, 0)]
    assert all(run["iterations"] == run["of"] == 10 for run in runs)
    assert all(run[name]["last"] > 0 for run in runs for name in ("L_GAN", "L_prior", "Dis_l loss"))
    assert all(f"{run['L_GAN']['last']:.4f}" in page for run in runs) and "1.6904" in page


def test_a_limit_that_is_over_leaves_both_files(tmp_path):
    parts, page = check(tmp_path, "--device", "cpu", "--minutes", "0.01")
    assert [part["status"] for part in parts.values()] == ["not reached"] * len(PARTS)
    assert page.count("Not reached.") == len(PARTS)
