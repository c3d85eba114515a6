"""What was the same for all frameworks, by hash, and what cannot be: the certificate and the costs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from triptych.directory import RunRecord
from triptych.report.collect import Study
from triptych.text import duration, finite, number

_WEIGHTS = "initial weights of "
_LATENTS = "latents of the sample grids"


def certificate(study: Study, condition: str) -> list[dict[str, Any]]:
    """One row per thing that must match: per seed a short value and who shares it, or each one's own.

    A network is compared among the frameworks that have it; all else among all that left an outcome.
    """
    runs = {seed: [r for r in study.of(condition) if r.seed == seed] for seed in study.seeds}
    facts = {seed: {r.framework: _facts(r) for r in rs} for seed, rs in runs.items()}
    rows = []
    names = dict.fromkeys(n for by in facts.values() for own in by.values() for n in own)
    for name in sorted(names, key=lambda n: not n.startswith(_WEIGHTS)):
        cells = []
        for seed in study.seeds:
            seen = {f: own[name] for f, own in facts[seed].items() if name in own}
            state = (
                "none"
                if not seen
                else "alone"
                if len(seen) == 1
                else "same"
                if len(set(seen.values())) == 1
                else "differ"
            )
            cells.append({"seed": seed, "state": state, "values": {f: v[:10] for f, v in seen.items()}})
        rows.append({"name": name, "cells": cells, "differs": any(c["state"] == "differ" for c in cells)})
    return rows


def shares_latents(rows: list[dict[str, Any]]) -> bool:
    """Whether a certificate says that the sample grids of all frameworks show the same latents."""
    return any(row["name"] == _LATENTS and not row["differs"] for row in rows)


def _facts(run: RunRecord) -> dict[str, str]:
    """What must be the same for runs to be comparable: hashes and budgets from the run's own certificate."""
    proof = run.outcome.get("certificate") or {}
    weights = proof.get("initial_weights") or {}
    facts = {f"{_WEIGHTS}{net.capitalize()}": str(sha) for net, sha in weights.items()}
    words = {
        "data": "data",
        "data_order": "data order",
        "latents": _LATENTS,
        "budget_images": "budget, images",
        "batch_size": "batch size",
    }
    facts |= {word: str(proof[key]) for key, word in words.items() if key in proof}
    facts |= {
        f"specification: {part}": fingerprint(run.spec[part])
        for part in ("network", "optimiser", "training")
        if part in run.spec and proof
    }
    return facts


def fingerprint(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def costs(study: Study, condition: str) -> list[dict[str, Any]]:
    """What each framework took: training seconds, speed, arithmetic, memory and parameters."""
    rows = []
    for framework in study.frameworks:
        runs = [r for r in study.of(condition, framework) if r.timing]
        last = [r.timing[-1] for r in runs]
        seconds = [x for t in last if (x := finite(t.get("seconds")))]
        speed = [float(t["images"]) / s for t in last if (s := finite(t.get("seconds"))) and finite(t.get("images"))]
        memory = [x for r in runs for t in r.timing if (x := finite(t.get("peak_memory_bytes")))]
        done = [r.outcome for r in study.of(condition, framework) if r.outcome]
        flops = [x for o in done if (x := finite(o.get("flops_per_image")))]
        rows.append(
            {
                "framework": framework,
                "n": len(seconds),
                "seconds": duration(_mean(seconds)),
                "range": f"{duration(min(seconds))} to {duration(max(seconds))}" if len(seconds) > 1 else "",
                "speed": number(_mean(speed), 3),
                "gflop": number(flops[0] / 1e9, 3) if flops else "–",
                "memory": f"{number(max(memory) / 2**20, 3)} MiB" if memory else "–",
                "parameters": next((o["parameters"] for o in done if o.get("parameters")), {}),
            }
        )
    return rows


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
