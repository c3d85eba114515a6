"""Table 1 as published, three single runs with the value of their last mini-batch, next to the same runs over seeds.

Source: the paper, section 4.3, Table 1 (VAE-GAN, one run at each of three learning rates). Its column "Discriminator
Loss" holds the reconstruction loss in the features of Dis_l; where the notebook differs, both numbers are given.

A printed value is one more run, so it is compared with the prediction interval of one more run, mean +- t sd
sqrt(1 + 1/n) over the seeds here, and not the interval of their mean. These losses are positive, so means and intervals
are of their logarithms. Whether rows differ by more than neighbouring
mini-batches of a single run do is an F test, at this scale: the variance of one seed's three rows against that of the
last mini-batches of a run, each pooled over runs. Mini-batches that follow each other resemble each other, which makes
the rows look further apart than they are. For L_GAN the notebook gives the ranges of its own last mini-batches; a
range of eleven normal values is 3.173 standard deviations on average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from triptych.claims.quantities import Quantity, value
from triptych.claims.results import Results
from triptych.directory import RunRecord
from triptych.papers.vae_vs_gan_vs_vaegan.designs import PAPER
from triptych.text import finite, number, p_value
from triptych.verdicts import scales, stats
from triptych.verdicts.stats import Estimate

STUDY = "as_published"
FRAMEWORKS = {0.00015: "as_published@vaegan-half", 0.0003: "as_published@vaegan", 0.0006: "as_published@vaegan-double"}
TERMS = {"L_GAN": "terms.gan", "L_prior": "terms.prior", "Dis_l loss": "terms.llike"}
PRINTED = {
    "L_GAN": {0.00015: 1.6904, 0.0003: 1.5981, 0.0006: 1.5820},
    "L_prior": {0.00015: 0.3349, 0.0003: 0.3089, 0.0006: 0.2772},
    "Dis_l loss": {0.00015: 0.0930, 0.0003: 0.0841, 0.0006: 0.0986},
}
NOTEBOOK = {("Dis_l loss", 0.00015): 0.0939}
"""What the notebook's own output says where the paper prints another number."""
NEIGHBOURS = 11
"""The mini-batches at the end of a run whose spread is looked at."""
RANGES = {"L_GAN": {0.00015: (1.69, 1.74), 0.0003: (1.56, 1.62), 0.0006: (1.49, 1.59)}}
"""Lowest and highest of the last `NEIGHBOURS` mini-batches in the notebook."""
RANGE_OF_NEIGHBOURS = 3.173
"""The mean range of so many standard normal values (Tippett 1925)."""
ALPHA = 0.05


@dataclass(frozen=True)
class Row:
    """One number of Table 1 and the same number here; `low` and `high` are the prediction interval of one more run.

    `last` is the value of the last mini-batch, `tenth` the mean over the last tenth of the run, both over the n seeds;
    `spread_within` the mean over seeds of the sd of the last `NEIGHBOURS` mini-batches. None: too few seeds or no run.
    """

    rate: float
    quantity: str
    printed: float
    notebook: float
    last: Estimate | None
    low: float | None
    high: float | None
    tenth: Estimate | None
    spread_within: float | None
    n: int

    @property
    def inside(self) -> bool | None:
        """Whether the value of the paper, or that of its notebook, lies in the prediction interval."""
        if self.low is None or self.high is None:
            return None
        return any(self.low <= x <= self.high for x in (self.printed, self.notebook))


@dataclass(frozen=True)
class Spread:
    """How far the three rows of one column lie apart, as standard deviations, next to the variation within one run.

    `printed` is that of the printed values, `printed_within` that of the notebook's last mini-batches where it gives
    them. Of the runs here, `rows` is that of one seed's three runs, `within` that of neighbouring mini-batches, `seeds`
    that of runs that differ in their seed alone, all pooled, and `p` that of the F test of `rows` against `within`.
    """

    quantity: str
    printed: float
    printed_within: float | None
    rows: float | None
    within: float | None
    seeds: float | None
    p: float | None
    sentence: str = ""


def rows(results: Results) -> list[Row]:
    """The nine numbers of Table 1, in the paper's order: a row of the table after the other."""
    return [_row(results, rate, quantity) for rate in FRAMEWORKS for quantity in TERMS]


def spreads(results: Results) -> list[Spread]:
    """Whether the rows of each column differ by more than the mini-batches of a single run."""
    return [_spread(results, quantity) for quantity in TERMS]


def note(results: Results) -> str:
    """Why the numbers need not agree with the printed ones at this scale; empty at the paper's."""
    runs = results.where(study=STUDY)
    if not runs or all(run.setting(name) == wanted for run in runs for name, wanted in PAPER.items()):
        return ""
    size, width, images = (runs[0].setting(name) for name in PAPER)
    return (
        f"These runs have {size} pixels a side, {number(width)} of the paper's width and {number(images)} training "
        "images, where the paper has 64, 1 and 60 000: their numbers need not agree with the printed ones."
    )


