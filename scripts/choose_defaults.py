"""Choose the matched defaults: equal effort for every framework, on validation images only.

    python scripts/choose_defaults.py OUT [--images N] [--processes N]

Each framework is trained at every learning rate in RATES with every one of its four SETTINGS, once, at a seed that no
comparison uses. It is judged on validation images alone, by the Fréchet distance (in the shipped classifier's
features) of its samples and, where it has an encoder, of its reconstructions too: the criterion is the mean of their
logarithms. The rate is the one whose summed criterion over the frameworks, each at its best setting, is lowest; each
framework's default is its best setting at that rate. Writes OUT/trials.csv; finished trials are not repeated.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SEED, WIDTH, IMAGES_SCORED = 1000, 0.125, 5000
RATES = (0.0005, 0.001, 0.002)
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "vae": [{"sigma": 1.0}, {"sigma": 0.5}, {"sigma": 0.25}, {"sigma": "learned"}],
    "gan": [
        {"adversarial": adversarial, "dis_batches": batches}
        for adversarial in ("non-saturating", "minimax")
        for batches in ("separate", "joint")
    ],
    "vaegan": [{"gamma": gamma} for gamma in (0.001, 0.01, 0.1, 1.0)],
    "vae_disl": [{"gamma": gamma} for gamma in (0.1, 1.0, 10.0, 100.0)],
}
FIELDS = ("framework", "rate", "options", "fd_samples", "fd_reconstructions", "criterion", "status")


def trial(out: Path, framework: str, rate: float, options: dict[str, Any], images: int) -> dict[str, Any]:
    """Train one setting and judge it on validation images."""
    import torch

    from triptych.data import dataset
    from triptych.directory import StudyDirectory
    from triptych.evaluation.features import mnist_extractor
    from triptych.evaluation.metrics.frechet import frechet_distance
    from triptych.evaluation.run import Run
    from triptych.spec import NetworkSpec, OptimiserSpec, RunSpec, TrainingSpec
    from triptych.training.loop import train

    torch.set_num_threads(1)
    spec = RunSpec(
        framework=framework,
        seed=SEED,
        options=options,
        network=NetworkSpec(width=WIDTH),
        optimiser=OptimiserSpec(rate=rate),
        training=TrainingSpec(images=images),
    )
    directory = StudyDirectory(out)
    data = dataset.open(directory.data)
    train(directory.run(spec.id).path, spec, data)
    run, extract = Run(directory.run(spec.id).path), mnist_extractor()
    real = data.validation.images(torch.arange(IMAGES_SCORED))
    features = extract(real)
    row: dict[str, Any] = {
        "framework": framework,
        "rate": rate,
        "options": options,
        "status": run.outcome["status"],
    }
    row["fd_samples"] = frechet_distance(features, extract(run.sample(IMAGES_SCORED)))
    row["fd_reconstructions"] = (
        frechet_distance(features, extract(run.reconstruct(real))) if run.model.can("reconstruct") else None
    )
    values = [row[name] for name in ("fd_samples", "fd_reconstructions") if row[name] is not None]
    row["criterion"] = sum(map(math.log, values)) / len(values)
    return row


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--images", type=int, default=30_000)
    arguments.add_argument("--processes", type=int, default=2)
    given = arguments.parse_args()

    from triptych.data import dataset
    from triptych.directory import StudyDirectory
    from triptych.spec import DataSpec

    dataset.prepare(DataSpec(), StudyDirectory(given.out).data)
    wanted = [
        (given.out, framework, rate, options, given.images)
        for rate, framework in itertools.product(RATES, SETTINGS)
        for options in SETTINGS[framework]
    ]
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        rows = []
        for row in pool.map(trial, *zip(*wanted, strict=True)):
            rows.append(row)
            print(*(row[field] for field in FIELDS), flush=True)
    with open(given.out / "trials.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    choose(rows)


def choose(rows: list[dict[str, Any]]) -> None:
    """Print the shared rate and each framework's best setting at it."""
    best = {
        (framework, rate): min(
            (row for row in rows if (row["framework"], row["rate"]) == (framework, rate)),
            key=lambda row: row["criterion"],
        )
        for framework in SETTINGS
        for rate in RATES
    }
    sums = {rate: sum(best[framework, rate]["criterion"] for framework in SETTINGS) for rate in RATES}
    rate = min(sums, key=lambda rate: sums[rate])
    print("summed criterion by rate:", {key: round(value, 3) for key, value in sums.items()})
    for framework in SETTINGS:
        print(f"{framework}: rate {rate}, {best[framework, rate]['options']}")


if __name__ == "__main__":
    main()
