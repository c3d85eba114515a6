"""How often verdicts are wrong: whole studies drawn from known laws, judged by the code that writes verdicts.

    python scripts/verdict_simulation.py --studies 4000 --out docs/results

Each row of the table is a law of the seeds and a kind of error, with the rate that it may have at most. The tests run
the same rows with fewer studies (tests/statistics/test_guarantees.py).
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from triptych.verdicts import stats
from triptych.verdicts.comparisons import Comparison, comparisons_for, judge
from triptych.verdicts.verdict import Verdict

Draw = np.random.Generator
Values = Sequence[float | None]
SEEDS = (3, 5, 8, 10, 20)
DECIDED = ("better", "worse")


@dataclass(frozen=True)
class Row:
    """One law and one error, which may happen in 5 % of studies.

    `wrong(draw, n)` draws a study of n seeds and says whether its verdict is that error.
    """

    name: str
    wrong: Callable[[Draw, int], bool]


def lines(metric: str, framework: str, values: Iterable[float | None]) -> list[dict[str, Any]]:
    """The lines of scores.jsonl of one framework by one metric."""
    return [
        {
            "metric": metric,
            "framework": framework,
            "seed": seed,
            "value": None if value is None else float(value),
            "undefined": "it failed" if value is None else None,
            "n": 1000,
        }
        for seed, value in enumerate(values)
    ]


def verdict(
    a: Values,
    b: Values,
    scale: Any = "difference",
    smallest: float | None = None,
    collapsed: tuple[Values, Values] | None = None,
    looks: Sequence[int] = (),
) -> Verdict:
    """The verdict on two frameworks from their scores by seed, with the runs that collapsed if they are given."""
    scores = lines("score", "a", a) + lines("score", "b", b)
    asked = [Comparison(metric="score", a="a", b="b", smallest_effect=smallest, better="lower", scale=scale)]
    if collapsed:
        scores += lines("collapsed", "a", collapsed[0]) + lines("collapsed", "b", collapsed[1])
        event = Comparison(
            metric="collapsed", a="a", b="b", smallest_effect=0.1, better="lower", scale="event", topic="stability"
        )
        asked.append(event)
    return judge(scores, asked, looks=looks)[0]


def decided(found: Verdict) -> bool:
    return found.verdict in DECIDED


def normal(draw: Draw, n: int, shift: float = 0.0, **given: Any) -> Verdict:
    return verdict(draw.normal(10 + shift, 1, n), draw.normal(10, 1, n), **given)


def lognormal(draw: Draw, n: int) -> Verdict:
    """Typical runs are the same; one side scatters by a factor of 2.2, the other hardly."""
    return verdict(30 * np.exp(draw.normal(0, 0.8, n)), 30 * np.exp(draw.normal(0, 0.02, n)), "factor", 1.1)


def exponential(draw: Draw, n: int) -> Verdict:
    return verdict(draw.exponential(30, n), draw.exponential(30, n), "factor", 1.1)


def shares(draw: Draw, n: int) -> Verdict:
    """Shares near 1, where the raw scale is skewed."""
    return verdict(draw.beta(18, 2, n), draw.beta(18, 2, n), "share", 0.02)


def collapsing(draw: Draw, n: int, factor: float = 1.0) -> Verdict:
    """One run in five of a collapses and scores 100; its others score `factor` times what b's do."""
    fails = draw.random(n) < 0.2
    a = np.where(fails, 100.0, 32 * factor * np.exp(draw.normal(0, 0.1, n)))
    return verdict(a, 32 * np.exp(draw.normal(0, 0.1, n)), "factor", 1.1, (fails.astype(float).tolist(), [0.0] * n))


def survivors(draw: Draw, n: int) -> Verdict:
    """Equal laws; the worse half of a's seeds is undefined, so the survivors look better."""
    a, b = draw.normal(10, 1, n), draw.normal(10, 1, n)
    kept = [None if x > np.median(a) else x for x in a.tolist()]
    return verdict(kept, b.tolist())


def lost_by_chance(draw: Draw, n: int) -> Verdict:
    a, b = draw.normal(10, 1, n).tolist(), draw.normal(10, 1, n).tolist()
    lost = draw.integers(n)
    return verdict([None if place == lost else x for place, x in enumerate(a)], b)


