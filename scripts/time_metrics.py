"""What each metric costs: processor seconds for one finished run, on one thread.

    OPENBLAS_NUM_THREADS=1 python scripts/time_metrics.py STUDY/runs/ID [IMAGES]

What metrics share (samples, features) is made first and timed by itself; what a study keeps (the features of real
and training images) is made again in an empty folder.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from triptych.data import dataset
from triptych.directory import RunDirectory
from triptych.evaluation import features, metrics
from triptych.evaluation.run import Run
from triptych.evaluation.scoring import metrics_of, observe
from triptych.spec import ScoringSpec


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    with contextlib.suppress(ValueError):  # no encoder
        work()
    return time.process_time() - start


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    images = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    run, data = Run(folder), dataset.open(RunDirectory(folder).study.data)
    with tempfile.TemporaryDirectory() as fitted:
        (first, *spaces) = features.choose(None, data, Path(fitted))
        observed = observe(run, data, images, first)
        shared = {
            "samples": lambda: observed.samples,
            "reconstructions": lambda: observed.reconstructions,
            "codes": lambda: observed.codes,
            **{f"features of {of}": lambda of=of: observed.features(of) for of in ("real", "training", "samples")},
        }
        found = {name: seconds(work) for name, work in shared.items()}
        asked = metrics_of(ScoringSpec())
        for metric in asked:
            found[metric.name] = seconds(lambda metric=metric: metrics.score(observed, [metric]))
        for space in spaces:
            found[f"all in {space.name}"] = seconds(
                lambda space=space: (
                    metrics.score(observed, [m for m in asked if m.per_feature_space], [space]) if space else None
                )
            )
            found[f"all in {space.name}"] -= sum(found[m.name] for m in asked if m.per_feature_space)
    print(f"| {run.spec.framework}, {images:,} images | seconds |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.1f} |")
    print(f"| in all | {sum(found.values()):.1f} |")


if __name__ == "__main__":
    main()
