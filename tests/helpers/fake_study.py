"""A made-up study on disk, in the formats that a real one leaves, for tests of what reads them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from triptych import text, topics
from triptych.verdicts.comparisons import comparisons_for, judge

FRAMEWORKS = ("vae", "gan", "vaegan")
STEPS = (640, 1280, 2560, 5120, 10240, 20000)
FEATURES = "mnist-classifier@74a5988e"
TOPICS = {topic.name: topic for topic in topics.BUILT_IN}
SHIFTS = (0.0, 0.05, 0.1, 0.15, 0.2)


def _metric(
    name: str,
    label: str,
    topic: str,
    better: str,
    effect: float = 0.0,
    unit: str = "",
    *,
    primary: bool = False,
    about: str = "",
    **more: Any,
) -> dict[str, Any]:
    """One entry of metrics.json."""
    return {
        "metric": name,
        "label": label,
        "unit": unit,
        "better": better,
        "smallest_effect": effect,
        "role": "primary" if primary else "secondary",
        "about": about or f"What {label} is.",
        "topic": dataclasses.asdict(TOPICS[topic]),
        "axis": "",
        "gap": "",
        "scale": "difference",
        "unshifted": "",
        **more,
    }


METRICS: list[dict[str, Any]] = [
    _metric(
        "frechet_distance",
        "Fréchet distance",
        "samples",
        "lower",
        1.1,
        primary=True,
        scale="factor",
        about="Distance between samples and test images.",
    ),
    _metric("kid", "KID", "samples", "lower", 1.0, "1e-3"),
    _metric("coverage", "Coverage", "diversity", "higher", 0.02, "share", primary=True, scale="share"),
    _metric("share_0", "Share of class 0", "diversity", "none", unit="share"),
    _metric(
        "reconstruction_mse", "Reconstruction error", "reconstruction", "lower", 1.12, primary=True, scale="factor"
    ),
    _metric("psnr", "PSNR", "reconstruction", "higher", 0.5, "dB"),
    _metric("inverted_mse", "Reconstruction error, inverted", "reconstruction", "lower", 1.12, scale="factor"),
    _metric(
        "translation_error",
        "Translation error",
        "translation",
        "lower",
        1.12,
        primary=True,
        scale="factor",
        axis="shift, share of the side",
    ),
    _metric(
        "translated_mse",
        "Reconstruction error, translated",
        "translation",
        "lower",
        1.12,
        scale="factor",
        unshifted="reconstruction_mse",
    ),
    _metric(
        "translated_frechet",
        "Fréchet distance, translated",
        "translation",
        "lower",
        1.1,
        scale="factor",
        unshifted="frechet_distance",
    ),
    _metric("blur_error", "Error under blur", "robustness", "lower", 1.12, scale="factor", axis="blur, SD in pixels"),
    _metric("log_likelihood", "Log-likelihood", "likelihood", "higher", 5.0, "nats", primary=True, gap="ais_gap"),
    _metric("active_units", "Active units", "latent", "none", unit="units"),
    _metric("collapsed", "Collapsed", "stability", "lower", 0.1, scale="event"),
    _metric("frechet_distance@pixels", "Fréchet distance (pixels)", "samples", "lower", scale="factor"),
    _metric("kid@pixels", "KID (pixels)", "samples", "lower", unit="1e-3"),
]
LEVELS = {
    "frechet_distance": {"vae": 41.0, "gan": 17.0, "vaegan": 14.5},
    "kid": {"vae": 30.0, "gan": 9.0, "vaegan": 7.0},
    "coverage": {"vae": 0.62, "gan": 0.66, "vaegan": 0.655},
    "share_0": {"vae": 0.098, "gan": 0.13, "vaegan": 0.101},
    "reconstruction_mse": {"vae": 0.0125, "vaegan": 0.0241},
    "psnr": {"vae": 19.1, "vaegan": 16.2},
    "inverted_mse": {"vae": 0.0091, "gan": 0.0302, "vaegan": 0.0174},
    "translation_error": {"vae": 0.0571, "vaegan": 0.0584},
    "translated_mse": {"vae": 0.0682, "vaegan": 0.0697},
    "translated_frechet": {"vae": 77.0, "gan": 61.0, "vaegan": 58.0},
    "blur_error": {"vae": 0.0201, "vaegan": 0.0312},
    "log_likelihood": {"vae": 812.0, "gan": 410.0, "vaegan": 640.0},
    "active_units": {"vae": 31.0, "vaegan": 44.0},
    "collapsed": {"vae": 0.0, "gan": 0.0, "vaegan": 0.0},
    "frechet_distance@pixels": {"vae": 12.0, "gan": 19.0, "vaegan": 17.5},
    "kid@pixels": {"vae": 44.0, "gan": 21.0, "vaegan": 21.6},
}
BOUNDS: dict[str, tuple[float | None, float | None]] = {  # of real images, of noise
    "frechet_distance": (0.8, 412.0),
    "kid": (-0.02, 310.0),
    "coverage": (0.97, 0.0),
    "reconstruction_mse": (0.0, 0.3161),
    "psnr": (None, 5.01),
    "frechet_distance@pixels": (1.2, 95.0),
    "kid@pixels": (0.1, 120.0),
}
CURVES = {"translation_error": SHIFTS, "blur_error": (1.0,)}
NOTES = {"log_likelihood": "gap of 12.5 nats", "frechet_distance@pixels": "n <= features: exact form, heavily biased"}
TERMS = {"vae": ("prior", "reconstruction"), "gan": ("gan",), "vaegan": ("prior", "reconstruction", "gan")}
PLAYERS = {"vae": ("vae",), "gan": ("dec", "dis"), "vaegan": ("enc", "dec", "dis")}
NETS = {"vae": ("enc", "dec"), "gan": ("dec", "dis"), "vaegan": ("enc", "dec", "dis")}


def make(
    folder: Path,
    *,
    frameworks: tuple[str, ...] = FRAMEWORKS,
    seeds: int = 3,
    conditions: tuple[dict[str, Any], ...] = ({},),
    diverged: tuple[str, int] | None = None,
    source: str = "mnist",
) -> Path:
    """Write a whole study; `diverged` names one (framework, seed). Unknown frameworks behave like the VAE."""
    (folder / "data").mkdir(parents=True)
    values = [value for condition in conditions for value in condition.values()]
    grid = f'\n[grid]\n"{next(iter(conditions[0]))}" = {json.dumps(values)}\n' if values else ""
    toml = f"""name = "study"\nframeworks = {json.dumps(list(frameworks))}\nseeds = {list(range(seeds))}\n