def rare_events(draw: Draw, n: int) -> Verdict:
    """One run in ten of a collapses and none of b, a difference as large as the margin."""
    a, b = (draw.random(n) < 0.1).astype(float), np.zeros(n)
    scores = lines("collapsed", "a", a) + lines("collapsed", "b", b)
    asked = Comparison(metric="collapsed", a="a", b="b", smallest_effect=0.1, better="lower", scale="event")
    return judge(scores, [asked])[0]


def equal_events(draw: Draw, n: int) -> Verdict:
    a, b = (draw.random(n) < 0.3).astype(float), (draw.random(n) < 0.3).astype(float)
    scores = lines("collapsed", "a", a) + lines("collapsed", "b", b)
    return judge(
        scores, [Comparison(metric="collapsed", a="a", b="b", smallest_effect=0.1, better="lower", scale="event")]
    )[0]


def family(draw: Draw, n: int) -> bool:
    """Three frameworks and two metrics on one topic, all alike: is any verdict wrong?"""
    metrics = [
        {"metric": name, "better": "lower", "scale": "factor", "smallest_effect": 1.1, "topic": {"name": "samples"}}
        for name in ("one", "two")
    ]
    names = ["a", "b", "c"]
    scores = [
        line
        for metric in metrics
        for name in names
        for line in lines(metric["metric"], name, 30 * np.exp(draw.normal(0, 0.2, n)))
    ]
    return any(decided(found) for found in judge(scores, comparisons_for(names, metrics)))


def at_margin(draw: Draw, n: int) -> Verdict:
    """The true factor is the smallest that matters."""
    return verdict(33 * np.exp(draw.normal(0, 0.05, n)), 30 * np.exp(draw.normal(0, 0.05, n)), "factor", 1.1)


@dataclass(frozen=True)
class Looked:
    """How a study with looks went: its verdict, the seeds that it took, and the verdict of peeking without care."""

    verdict: Verdict
    seeds: int


def looked(draw: Draw, looks: Sequence[int], shift: float = 0.0, planned: bool = True) -> Looked:
    """Look after look at a growing study, until it is decided; `planned` False forgets that there are looks."""
    a, b = draw.normal(10 + shift, 1, looks[-1]), draw.normal(10, 1, looks[-1])
    for n in looks:
        found = verdict(a[:n], b[:n], looks=looks if planned else ())
        if decided(found) or n == looks[-1]:
            return Looked(found, n)
    raise AssertionError("no look")


ROWS = [
    Row("normal law, alike: a difference is claimed", lambda d, n: decided(normal(d, n))),
    Row("lognormal against tight, typical runs alike: a difference is claimed", lambda d, n: decided(lognormal(d, n))),
    Row("exponential laws, alike: a difference is claimed", lambda d, n: decided(exponential(d, n))),
    Row("shares near 1, alike: a difference is claimed", lambda d, n: decided(shares(d, n))),
    Row(
        "one run in five collapses, typical runs alike: a difference is claimed", lambda d, n: decided(collapsing(d, n))
    ),
    Row(
        "the worse half of one side undefined, laws alike: a difference is claimed",
        lambda d, n: decided(survivors(d, n)),
    ),
    Row("one seed lost by chance, laws alike: a difference is claimed", lambda d, n: decided(lost_by_chance(d, n))),
    Row("events, rates alike: a difference is claimed", lambda d, n: decided(equal_events(d, n))),
    Row(
        "events, rates 0.1 and 0, margin 0.1: equivalence is claimed",
        lambda d, n: rare_events(d, n).verdict == "equivalent",
    ),
    Row("factor at the margin: equivalence is claimed", lambda d, n: at_margin(d, n).verdict == "equivalent"),
    Row("three frameworks, two metrics, all alike: any difference is claimed", family),
]


def rates(row: Row, studies: int, seed: int = 2026) -> dict[int, float]:
    """How often the row's error happens, by the number of seeds."""
    return {
        n: sum(row.wrong(np.random.default_rng([seed, n, study]), n) for study in range(studies)) / studies
        for n in SEEDS
    }