def prediction(values: list[float], level: float = 0.95) -> tuple[float, float] | None:
    """The interval that one more value of the same lognormal law falls into; None for fewer than two, or no spread.

    Of a normal law if a value is not positive, which has no logarithm.
    """
    scale = "factor" if scales.fits("factor", values) else "difference"
    y, n = scales.transformed(scale, values), len(values)
    if n < 2 or not stats.paired(y, np.zeros(n)).sd:
        return None
    half = float(special.stdtrit(n - 1, (1 + level) / 2)) * float(np.std(y, ddof=1)) * math.sqrt(1 + 1 / n)
    return scales.back(scale, float(y.mean()) - half), scales.back(scale, float(y.mean()) + half)


def _row(results: Results, rate: float, quantity: str) -> Row:
    runs = results.where(study=STUDY, framework=FRAMEWORKS[rate])
    last, tenth = (list(_values(runs, quantity, part).values()) for part in ("last", "tenth"))
    within = [x for run in runs if (x := _neighbours(run, quantity)) is not None]
    low, high = prediction(last) or (None, None)
    printed = PRINTED[quantity][rate]
    return Row(
        rate=rate,
        quantity=quantity,
        printed=printed,
        notebook=NOTEBOOK.get((quantity, rate), printed),
        last=scales.mean("factor", last) if last else None,
        low=low,
        high=high,
        tenth=scales.mean("factor", tenth) if tenth else None,
        spread_within=float(np.mean(within)) if within else None,
        n=len(last),
    )


def _values(runs: list[RunRecord], quantity: str, part: str) -> dict[int, float]:
    """A logged term's value by seed, of the runs that have one."""
    term = Quantity(log=TERMS[quantity], part=part)  # pyright: ignore[reportArgumentType]
    return {run.seed: x for run in runs if (x := value(term, run).value) is not None}


def _neighbours(run: RunRecord, quantity: str) -> float | None:
    """The sd of the last mini-batches' values; None where the log lacks it, or a line is more than one mini-batch."""
    if run.status != "finished" or run.setting("training.log_images") > run.setting("training.batch_size"):
        return None
    name = TERMS[quantity].partition(".")[2]
    values = [finite(row["terms"].get(name)) for row in run.log[-NEIGHBOURS:]]
    known = [x for x in values if x is not None]
    return float(np.std(known, ddof=1)) if len(known) == NEIGHBOURS else None


def _spread(results: Results, quantity: str) -> Spread:
    by_rate = [results.where(study=STUDY, framework=framework) for framework in FRAMEWORKS.values()]
    last = [_values(runs, quantity, "last") for runs in by_rate]
    common = [seed for seed in last[0] if all(seed in values for values in last)]
    rows = _pooled([float(np.std([values[seed] for values in last], ddof=1)) for seed in common])
    deviations = [x for runs in by_rate for run in runs if (x := _neighbours(run, quantity)) is not None]
    within, p = _pooled(deviations), None
    if rows is not None and within:
        freedom = (len(FRAMEWORKS) - 1) * len(common), (NEIGHBOURS - 1) * len(deviations)
        p = float(special.fdtrc(*freedom, (rows / within) ** 2))
    spread = Spread(
        quantity=quantity,
        printed=float(np.std(list(PRINTED[quantity].values()), ddof=1)),
        printed_within=_pooled([(high - low) / RANGE_OF_NEIGHBOURS for low, high in RANGES.get(quantity, {}).values()]),
        rows=rows,
        within=within,
        seeds=_pooled([float(np.std(list(x.values()), ddof=1)) for x in last if len(x) > 1]),
        p=p,
    )
    return replace(spread, sentence=_sentence(spread))


def _pooled(deviations: list[float]) -> float | None:
    """The root of the mean variance; None of none."""
    return float(np.sqrt(np.mean(np.square(deviations)))) if deviations else None


def _sentence(spread: Spread) -> str:
    """What the spreads say, in plain sentences."""
    text = ""
    if spread.printed_within is not None:
        text = (
            f"The paper's rows of {spread.quantity} have a standard deviation of {number(spread.printed, 2)}, the last "
            f"{NEIGHBOURS} mini-batches of each of its runs one of about {number(spread.printed_within, 2)}. "
        )
    if spread.within is None or spread.rows is None or spread.p is None:
        return f"{text}There are no finished runs here that say how far the rows of {spread.quantity} lie apart."
    verb = "differ by more" if spread.p < ALPHA else "do not differ by more"
    text += (
        f"Here, the three rows of {spread.quantity} {verb} than neighbouring mini-batches of one run do: standard "
        f"deviation {number(spread.rows, 2)} against {number(spread.within, 2)} (F test, {p_value(spread.p)})"
    )
    if spread.seeds is not None:
        text += f"; runs that differ in their seed alone have {number(spread.seeds, 2)}"
    return text + "."
