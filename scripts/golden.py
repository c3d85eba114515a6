"""What a small study of the four built-in frameworks at three seeds comes to: weights, scores and verdicts.

    python scripts/golden.py > tests/reference/golden_study.json

A change of structure must leave all of it bit-identical on one kind of processor, and close on any other. The study is
run through the command line and its files are read as they are, so that this program does not depend on how the
package is organised.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STUDY = """
name = "golden"
frameworks = ["vae", "gan", "vaegan", "vae_disl"]
seeds = 3

[data]
source = "mnist"
size = 16

[network]
width = 0.0625
latent = 8

[training]
images = 1280

[scoring]
images = 200

[scoring.options.likelihood]
images = 4
validation_images = 4
simulated_images = 4
chains = 2
temperatures = 20

[execution]
device = "cpu"
workers = 2
threads = 1
"""


def processor() -> dict[str, str]:
    """What decides the last bits on a CPU: PyTorch's version, and the instructions that it uses."""
    import torch

    return {"torch": torch.__version__.partition("+")[0], "instructions": torch.backends.cpu.get_cpu_capability()}


def run(folder: Path) -> dict[str, object]:
    """Run the study in a new directory `folder`, and read what it comes to."""
    folder.mkdir(parents=True)
    study = folder / "golden.toml"
    study.write_text(STUDY, encoding="utf-8")
    out = folder / "out"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "triptych.cli", "run", str(study), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return {"processor": processor(), **read(out)}


def read(out: Path) -> dict[str, object]:
    """Weights as hashes by framework, seed and network; scores and verdicts as they are, but for names of runs."""
    weights, scores = {}, {}
    for spec in sorted(out.glob("runs/*/spec.json")):
        content = json.loads(spec.read_text(encoding="utf-8"))
        who = f"{content['framework']}-s{content['seed']}"
        for file in sorted(spec.parent.glob("weights/*.safetensors")):
            weights[f"{who}/{file.stem}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    for line in (out / "scores.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        kept = {key: row[key] for key in ("value", "error", "n", "undefined") if key in row}
        scores[f"{row['framework']}-s{row['seed']}/{row['metric']}"] = kept
    verdicts = {}
    for row in json.loads((out / "verdicts.json").read_text(encoding="utf-8")):
        kept = {key: row[key] for key in ("verdict", "effect", "low", "high", "n", "p_adjusted") if key in row}
        verdicts[f"{row['metric']}: {row['a']} against {row['b']}"] = kept
    return {"weights": weights, "scores": scores, "verdicts": verdicts}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        json.dump(run(Path(folder) / "golden"), sys.stdout, indent=1, sort_keys=True)
        print()