[data]\nsource = {json.dumps(source)}\nsize = 32\n
[training]\nimages = 20000\nbatch_size = 64\n
[execution]\nworkers = 2\n{grid}"""
    (folder / "study.toml").write_text(toml)
    fact = {
        "source": source,
        "counts": {"train": 50_000, "validation": 10_000, "test": 10_000},
        "fingerprint": sha("data"),
    }
    put(folder / "data" / "data.json", fact)
    scores: list[dict[str, Any]] = []
    for condition, framework, seed in itertools.product(conditions, frameworks, range(seeds)):
        scores += _run(folder, framework, seed, condition, (framework, seed) == diverged, source)
    (folder / "scores.jsonl").write_text("".join(json.dumps(s) + "\n" for s in scores))
    put(folder / "metrics.json", METRICS)
    failed = (
        {}
        if diverged is None
        else {(diverged[0], text.condition_key(condition)): {diverged[1]: "diverged"} for condition in conditions}
    )
    asked = comparisons_for(frameworks, METRICS, conditions)
    put(folder / "verdicts.json", [verdict.to_dict() for verdict in judge(scores, asked, failures=failed)])
    return folder


def put(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def _run(
    folder: Path, framework: str, seed: int, condition: dict[str, Any], diverged: bool, source: str
) -> list[dict[str, Any]]:
    game = framework if framework in FRAMEWORKS else "vae"
    images = 5120 if diverged else 20000
    run = folder / "runs" / f"{sha(framework)[:6]}-s{seed}-{sha((framework, seed, text.condition(condition)))[:8]}"
    for part in ("samples", "reconstructions")[: 2 if "enc" in NETS[game] else 1]:
        (run / part).mkdir(parents=True)
        for step in (s for s in STEPS if s <= images):
            _grid(game, part, step, seed).save(run / part / f"{step:09d}.png")
    spec = {
        "framework": framework,
        "options": {},
        "seed": seed,
        "data": {"source": source, "path": None, "size": 32},
        "network": {"family": "conv", "width": 0.25, "latent": 128},
        "optimiser": {"name": condition.get("optimiser.name", "Adam"), "rate": 0.001},
        "training": {"images": 20000, "batch_size": 64, "updates": "simultaneous"},
        "condition": condition,
    }
    put(run / "spec.json", spec)
    put(
        run / "environment.json",
        {
            "triptych": "0.1.0",
            "python": "3.11.9",
            "torch": "2.13.0",
            "numpy": "2.3.0",
            "platform": "Linux",
            "cpu": "a processor",
            "device": "cpu",
            "threads": 1,
        },
    )
    log, timing = [], []
    for step in range(640, images + 1, 640):
        log.append(_log_row(game, step, seed))
        timing.append(
            {
                "images": step,
                "seconds": step * 0.004 * (1 + len(NETS[game])),
                "images_per_second": 250.0,
                "peak_memory_bytes": 400_000_000 + 10**7 * seed,
            }
        )
    (run / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log))
    (run / "timing.jsonl").write_text("".join(json.dumps(r) + "\n" for r in timing))
    proof = {
        "data": sha("data"),
        "data_order": sha(("order", seed)),
        "latents": sha(("latents", seed)),
        "budget_images": 20000,
        "batch_size": 64,
        "initial_weights": {net: sha((net, seed)) for net in NETS[game]},
    }
    put(
        run / "outcome.json",
        {
            "status": "diverged" if diverged else "finished",
            "images": images,
            "certificate": proof,
            "message": "a gradient of dis was not finite" if diverged else "",
            "name": "",
            "lacks": {} if "enc" in NETS[game] else {"reconstruct": "no encoder"},
            "parameters": {net: 512_345 + len(net) for net in NETS[game]},
            "flops_per_image": 10**8 * len(NETS[game]),
        },
    )
    put(run / "manifest.json", {"files": {}})
    return [_score(run.name, framework, game, seed, condition, m, diverged) for m in METRICS]


def _log_row(game: str, step: int, seed: int) -> dict[str, Any]:
    decay, wave = math.exp(-step / 3000), 0.03 * math.sin(seed + step / 900)
    level = {
        "prior": 22 - 15 * decay + wave * 8,
        "gan": -1.2 + decay + wave,
        "reconstruction": 12 + 190 * decay + wave * 20,
    }
    return {
        "images": step,
        "step": step // 64,
        "terms": {t: level[t] for t in TERMS[game]},
        "losses": dict.fromkeys(PLAYERS[game], 1.0),
        "gradient_norms": {p: 2 + decay + wave for p in PLAYERS[game]},
        "skipped_updates": {},
    }


def _score(
    run: str, framework: str, game: str, seed: int, condition: dict[str, Any], m: dict[str, Any], diverged: bool
) -> dict[str, Any]:
    name = m["metric"]
    level = LEVELS[name].get(game)
    wobble = 1 + 0.01 * math.sin(7 * seed + sum(map(ord, framework)) + len(text.condition(condition))) + 0.3 * diverged
    value = None if level is None else level if name == "collapsed" else level * wobble
    real_baseline, noise_baseline = BOUNDS.get(name, (None, None))
    return {
        "run": run,
        "framework": framework,
        "seed": seed,
        "condition": condition,
        "metric": name,
        "value": value,
        "error": value * 0.01
        if value and m["topic"]["name"] in ("reconstruction", "likelihood", "translation")
        else None,
        "undefined": "no encoder" if level is None else None,
        "unit": m["unit"],
        "better": m["better"],
        "n": 10_000,
        "features": f"pixels@{sha('pixels')[:8]}"
        if "@" in name
        else FEATURES
        if m["topic"]["name"] == "samples"
        else "",
        "real_baseline": real_baseline,
        "noise_baseline": noise_baseline,
        "note": NOTES.get(name, "") if value else "",
        "curve": [[x, value * (0.4 + 6 * x)] for x in CURVES.get(name, ())] if value else [],
    }


def _grid(game: str, kind: str, step: int, seed: int) -> Image.Image:
    """8 by 8 cells of digits, ghostly early in training; every other row of reconstructions the original."""
    noise = np.random.default_rng([seed, step, len(game)])
    digits = np.random.default_rng(seed).integers(0, 10, 64)
    font = ImageFont.load_default(size=26)
    cells = []
    for place in range(64):
        which = int(digits[place % 8 + (place // 16) * 8]) if kind == "reconstructions" else int(digits[place])
        cell = Image.new("L", (32, 32))
        ImageDraw.Draw(cell).text((8, 0), str(which), fill=255, font=font)
        image = np.asarray(cell, float)
        if kind == "samples" or place // 8 % 2:
            strength = {"vae": 20, "gan": 60, "vaegan": 35}[game] * (1 + 4000 / step)
            image = image * min(1, step / 4000 + 0.3) + noise.normal(0, strength, (32, 32))
        cells.append(np.clip(image, 0, 255).astype(np.uint8))
    rows = [np.concatenate(cells[r * 8 : r * 8 + 8], axis=1) for r in range(8)]
    return Image.fromarray(np.concatenate(rows))
