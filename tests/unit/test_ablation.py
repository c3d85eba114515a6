"""Which quirk made which effect: hand-made runs with known effects against SciPy, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from hand_made import ablated, results, run
from triptych.claims.results import Results
from triptych.directory import RunRecord
from triptych.papers.vae_vs_gan_vs_vaegan import ablation


def test_an_effect_that_remains_when_all_is_fixed_is_reported_with_what_offsets_its_maker() -> None:
    made = ablated(
        {"sign": [50.1, 50.4, 49.7], "updates": [140.2, 140.6, 139.7]}, {"sign": [], "rate": [121.0, 119.0, 120.0]}
    )
    fixed = [run for run in made.runs if run.framework.endswith("-fixed")]
    for record, value in zip(fixed, [101.0, 101.5, 100.6], strict=True):  # no better than as published
        record.scores["frechet_distance"]["value"] = value
    sentences = {f.measure: f.sentence for f in ablation.findings(made, ablation.effects(made))}["frechet_distance"]
    assert sentences == (
        "The GAN's bad samples (Fréchet distance: 100 as published, 101 with every quirk fixed): no significant change "
        "when all quirks are fixed; one at a time, made by sign (fixing it alone multiplies it by 0.5), rate (it "
        "alone multiplies it by 1.2), and offset by updates (fixing it alone multiplies it by 1.4)."
    )


def test_the_quirk_that_makes_the_effect_is_found_by_fixing_and_by_keeping_it() -> None:
    made = ablated(
        {"sign": [30.1, 30.4, 29.7], "rate": [100.0, 100.5, 99.6], "updates": [140.2, 140.6, 139.7]},
        {"sign": [90.2, 90.4, 89.7], "rate": [21.0, 19.0, 20.0]},
    )
    found = {(e.quirk, e.kind): e for e in ablation.effects(made) if e.measure.metric == "frechet_distance"}
    sign = found["sign", "fix"]
    logs = np.log2([30.1, 30.4, 29.7]), np.log2([100.0, 100.5, 99.6])  # distances are compared by factors
    assert sign.estimate and sign.estimate.point == pytest.approx(np.mean(logs[1] - logs[0]))
    assert (sign.scale, sign.amount, sign.span) == ("log2", "a factor of 3.33", "3.27 to 3.39")
    raw = scipy_stats.ttest_rel(*logs).pvalue
    assert sign.p is not None and raw < sign.p < 5 * raw + 1e-12  # five comparisons
    assert (sign.verdict, found["sign", "keep"].verdict) == ("makes it", "makes it")
    assert found["updates", "fix"].verdict == "weakens it"
    assert found["rate", "fix"].verdict == "no change seen"  # and not proven by seeds that agree
    assert found["rate", "fix"].why == "every score is the same in 3 of 3 seeds: seen, not tested"
    assert found["rate", "keep"].verdict == "no effect shown"
    assert found["momentum", "fix"].verdict == "changes nothing" and "never looked at" in found["momentum", "fix"].why
    assert found["dis_rate", "keep"].estimate is None and found["dis_rate", "keep"].why == "no seed has both scores"
    sentences = {f.measure: f for f in ablation.findings(made, ablation.effects(made))}
    assert sentences["frechet_distance"].makers == ("sign",)
    assert sentences["frechet_distance"].sentence == (
        "The GAN's bad samples (Fréchet distance: 100 as published, 20 with every quirk fixed): made by sign "
        "(whether fixed or kept alone)."
    )
    assert sentences["collapsed"].sentence.endswith("all quirks are fixed, and none for any single quirk.")
    assert sentences["coverage"].sentence.startswith("Nothing can be said")


def said(made: Results, measure: str = "frechet_distance") -> str:
    """What is said of one measure after its two ends."""
    (found,) = [f for f in ablation.findings(made, ablation.effects(made)) if f.measure == measure]
    return found.sentence.partition("quirk fixed): ")[2]


NOISY = [30.0, 120.0, 90.0]  # on both sides of halfway from 20 to 100, which is 45 for factors


def test_quirks_that_are_each_enough_are_named_where_no_test_decides() -> None:
    some = {"sign": [70.0, 150.0, 95.0], "rate": NOISY, "dis_rate": [65.0, 130.0, 61.0]}
    assert said(ablated({"sign": [99.0, 90.0, 105.0]}, some)).partition(" (")[0] == (
        "no test attributes this to a quirk; seen in 3 of 3 seeds, not tested: sign and dis_rate each bring it past "
        "halfway alone, and fixing no quirk takes it back past halfway"
    )
    both = {"sign": [40.0, 20.0, 1.0], "updates": [1.0, 20.0, 40.0], "rate": [99.0, 30.0, 95.0]}
    assert said(ablated(both, {"rate": NOISY})).partition(" (")[0] == (
        "no test attributes this to a quirk; seen in 3 of 3 seeds, not tested: no quirk brings it past halfway alone, "
        "and fixing sign or updates takes it back past halfway"
    )


def test_what_is_enough_is_named_next_to_what_a_test_shows() -> None:
    sentence = said(ablated({}, {"sign": [90.2, 90.4, 89.7], "rate": [46.0, 250.0, 60.0]}))
    assert sentence.startswith(
        "made by sign (it alone multiplies it by 4.5); seen in 3 of 3 seeds, not tested: sign and rate each bring it "
        "past halfway alone"
    )


def test_a_variant_that_lacks_a_seed_is_not_counted_as_support() -> None:
    made = ablated({"sign": [10.0, 55.0]}, {"rate": [95.0]})
    sentence = said(made)
    assert "no quirk brings it past halfway alone" in sentence and "fixing no quirk takes it back" in sentence
    lacking = sum(
        e.verdict != "changes nothing" for e in ablation.effects(made) if e.measure.metric == "frechet_distance"
    )
    assert sentence.endswith(f"({lacking} variants without all runs left out).") and lacking > 5


def test_ends_that_change_places_in_a_seed_have_no_halfway() -> None:
    made = ablated({}, {"rate": NOISY}, fixed=[99.0, 101.0, 19.0])
    assert said(made).startswith("no significant change when all quirks are fixed, and none for any single quirk.")
    made = ablated({}, {"rate": NOISY}, published=[100.0] * 5, fixed=[19.0, 21.0, 20.0, 10.0, 101.0])
    assert "it does not vanish in all 5 seeds when all quirks are fixed" in said(made)


def test_the_same_change_in_every_seed_is_said_and_not_called_weak() -> None:
    made = ablated({"rate": [99.0, 98.0, 97.0]}, {"sign": [80.0, 82.0, 78.4]}, fixed=[20.0, 20.5, 19.6])
    assert said(made).startswith(
        "no test attributes this to a quirk (the same change in all of 3 seeds has p = 0.25 at best); seen in 3 of 3 "
        "seeds, not tested: sign brings it past halfway alone, and fixing no quirk takes it back past halfway"
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_an_effect_that_is_the_same_in_a_few_seeds_is_not_shown(seeds: int) -> None:
    """Two ends that differ by the same in 2 seeds used to count as shown."""
    made = ablated({}, {}, published=[100.0] * seeds, fixed=[20.0] * seeds)
    assert said(made).startswith("no significant change when all quirks are fixed")


def test_collapsed_runs_are_counted_and_not_averaged() -> None:
    made = ablated(
        {}, {"sign": [100.0] * 5}, published=[100.0 + x for x in range(5)], fixed=[20.0 + x for x in range(5)]
    )
    for record in made.runs:
        record.scores["collapsed"]["value"] = 0.0 if record.framework.endswith("-fixed") else 1.0
    (sign,) = [e for e in ablation.effects(made) if (e.quirk, e.measure.metric) == ("sign", "collapsed") and e.estimate]
    assert sign.p == pytest.approx(scipy_stats.boschloo_exact([[5, 0], [0, 5]], n=64).pvalue)
    assert (sign.verdict, sign.amount) == ("makes it", "+1") and sign.estimate and sign.estimate.low
    (found,) = [f for f in ablation.findings(made, ablation.effects(made)) if f.measure == "collapsed"]
    assert "(Collapsed: 5 of 5 runs as published, 0 of 5 runs with every quirk fixed): made by sign" in found.sentence
    # Nobody is left out for having collapsed: what a quirk does to a run includes that.
    (score,) = [
        e for e in ablation.effects(made) if (e.quirk, e.measure.metric) == ("sign", "frechet_distance") and e.estimate
    ]
    assert score.estimate and score.estimate.n == 5 and score.p is not None and score.p < 0.05


def test_halfway_lies_below_where_a_lower_score_is_the_effect() -> None:
    def runs(study: str, variant: str, values: list[float]) -> list[RunRecord]:
        return [run(study, f"as_published@vaegan{variant}", s, {"reconstruction_mse": v}) for s, v in enumerate(values)]

    made = runs("as_published", "", [0.010, 0.011, 0.012]) + runs("ablation", "-fixed", [0.030, 0.031, 0.033])
    made += runs("ablation", "-keep-loader", [0.009, 0.001, 0.019])
    made += runs("ablation", "-fix-loader", [0.05, 0.9, 0.1])
    assert "loader brings it past halfway alone, and fixing loader takes it back past halfway" in said(
        results(*made), "reconstruction_mse"
    )


def test_one_equal_score_or_seed_is_not_the_same_run() -> None:
    found = ablation.effects(ablated({"sign": [100.0, 30.0, 90.0]}, {}))
    verdicts = {e.measure.metric: e.verdict for e in found if (e.quirk, e.kind) == ("sign", "fix")}
    assert verdicts == {m: "no effect shown" for m in ("frechet_distance", "collapsed", "coverage")}


def test_a_lower_score_is_the_effect_where_the_measure_says_so() -> None:
    def runs(study: str, variant: str, values: list[float]) -> list[RunRecord]:
        return [run(study, f"as_published@vaegan{variant}", s, {"reconstruction_mse": v}) for s, v in enumerate(values)]

    made = runs("as_published", "", [0.01, 0.0101, 0.0102]) + runs("ablation", "-fixed", [0.03, 0.031, 0.0305])
    made += runs("ablation", "-fix-loader", [0.0302, 0.0303, 0.0305])
    (loader,) = [e for e in ablation.effects(results(*made)) if e.estimate and e.quirk == "loader"]
    assert loader.estimate and loader.estimate.point < 0 and loader.verdict == "makes it"
