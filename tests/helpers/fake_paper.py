"""Invented results of all four studies of the reproduction on disk, in the formats that real runs leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from triptych import store
from triptych.claims import engine
from triptych.claims.quantities import outputs
from triptych.claims.results import Results, open_results
from triptych.papers.vae_vs_gan_vs_vaegan import content, page, pictures
from triptych.papers.vae_vs_gan_vs_vaegan.designs import CLAIMS, NAMES, SCALES, studies
from triptych.spec import RunSpec, to_toml
from triptych.study.plan import runs_of

LEVELS = {"vae": 60.0, "gan": 30.0, "vaegan": 40.0}
METRICS = (
    "frechet_distance",
    "validation_frechet",
    "translated_frechet",
    "coverage",
    "recall",
    "precision",
    "reconstruction_mse",
    "sharpness",
    "sharpness_gap",
    "reconstruction_sharpness",
    "reconstruction_sharpness_gap",
    "grey_border",
    "reconstruction_grey_border",
    "translation_error",
    "translation_growth",
    "translated_mse",
    "pixel_response",
    "ssim_response",
    "feature_response",
    "dis_l_response",
    "loss_oscillation",
    "collapsed",
)
CURVES = ("frechet_convergence", "mse_convergence")
LOSSES = {"vae": 12.0, "enc": 3.0, "dec": 2.0, "dis": 1.6}
TERMS = {"gan": 1.6, "prior": 0.3, "llike": 0.09, "reconstruction": 0.04, "judged_fake": 0.5}
ENVIRONMENT = {"triptych": "0.1.0", "torch": "2.0", "cpu": "A processor <of 2 cores>", "cores": 2, "device": "cpu"}


def make(folder: Path, spread: float = 0.03) -> Path:
    """Every run of scale tiny, finished; scores follow framework, rate and optimiser, times a factor by seed.

    The factor is lognormal, and `spread` the standard deviation of its logarithm.
    """
    for name, study in studies(SCALES["tiny"]).items():
        (folder / name / "runs").mkdir(parents=True)
        (folder / name / "study.toml").write_text(to_toml(study), encoding="utf-8")
        for run in runs_of(study):
            _run(folder / name / "runs" / run.id, run, spread)
    return folder


def write(folder: Path, *places: Path) -> Path:
    """The page of what `make` made, with pictures of noise in the place of drawn ones; its path."""
    results = open_results(folder, NAMES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "figures", _pictures)
        return page.write(results, engine.judge_claims(engine.load(CLAIMS), results), folder, *places)


def _pictures(_: Results, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.png" for name in content.TEXTS["pictures"]}
    for seed, path in enumerate(paths.values()):
        noise = np.random.default_rng(seed).integers(0, 255, (60, 900), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


def _run(folder: Path, run: RunSpec, spread: float) -> None:
    noise = np.random.default_rng([run.seed, len(run.id)])
    rows = [_score(metric, run, spread * float(noise.normal())) for metric in METRICS + CURVES]
    steps = range(64, run.training.images + 1, 64)
    log = [
        {
            "images": i,
            "step": i // 64,
            "terms": {t: x * np.exp(spread * noise.normal()) for t, x in TERMS.items()},
            "losses": LOSSES,
            "gradient_norms": {},
            "skipped_updates": {},
        }
        for i in steps
    ]
    pace = float(np.exp(spread * noise.normal())) / 300
    timing = [{"images": i, "seconds": i * pace, "images_per_second": 300.0, "peak_memory_bytes": 2**29} for i in steps]
    outcome = {
        "status": "finished",
        "images": run.training.images,
        "message": "",
        "channels": 1,
        "parameters": {"enc": 7000, "dec": 4000},
        "flops_per_image": 5_000_000,
    }
    folder.mkdir()
    for name, table in (("spec", run.model_dump(mode="json")), ("outcome", outcome), ("environment", ENVIRONMENT)):
        (folder / f"{name}.json").write_bytes(store.to_json(table))
    for name, lines in (("scores", rows), ("log", log), ("timing", timing)):
        (folder / f"{name}.jsonl").write_bytes(store.to_lines(lines))
    (folder / store.MANIFEST).write_text('{"files": {}}', encoding="utf-8")


def _game(run: RunSpec) -> str:
    """The game that a run plays, the published framework's included."""
    return run.framework if run.framework in LEVELS else str(run.options.get("game", "vaegan"))


def _score(metric: str, run: RunSpec, noise: float) -> dict[str, Any]:
    output = outputs()[metric]
    size = LEVELS[_game(run)] * (1 + 40 * run.optimiser.rate) * (0.9 if run.optimiser.name == "Adam" else 1.0)
    fixed = 0.6 if "-fix" in run.framework else 1.0
    value: float | None = size * fixed * float(np.exp(noise)) / (1 if "frechet" in metric else 1000)
    if metric == "collapsed":
        value = 0.0
    if _game(run) == "gan" and output.topic.name == "reconstruction":
        value = None
    curve = []
    if value and metric in CURVES:
        curve = [[x * run.training.images / 8, value * (2 - x / 8)] for x in range(1, 9)]
    return {
        "run": run.id,
        "framework": run.framework,
        "seed": run.seed,
        "condition": {},
        "metric": metric,
        "value": value,
        "error": None,
        "unit": output.unit,
        "better": output.better,
        "undefined": None if value is not None else "no encoder",
        "n": 200,
        "features": "",
        "note": "",
        "curve": curve,
        "real_baseline": None,
        "noise_baseline": None,
    }
