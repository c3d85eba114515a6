"""The bias of the Frechet distance with few images, against closed forms for normal laws, before and after correction.

    python scripts/frechet_bias.py

Real features are N(0, I) in 64 dimensions, those of samples another normal law whose distance is known; in the last law
all features of a row share one normal number, as pixels share brightness, next to 0.3 of their own. Means over
draws, with the spread of one draw, of F as it stands, corrected as `frechet_distance` is, and extrapolated to 1/n = 0
(Chong and Forsyth 2020: a line through eight sizes, each the mean over neighbouring parts of both sets). Five minutes
of one core.
"""

from __future__ import annotations

import numpy as np
import torch

from triptych.evaluation.metrics.frechet import corrected, frechet_distance

DIMENSION = 64
LAWS = {
    "equal laws": (np.ones(DIMENSION), 0.0),
    "SD 0.5": (np.full(DIMENSION, 0.5), 16.0),
    "SD 1.5": (np.full(DIMENSION, 1.5), 16.0),
    "half of the directions missing": (np.repeat([1.0, 0.0], DIMENSION // 2), 32.0),
    "equal laws, brightness varies": (np.ones(DIMENSION), 0.0),
}
"""Standard deviations of each direction, and the squared distance to the real law: the sum of (1 - SD)^2."""
DRAWS = {100: 200, 300: 100, 1000: 100, 5000: 20}
"""Draws by number of images."""


def extrapolated(x: np.ndarray, y: np.ndarray) -> float:
    """The distance on a line through those of 2/2 to 2/9 of the images, at infinitely many."""
    n, sizes, distances = len(x), range(2, 10), []
    for cuts in sizes:
        starts = [i * n // cuts for i in range(cuts if cuts > 2 else 1)]
        parts = [(np.arange(start, start + 2 * n // cuts)) % n for start in starts]
        distances.append(np.mean([frechet_distance(x[part], y[part]) for part in parts]))
    return float(np.polyfit([cuts / (2 * n) for cuts in sizes], distances, 1)[1])


def row(law: str, n: int) -> str:
    """One line of the table: the mean error and the spread of each estimate."""
    scale, truth = LAWS[law]
    found = []
    for seed in range(DRAWS[n]):
        random = np.random.default_rng([seed, n])
        x, y = random.standard_normal((2, n, DIMENSION))
        y = y * scale
        if "brightness" in law:
            x, y = 0.3 * np.stack([x, y]) + random.standard_normal((2, n, 1))
        enough = n * 2 // 9 > DIMENSION
        found.append((frechet_distance(x, y), corrected(x, y).value, extrapolated(x, y) if enough else np.nan))
    errors = np.array(found) - truth
    shown = [f"{mean:+.2f} ({spread:.2f})" for mean, spread in zip(errors.mean(0), errors.std(0), strict=True)]
    return f"| {n:,} | {law} | {' | '.join('too few' if 'nan' in each else each for each in shown)} |"


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| images | samples' law | bias as it stands (spread) | corrected | extrapolated |\n|---|---|---|---|---|")
    for n in DRAWS:
        for law in LAWS:
            print(row(law, n), flush=True)


if __name__ == "__main__":
    main()
