"""What no verdict may say: one case for each way in which scores have once led to a wrong or a misleading answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from triptych.claims import judging
from triptych.errors import InputError
from triptych.verdicts import scales, stats
from triptych.verdicts.comparisons import Comparison, judge
from triptych.verdicts.designs import INDEPENDENT
from triptych.verdicts.verdict import Verdict

Values = Sequence[float | None]


def rows(metric: str, framework: str, values: Values, error: float | None = None) -> list[dict[str, Any]]:
    """Lines of scores.jsonl of the seeds 0, 1, ...; None is a score that is missing."""
    return [
        {
            "metric": metric,
            "framework": framework,
            "seed": seed,
            "value": value,
            "error": error,
            "undefined": None if value is not None else "no score",
            "n": 1000,
        }
        for seed, value in enumerate(values)
    ]


def verdict(gan: Values, vae: Values, error: float | None = None, **others: Any) -> Verdict:
    """The verdict on GAN against VAE by a distance of which less is better, or by what `others` say."""
    extra = others.pop("scores", [])
    asked = {"smallest_effect": 1.1, "scale": "factor", "better": "lower", **others.pop("asked", {})}
    scores = [*rows("fd", "gan", gan, error), *rows("fd", "vae", vae, error), *extra]
    [found] = judge(scores, [Comparison(metric="fd", a="gan", b="vae", **asked)], **others)
    json.dumps(found.to_dict(), allow_nan=False)
    return found


NATS = {"scale": "difference", "better": "higher", "smallest_effect": 10.0, "gap": "gap"}


def bounds(difference: float, gap: float, seeds: int = 8) -> Verdict:
    """Two lower bounds so far apart, which lie so far from the truth."""
    spread = np.linspace(-0.5, 0.5, seeds)
    gaps = [*rows("gap", "gan", [gap] * seeds), *rows("gap", "vae", [gap] * seeds)]
    return verdict(list(100 + difference + spread), [100.0] * seeds, asked=NATS, scores=gaps)


@pytest.mark.parametrize(
    ("difference", "gap", "expected"),
    [
        (-8.9, 8.5, "worse"),  # beyond the gap, and the truth may be 17 apart: not equivalent within 10
        (0.1, 0.5, "equivalent"),  # the truth is within 0.6
        (8.6, 8.5, "undecided"),  # hardly beyond the gap
        (20.0, 8.5, "better"),
        (-20.0, 8.5, "worse"),
        (1.0, 12.0, "undecided"),  # a gap wider than the margin
    ],
)
def test_bounds_decide_only_what_holds_wherever_the_truth_lies(difference: float, gap: float, expected: str):
    found = bounds(difference, gap)
    assert found.verdict == expected, found.sentence
    if gap > abs(difference) and expected == "undecided":
        assert "within the gap of their bounds" in found.sentence and found.seeds_needed is None
    elif gap <= abs(difference):
        assert f"scores are bounds, up to {gap} from the truth" in found.sentence


@pytest.mark.parametrize("expects", ["lower", "higher", "not lower", "not higher", "equivalent"])
@pytest.mark.parametrize("truth", [-3.0, 0.0, 3.0])
def test_claims_on_bounds_hold_their_level_wherever_the_truth_lies(expects: Any, truth: float):
    """Bounds may be off by the gap of 2 either way: at the edge of what is claimed no more than 5 % are wrong."""
    edges = {"lower": 0.0, "higher": 0.0, "not lower": -3.0, "not higher": 3.0, "equivalent": truth or 3.0}
    draw = np.random.default_rng(7)
    for off in (-2.0, 2.0):
        seen = edges[expects] + off
        found = [judging.tests(draw.normal(seen, 1.0, 5), expects, 3.0, gap=2.0)[0] < 0.05 for _ in range(400)]
        assert np.mean(found) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)


def test_nothing_is_decided_where_most_runs_failed_though_they_left_no_score():
    gan: list[float | None] = [90.0, 91.0, 89.0, 90.5, 90.2, *[None] * 9]
    failed = {("gan", "{}"): dict.fromkeys(range(5, 14), "diverged")}
    found = verdict(gan, [10.0 + 0.1 * seed for seed in range(14)], failures=failed)
    assert (found.verdict, found.most_failed) == ("undecided", True)
    assert "most seeds have a failed run" in found.sentence


def test_an_early_look_does_not_outlive_runs_of_which_most_have_failed():
    gan, vae = [90.0, 91.0, 89.0, *[300.0] * 5], [10.0, 10.1, 9.9, 10.0, 10.2, 10.1, 9.8, 10.0]
    early = {"looks": (3, 8), "seeds": range(8)}
    assert verdict(gan[:3], vae[:3], **early).verdict == "worse"
    failed = {("gan", "{}"): dict.fromkeys(range(3, 8), "diverged")}
    assert verdict(gan, vae, failures=failed, **early).verdict == "undecided"


EVENT = {"scale": "event", "smallest_effect": 0.1}


def test_events_must_also_hold_with_the_missing_ones_at_the_worst():
    vae = [1.0] * 5 + [0.0] * 5
    alone = verdict([0.0] * 10, vae * 2, asked=EVENT)
    assert alone.verdict == "undecided" or alone.imputed == 10
    whole = verdict([0.0] * 20, vae * 2, asked=EVENT)
    missing = verdict([*[0.0] * 10, *[None] * 10], vae * 2, asked=EVENT)
    assert (whole.verdict, missing.verdict, missing.imputed) == ("better", "undecided", 10)


def test_an_interval_of_events_that_contradicts_its_verdict_says_that_it_is_wide():
    found = verdict([0.0] * 5, [1.0] * 5, asked=EVENT)
    assert found.verdict == "better" and found.low < 0 < found.high  # pyright: ignore[reportOptionalOperand]
    assert "which covers more than that" in found.sentence


@pytest.mark.parametrize(("scale", "margin"), [("share", 5.0), ("event", 5.0), ("share", 1.0), ("factor", 1.0)])
def test_a_margin_that_no_effect_can_exceed_is_refused(scale: Any, margin: float):
    with pytest.raises(InputError, match="smallest_effect must be a "):
        Comparison(metric="m", a="a", b="b", smallest_effect=margin, better="lower", scale=scale)


@pytest.mark.parametrize("smallest", [0.27, 0.001, -0.01])
def test_a_distance_that_cannot_be_told_from_0_changes_no_answer(smallest: float):
    """The corrected Fréchet distance scatters around 0 for equal laws: what is below its error counts as that."""
    found = verdict([0.30, 0.25, 0.28, smallest, 0.31], [0.88, 0.90, 0.86, 0.88, 0.85], error=0.05)
    assert (found.verdict, found.scale, found.rescaled) == ("better", "factor", "")
    assert found.low > 0 and found.unresolved == (smallest < 0.05)  # pyright: ignore[reportOptionalOperand]
    assert ("too small for these images to tell" in found.sentence) == (smallest < 0.05)


def test_what_cannot_be_told_from_0_is_not_equivalent_either():
    found = verdict([0.01, -0.02, 0.03] * 3, [0.02, 0.01, -0.03] * 3, error=0.05)
    assert found.verdict == "undecided" and found.unresolved == 18


def test_no_mean_of_what_cannot_be_negative_has_an_interval_below_its_minimum():
    gaps = [0.05, 0.4, 0.1]
    assert scales.mean("difference", gaps).low < 0  # pyright: ignore[reportOptionalOperand]
    assert scales.mean("difference", gaps, bounds=(0.0, None)).low == 0
    assert scales.mean("difference", [0.99, 0.9, 0.95], bounds=(None, 1.0)).high == 1.0
    below = scales.mean("difference", [-0.02, -0.01, 0.01], bounds=(0.0, None))  # unbiased, of a truth near 0
    assert below.low == below.point < 0 < below.high  # pyright: ignore[reportOptionalOperand]


def test_a_verdict_of_an_earlier_look_says_so():
    vae = [10.0, 10.1, 9.9, 10.0, 10.1, 12.0, 7.0, 13.0]
    gan = [5.0, 5.1, 4.9, 9.5, 10.5, 9.0, 10.9, 11.0]
    found = verdict(gan, vae, looks=(3, 8), seeds=range(8))
    assert (found.verdict, found.decided_at) == ("better", 3)
    assert "decided by the first 3 seeds, and the interval of all is wider" in found.sentence
    assert "decided by" not in verdict(gan[:3], vae[:3], looks=(3, 8), seeds=range(8)).sentence
    still = verdict([5.0, 5.1, 4.9, 5.0, 5.1, 6.0, 3.5, 6.5], vae, looks=(3, 8), seeds=range(8))
    assert (still.verdict, still.decided_at) == ("better", 3) and "decided by" not in still.sentence


def test_seeds_that_would_settle_it_are_more_than_there_are():
    draw = np.random.default_rng(3)
    for looks in ((), (2, 3, 5, 20)):
        for _ in range(40):
            gan, vae = 10 * np.exp(draw.normal(0.9, 0.6, (2, 5)) * [[1], [0.2]])
            found = verdict(list(gan), list(vae), looks=looks)
            if found.verdict == "undecided" and found.seeds_needed_low is not None:
                assert found.seeds_needed_low > 5


def test_looks_ask_for_more_seeds():
    gan, vae = [10.0, 14.0, 9.0], [14.0, 13.0, 15.0]
    fixed, in_looks = (verdict(gan, vae, looks=looks).seeds_needed for looks in ((), (3, 5, 8, 12)))
    assert fixed is not None and in_looks is not None and fixed < in_looks


def test_equal_sides_are_not_promised_a_number_of_seeds():
    found = verdict([10.0] * 5, [10.0] * 5)
    assert "would be needed" not in found.sentence and "does not say how far apart" in found.sentence


def test_rounding_is_no_difference_for_the_exact_test_either():
    found = verdict([0.1 + 0.2] * 8, [0.3] * 8, asked={"scale": "difference", "smallest_effect": None})
    assert found.p_sign_adjusted == 1.0 and found.verdict == "undecided"


def test_power_and_gap_of_seeds_needed():
    plain = stats.seeds_needed(2.0, 1.0, None, 0.05)
    assert plain is not None
    assert stats.seeds_needed(3.0, 1.0, None, 0.05, gap=1.0) == plain
    assert stats.seeds_needed(1.0, 1.0, None, 0.05, gap=1.0) is None
    assert stats.seeds_needed(0.1, 1.0, 3.0, 0.05, gap=1.0) == stats.seeds_needed(0.1, 1.0, 2.0, 0.05)


def test_independent_sides_do_not_depend_on_order_and_need_no_equal_numbers():
    gan, vae = [10.0, 12.0, 14.0], [11.5, 13.2, 15.6]
    listed = verdict(gan, vae, design=INDEPENDENT)
    turned = verdict(gan, vae[::-1], design=INDEPENDENT)
    assert listed.p_adjusted == pytest.approx(turned.p_adjusted) and listed.verdict == "undecided"
    assert verdict(gan, vae).verdict == "better"  # as pairs, which these are not
    more = verdict([10.0, 10.1, 9.9, 10.2], [20.0, 20.5, 19.5], design=INDEPENDENT)
    assert (more.verdict, more.n, more.left_out) == ("better", 3, {})
    missing = verdict([10.0, 10.1, None, 10.2], [20.0, 20.5, 19.5, 20.2], design=INDEPENDENT)
    assert missing.imputed == 1 and missing.left_out == {"GAN: no score": 1}
