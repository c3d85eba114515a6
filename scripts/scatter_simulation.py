"""How often the intervals of shares of variance hold the true share: the table of docs/how-to/find-the-scatter.md.

    python scripts/scatter_simulation.py

Studies with three sources (60, 30 and 10 % of the variance) go through `triptych.verdicts.variance.breakdown`, as real
ones do. With an interaction, the first two sources also act by their product, and a share counts it, too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from triptych.verdicts.variance import Question, breakdown

SHARES = np.array([0.6, 0.3, 0.1])
STUDIES = 2000
SIGMA = 0.8
Law = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def lognormal(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standardised to mean 0 and variance 1, as all laws are."""
    square = np.exp(SIGMA**2)
    return (draw.lognormal(0, SIGMA, shape) - np.sqrt(square)) / np.sqrt((square - 1) * square)


LAWS: dict[str, Law] = {
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "Student, 5 df": lambda draw, shape: draw.standard_t(5, shape) / np.sqrt(5 / 3),
    "exponential": lambda draw, shape: draw.exponential(size=shape) - 1,
    "lognormal, 0.8": lognormal,
}


def coverage(law: Law, seeds: int, interaction: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """For each source the share of studies whose interval holds the true share, and the mean width of intervals."""
    draw = np.random.default_rng(0)
    sd = np.sqrt(SHARES * (1 - interaction))
    true = sd**2 + interaction * np.array([1, 1, 0])
    question = Question("m", "m", "primary", "difference", "vae", {}, seeds)

    def score(a: np.ndarray) -> list[float]:
        return (50 + (sd * a).sum(-1) + np.sqrt(interaction) * a[:, 0] * a[:, 1]).tolist()

    held, width = np.zeros(3), np.zeros(3)
    for _ in range(STUDIES):
        a = law(draw, (seeds, 3))
        values = {"all": score(a)}
        for place, source in enumerate(("initial", "order", "noise")):
            alone = np.repeat(a[:1], seeds, 0)
            alone[:, place] = a[:, place]
            values[source] = score(alone)
        ends = [(part.low or 0.0, part.high or 0.0) for part in breakdown(question, values).parts]
        held += [low <= share <= high for (low, high), share in zip(ends, true, strict=True)]
        width += [high - low for low, high in ends]
    return held / STUDIES, width / STUDIES


def main() -> None:
    rows = [(name, law, 0.0) for name, law in LAWS.items()]
    rows += [(f"normal, {share:.0%} interaction", LAWS["normal"], share) for share in (0.1, 0.3)]
    print("| law | seeds | least coverage | coverage by source | mean width by source |")
    print("|---|---|---|---|---|")
    for name, law, interaction in rows:
        for seeds in (3, 5, 10, 20):
            held, width = coverage(law, seeds, interaction)
            by_source = " | ".join(", ".join(f"{100 * x:.1f}" for x in values) for values in (held, width))
            print(f"| {name} | {seeds} | {100 * held.min():.0f} | {by_source} |", flush=True)


if __name__ == "__main__":
    main()
