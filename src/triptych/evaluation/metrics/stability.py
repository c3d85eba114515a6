"""Stability of one run: how much its losses swing late in training, and whether it has collapsed.

Loss oscillation. In the last half of the log a straight line is subtracted from each player's loss, and the standard
deviation of the rest is divided by the range of that loss after the first tenth of the log (before, it falls from where
the initial weights put it). The value is the least steady player's. Losses of different games have different
units, zeros and signs, so only a quotient that shift, scale and sign do not change can compare them; a coefficient of
variation does not, for a GAN's losses pass through zero. It is 0 for a straight line and at most 1/2 (Popoviciu 1935);
a constant sine has 0.35. The log averages over intervals, so faster oscillation is not seen, and values are comparable
only with equal intervals.

Collapse, 0 or 1: the samples show fewer than half of the classes that test images show (a class is shown from a tenth
of its real share on), or where there is no classifier, their features have less than a tenth of the real variance; or
fewer than 5 % of the latent dimensions are active (variance of the mean code above 0.01, Burda et al. 2016).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from triptych import topics
from triptych.evaluation.metrics import Metric, Output, Values, value_or_reason
from triptych.evaluation.metrics.active_units import ACTIVE
from triptych.evaluation.metrics.class_shares import are_shown
from triptych.evaluation.observations import Measured, Observations

FEWEST = 8  # log lines in the last half
CLASSES, VARIANCE, UNITS = 0.5, 0.1, 0.05


def swing(losses: np.ndarray) -> float:
    """The standard deviation of the detrended last half of losses [N], in ranges of all but their first tenth.

    From 0 to 1/2; raises ValueError if there are too few, or any that is not finite.
    """
    from scipy.signal import detrend  # imported late, since it takes a second

    late = losses[len(losses) // 2 :]
    if len(late) < FEWEST:
        raise ValueError(f"the last half of the log has fewer than {FEWEST} lines")
    if not np.isfinite(losses).all():
        raise ValueError("some losses are not finite")
    extent = float(np.ptp(losses[len(losses) // 10 :]))
    return float(detrend(late).std()) / extent if extent else 0.0


def _oscillation(log: list[dict[str, Any]]) -> Measured:
    players = sorted({player for line in log for player in line.get("losses", {})})
    if not players:
        raise ValueError("the log has no losses")
    swings = {}
    for player in players:
        lines = [line["losses"][player] for line in log if player in line.get("losses", {})]
        swings[player] = swing(np.array([math.nan if loss is None else loss for loss in lines], np.float64))
    by_player = ", ".join(f"{player} {value:.3f}" for player, value in swings.items())
    return Measured(max(swings.values()), note=f"{by_player}; n counts lines of the log", n=len(log))


def _modes(observed: Observations) -> tuple[bool, str]:
    """Whether the samples have collapsed, and what was seen."""
    real, samples = observed.features("real"), observed.features("samples")
    seen, made = (observed.extractor.classify(features) for features in (real, samples))
    if seen is not None and made is not None:
        expected, shares = (np.bincount(p.argmax(1), minlength=p.shape[1]) / len(p) for p in (seen, made))
        there = int((expected > 0).sum())
        shown = int(are_shown(shares, expected).sum())
        return shown < CLASSES * there, f"{shown} of {there} classes shown"
    whole = float(real.var(0).sum())
    if whole == 0:
        raise ValueError("all real images have the same features")
    share = float(samples.var(0).sum()) / whole
    return share < VARIANCE, f"{share:.2f} of the real variance"


def _collapse(observed: Observations) -> Measured:
    if observed.n < 2:
        raise ValueError("one image shows no collapse")
    collapsed, note = _modes(observed)
    if observed.posterior is not None:
        active = int((observed.codes.double().var(0) > ACTIVE).sum())
        collapsed |= active < UNITS * observed.codes.shape[1]
        note += f", {active} of {observed.codes.shape[1]} units active"
    return Measured(float(collapsed), note=note)


def _compute(observed: Observations) -> Values:
    return {
        "loss_oscillation": value_or_reason(lambda: _oscillation(observed.log)),
        "collapsed": value_or_reason(lambda: _collapse(observed)),
    }


METRIC = Metric(
    name="stability",
    outputs=(
        Output(
            metric="loss_oscillation",
            label="Loss oscillation",
            unit="share of the loss's range",
            better="lower",
            scale="share",
            smallest_effect=0.02,
            role="secondary",
            about="How much the least steady player's loss swings about its trend in the last half of training, in "
            "ranges of that loss.",
            topic=topics.STABILITY,
        ),
        Output(
            metric="collapsed",
            label="Collapsed",
            unit="share of runs",
            better="lower",
            scale="event",
            smallest_effect=0.1,  # one run in ten
            role="secondary",
            about="1 if the samples show fewer than half of the classes or fewer than 5 % of the latent dimensions are "
            "active, else 0; over seeds, the share of runs that collapsed.",
            topic=topics.STABILITY,
        ),
    ),
    compute=_compute,
    features=("collapsed",),
    source="Popoviciu 1935 for the bound; Burda et al. 2016, section 5.2, for active units",
    blind_spots="A loss that falls far at the start has a long range, compared with which any later swing is small. "
    "Classes are not all modes: samples with one picture of each class do not count as collapsed.",
)