def powers(studies: int, shift: float = 1.5, seed: int = 7) -> dict[int, tuple[float, float]]:
    """By the number of seeds: how often a true difference on normal data is found, here and by a paired t test."""
    found = {}
    for n in SEEDS:
        ours = plain = 0
        for study in range(studies):
            draw = np.random.default_rng([seed, n, study])
            a, b = draw.normal(10 + shift, 1, n), draw.normal(10, 1, n)
            ours += decided(verdict(a, b))
            plain += (stats.paired(a, b).p or 1.0) < 0.05
        found[n] = ours / studies, plain / studies
    return found


def sequences(studies: int, looks: Sequence[int] = (3, 5, 8, 12), seed: int = 11) -> list[dict[str, float]]:
    """By the true difference: how often looks decide, with care and without, after how many seeds; and all at once."""
    found = []
    for shift in (0.0, 1.0, 1.5, 3.0):
        runs = [looked(np.random.default_rng([seed, study]), looks, shift) for study in range(studies)]
        peeked = [looked(np.random.default_rng([seed, study]), looks, shift, planned=False) for study in range(studies)]
        fixed = [normal(np.random.default_rng([seed, study]), looks[-1], shift) for study in range(studies)]
        found.append(
            {
                "difference": shift,
                "decided": sum(decided(run.verdict) for run in runs) / studies,
                "seeds": sum(run.seeds for run in runs) / studies,
                "fixed": sum(map(decided, fixed)) / studies,
                "peeking": sum(decided(run.verdict) for run in peeked) / studies,
            }
        )
    return found


def page(table: dict[str, dict[int, float]], power: dict, looks: list[dict[str, float]], studies: int) -> str:
    """The results as Markdown."""
    head = "| law of the seeds, and the error | at most | " + " | ".join(f"{n} seeds" for n in SEEDS) + " |"
    rule = "|---|---|" + "---|" * len(SEEDS)
    rows = [
        f"| {row.name} | 5 % | " + " | ".join(f"{100 * table[row.name][n]:.1f} %" for n in SEEDS) + " |" for row in ROWS
    ]
    powers = [f"| {n} | {100 * ours:.1f} % | {100 * plain:.1f} % |" for n, (ours, plain) in power.items()]
    sequence = [
        f"| {row['difference']:g} | {100 * row['decided']:.1f} % | {row['seeds']:.1f} | {100 * row['fixed']:.1f} % | "
        f"{100 * row['peeking']:.1f} % |"
        for row in looks
    ]
    return "\n".join(
        [
            "# How often verdicts are wrong",
            "",
            f"Made by `python scripts/verdict_simulation.py --studies {studies} --out docs/results`, on",
            f"{platform.machine()} with Python {platform.python_version()} and NumPy {np.__version__}. Each entry is",
            f"the share of {studies:,} studies, drawn from a known law and judged by the code that writes verdicts;",
            f"its standard error is at most {100 * (0.05 * 0.95 / studies) ** 0.5:.2f} points at 5 %.",
            "",
            head,
            rule,
            *rows,
            "",
            "Power: normal laws whose means lie 1.5 standard deviations apart.",
            "",
            "| seeds | decided | by a paired t test alone |",
            "|---|---|---|",
            *powers,
            "",
            "Looks at 3, 5, 8 and 12 seeds, normal laws whose means lie so many standard deviations apart.",
            "",
            "| apart | decided | seeds on average | decided by 12 seeds at once | decided by peeking without care |",
            "|---|---|---|---|---|",
            *sequence,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    table = {}
    for row in ROWS:
        table[row.name] = rates(row, given.studies)
        print(row.name, {n: f"{100 * rate:.1f} %" for n, rate in table[row.name].items()}, flush=True)
    power, looks = powers(given.studies), sequences(given.studies)
    given.out.mkdir(parents=True, exist_ok=True)
    record = {"studies": given.studies, "rates": table, "power": power, "looks": looks}
    (given.out / "verdicts.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (given.out / "verdicts.md").write_text(page(table, power, looks, given.studies), encoding="utf-8")
    print(given.out / "verdicts.md")


if __name__ == "__main__":
    main()
