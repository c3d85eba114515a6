"""Verdicts follow from the numbers in their records, hold their level, and say what they rest on."""

# A None where a number belongs fails the test by itself.
# pyright: reportOptionalOperand=false, reportOperatorIssue=false, reportArgumentType=false, reportCallIssue=false

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from triptych import topics
from triptych.errors import InputError
from triptych.text import condition_key
from triptych.verdicts import stats, wording
from triptych.verdicts.comparisons import Comparison, comparisons_for, judge
from triptych.verdicts.verdict import Verdict

pytestmark = pytest.mark.slow

TOPICS = {topic.name: asdict(topic) for topic in topics.BUILT_IN}
FD = {
    "metric": "fd",
    "label": "Fréchet distance",
    "unit": "",
    "better": "lower",
    "smallest_effect": 2.0,
    "role": "primary",
    "topic": TOPICS["samples"],
}
PSNR = {
    "metric": "psnr",
    "label": "PSNR",
    "unit": "dB",
    "better": "higher",
    "smallest_effect": 0.5,
    "role": "secondary",
    "topic": TOPICS["reconstruction"],
}
SHARE = {
    "metric": "share",
    "label": "Share of sevens",
    "unit": "",
    "better": "none",
    "smallest_effect": None,
    "role": "secondary",
    "topic": TOPICS["diversity"],
}
METRICS = [FD, PSNR, SHARE]
THREE = ["vae", "gan", "vaegan"]


def lines(metric: dict, framework: str, values, condition: dict | None = None) -> list[dict]:
    """Score lines of seeds 0, 1, ...; a string in place of a value is a reason why it is undefined."""
    return [
        {
            "run": f"{framework}-s{seed}",
            "framework": framework,
            "seed": seed,
            "condition": condition or {},
            "metric": metric["metric"],
            "value": None if isinstance(v, str) else v,
            "unit": metric["unit"],
            "better": metric["better"],
            "undefined": v if isinstance(v, str) else None,
            "n": 100,
            "features": None,
        }
        for seed, v in enumerate(values)
    ]


def one(metric: dict, a, b, **keywords) -> Verdict:
    scores = lines(metric, "vaegan", a) + lines(metric, "vae", b)
    (verdict,) = judge(scores, comparisons_for(["vaegan", "vae"], [metric]), **keywords)
    return verdict


def by_the_rule(record: dict) -> str:
    """The verdict once more, from the written record and nothing else."""
    if record["undefined"]:
        return "undefined"
    if record["gap"] is not None and abs(record["difference"] or 0) <= record["gap"]:
        return "undecided"
    if (record["p_equivalence_adjusted"] or 0) < record["alpha"] and record["p_equivalence_adjusted"] is not None:
        return "equivalent"
    if record["p_adjusted"] is None or record["p_adjusted"] >= record["alpha"]:
        return "undecided"
    gain = record["difference"] if record["better"] == "higher" else -record["difference"]
    return "better" if gain > 0 else "worse"


def test_every_pair_by_every_metric_with_a_direction_is_asked():
    asked = comparisons_for(THREE, METRICS, ["x=1", "x=2"])
    assert len(asked) == 2 * 2 * 3
    assert {(q.a, q.b) for q in asked} == {("vae", "gan"), ("vae", "vaegan"), ("gan", "vaegan")}
    assert {q.metric for q in asked} == {"fd", "psnr"}
    assert {q.role for q in asked if q.metric == "psnr"} == {"secondary"}


def test_a_clear_win_reads_as_one():
    assert one(FD, [10.0, 11.0, 12.0], [22.0, 23.5, 24.0]).sentence == (
        "VAE-GAN's samples are better than VAE's by Fréchet distance: "
        "12.17 lower (95 % interval 11.45 to 12.88, 3 seeds, p < 0.001); assumes that seeds scatter normally."
    )
    assert one(PSNR, [18.0, 18.2, 18.1], [20.0, 20.3, 20.0]).verdict == "worse"


def test_higher_is_better_where_the_metric_says_so():
    up = one(PSNR, [25.0, 25.1, 25.3, 25.2], [20.0, 20.2, 20.1, 20.1])
    down = one(PSNR | {"better": "lower"}, [25.0, 25.1, 25.3, 25.2], [20.0, 20.2, 20.1, 20.1])
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert "5.05 dB higher" in up.sentence
    assert "5.05 dB higher" in down.sentence


def test_equivalent_wins_over_better():
    # A difference of 0.1 dB, seen beyond doubt, is still too small to matter.
    v = one(PSNR, [20.1, 20.2, 20.3, 20.11], [20.0, 20.1, 20.21, 20.0])
    assert v.p_adjusted < 0.05
    assert v.verdict == "equivalent"
    assert "the smallest effect of interest is 0.5 dB" in v.sentence


def test_undecided_says_how_many_seeds_would_settle_it():
    v = one(FD, [10.0, 14.0, 12.0], [13.0, 13.0, 15.0])
    assert v.verdict == "undecided"
    assert v.seeds_needed == stats.seeds_needed(v.difference, v.sd, 2.0, 0.05)
    assert v.seeds_needed_low < v.seeds_needed < v.seeds_needed_high
    few = f"3 seeds are too few to say how many would settle it ({v.seeds_needed_low} to {v.seeds_needed_high} seeds)"
    assert few in v.sentence
    more = one(FD, [10.0, 14.0, 12.0, 11.0, 13.5], [13.0, 13.0, 15.0, 11.0, 14.0])
    assert (
        f"{more.seeds_needed_low} to {more.seeds_needed_high} seeds in all would settle it with 80 % power"
        in more.sentence
    )
    assert re.search(r"95 % interval [\d.]+ lower to [\d.]+ higher, 3 seeds, p = ", v.sentence)


def test_a_gan_without_encoder_is_undefined_and_leaves_the_group():
    scores = [*lines(PSNR, "vae", [20.0, 20.1, 20.3]), *lines(PSNR, "vaegan", [19.0, 19.1, 19.2])]
    scores += lines(PSNR, "gan", ["no encoder"] * 3)
    result = {(v.a, v.b): v for v in judge(scores, comparisons_for(THREE, METRICS[1:]))}
    undefined = result["vae", "gan"]
    assert undefined.verdict == "undefined"
    assert undefined.sentence == "Undefined, VAE against GAN: GAN has no PSNR (no encoder)."
    assert result["vae", "vaegan"].comparisons == 1
    alone = judge(scores, comparisons_for(["vae", "vaegan"], [PSNR]))[0]
    assert result["vae", "vaegan"].p_adjusted == alone.p_adjusted


def test_families_are_adjusted_apart():
    draw = np.random.default_rng(3)
    scores = [x for m in (FD, PSNR) for f in THREE for x in lines(m, f, draw.normal(20, 1, 5))]
    result = judge(scores, comparisons_for(THREE, METRICS))
    for metric in (FD, PSNR):
        mine = [v for v in result if v.metric == metric["metric"]]
        kept = [x for x in scores if x["metric"] == metric["metric"]]
        values = {f: np.array([x["value"] for x in kept if x["framework"] == f]) for f in THREE}
        raw = [stats.paired(values[v.a], values[v.b]).p for v in mine]
        np.testing.assert_allclose([v.p_adjusted for v in mine], multipletests(raw, method="holm")[1], rtol=1e-9)
        margin = metric["smallest_effect"]
        raw = [ttost_paired(values[v.a], values[v.b], -margin, margin)[0] for v in mine]
        np.testing.assert_allclose(
            [v.p_equivalence_adjusted for v in mine], multipletests(raw, method="holm")[1], rtol=1e-9
        )
        assert {v.comparisons for v in mine} == {3}


def test_one_seed_is_undecided_with_a_reason():
    v = one(FD, [10.0], [20.0])
    assert (v.verdict, v.n, v.low, v.p_adjusted, v.seeds_needed) == ("undecided", 1, None, None, None)
    assert v.sentence == (
        "Undecided: by Fréchet distance, VAE-GAN's samples score 10 lower than VAE's, "
        "but a single seed gives neither an interval nor a test."
    )


def test_an_untestable_comparison_still_counts_in_its_group():
    scores = lines(FD, "vae", [10.0, 11.0, 12.5]) + lines(FD, "gan", [20.0, 21.0, 22.0]) + lines(FD, "vaegan", [9.0])
    result = {(v.a, v.b): v for v in judge(scores, comparisons_for(THREE, [FD]))}
    assert result["vae", "gan"].comparisons == 3
    alone = judge(scores, comparisons_for(["vae", "gan"], [FD]))[0]
    assert result["vae", "gan"].p_adjusted == pytest.approx(3 * alone.p_adjusted)


def test_no_common_seed_is_undecided_with_a_reason():
    v = one(FD, [10.0, "too few samples"], ["too few samples", 20.0])
    assert (v.verdict, v.n, v.difference) == ("undecided", 0, None)
    assert v.sentence == (
        "Undecided: by Fréchet distance, no seed has a score of both VAE-GAN and VAE; "
        "1 seed left out (VAE: too few samples); 1 seed left out (VAE-GAN: too few samples)."
    )


def test_a_seed_without_a_pair_counts_as_the_worst_of_the_side_that_lacks_it():
    full = one(FD, [10.0, 11.0, 12.5], [20.0, 21.0, 22.0])
    part = one(FD, [10.0, 11.0, 12.5, "too few samples"], [20.0, 21.0, 22.0, 1.0])
    assert full.verdict == "better"
    assert (part.verdict, part.n, part.imputed, part.effect) == ("undecided", 3, 1, full.effect)
    assert part.p_adjusted == 1.0 or part.p_adjusted > full.p_adjusted
    assert part.sentence.endswith(
        "; 1 seed left out (VAE-GAN: too few samples), "
        "and the verdict must also hold with the missing scores at the worst."
    )
    clear = one(FD, [10.0, 11.0, 12.5, 9.0], [20.0, 21.0, 22.0, "too few samples"])
    assert (clear.verdict, clear.imputed) == ("better", 1), "the worst of VAE is no better than VAE-GAN"


def test_failed_runs_are_counted_as_risk_and_the_others_compared():
    point = condition_key({})
    failures = {("vae", point): {3: "diverged"}, ("vaegan", point): {4: "diverged"}}
    ours = one(FD, [10.0, 11.0, 12.5, 11.0, 90.0], [20.0, 21.0, 22.0, 99.0, 21.0], failures=failures)
    plain = one(FD, [10.0, 11.0, 12.5], [20.0, 21.0, 22.0])
    assert (ours.verdict, ours.n, ours.p_adjusted) == ("better", 3, plain.p_adjusted)
    assert ours.sentence.startswith("In runs that did not fail: ")
    assert "; 1 of 5 VAE-GAN runs failed (diverged, true share 0.51 % to 72 %)" in ours.sentence
    assert (ours.improvement, ours.n) == (4 / 5, 3), "a failed run still loses its seed"


def test_where_most_runs_fail_there_is_no_typical_run():
    failures = {("vae", condition_key({})): {0: "diverged", 1: "diverged"}}
    v = one(FD, [10.0, 11.0, 12.5], [20.0, 21.0, 22.0], failures=failures)
    assert (v.verdict, v.most_failed, v.p_adjusted) == ("undecided", True, 1.0)
    assert "most seeds have a failed run, so there is no typical run to compare" in v.sentence


def test_a_difference_within_the_gap_of_bounds_decides_nothing():
    bound = FD | {"gap": "slack", "better": "higher"}
    slack = {"metric": "slack", "unit": "nats", "better": "none"}
    scores = lines(bound, "vaegan", [10.0, 11.0, 12.5]) + lines(bound, "vae", [20.0, 21.0, 22.0])
    for gap, verdict in ((1.0, "worse"), (30.0, "undecided")):
        both = scores + lines(slack, "vae", [gap] * 3) + lines(slack, "vaegan", [0.5] * 3)
        (v,) = judge(both, comparisons_for(["vaegan", "vae"], [bound]))
        assert (v.verdict, v.gap) == (verdict, gap)
    assert "within the gap of their bounds, 30" in v.sentence


@pytest.mark.parametrize(("n", "rests"), [(5, "normal"), (6, "signs")])
def test_six_seeds_can_confirm_without_assumptions(n: int, rests: str):
    v = one(FD, [10.0, 11.0, 12.5, 10.2, 9.9, 11.1][:n], [20.0, 21.0, 22.0, 21.2, 20.2, 20.5][:n])
    assert (v.verdict, v.rests_on) == ("better", rests)
    assert ("confirmed without assumptions" in v.sentence) == (rests == "signs")


def test_distances_are_compared_as_factors_with_positive_intervals():
    factor = FD | {"scale": "factor", "smallest_effect": 1.1}
    v = one(factor, [10.0, 11.0, 40.0], [22.0, 23.0, 25.0])
    assert v.effect == pytest.approx((4400 / 12650) ** (1 / 3))
    assert 0 < v.low < v.effect < v.high
    assert v.mean_a == pytest.approx(4400 ** (1 / 3))
    assert re.search(r"VAE-GAN's samples score 1\.4\d times lower than VAE's", v.sentence)
    assert one(factor, [10.0, 10.1, 10.2], [10.1, 10.1, 10.1]).verdict == "equivalent"
    assert one(FD, [0.1, 0.2, 3.0], [1.0, 1.1, 1.2]).low < 0, "as it would be on the raw scale"


def test_a_value_that_has_no_factor_is_compared_by_difference_and_that_is_said():
    v = one(FD | {"scale": "factor", "smallest_effect": 1.1}, [0.0, 1.0, 2.0], [22.0, 23.0, 25.0])
    assert v.effect == pytest.approx(-67 / 3)
    assert v.margin is None and "compared by differences, for a value is not positive" in v.sentence


def test_shares_stay_within_0_and_1():
    share = FD | {"scale": "share", "smallest_effect": 0.02, "better": "higher"}
    v = one(share, [0.999, 1.0, 0.99], [0.02, 0.5, 0.9])
    assert -1 <= v.low < v.effect < v.high <= 1
    assert v.mean_a <= 1
    assert one(share, [0.0] * 3, [0.001, 0.0, 0.0]).verdict == "equivalent"


EVENT = FD | {"metric": "collapsed", "label": "Collapsed", "scale": "event", "smallest_effect": 0.1}


def test_events_are_counted_by_exact_methods():
    v = one(EVENT, [1.0] * 5, [0.0] * 5)
    assert (v.verdict, v.rests_on) == ("worse", "counts")
    assert "5 of 5 runs against 0 of 5" in v.sentence
    assert one(EVENT, [1.0, 1.0, 1.0, 1.0, 0.0], [0.0] * 5).p_adjusted > v.p_adjusted, "less evidence, larger p"
    assert one(EVENT, [0.0] * 10, [0.0] * 10).verdict == "undecided", "no variance is no evidence"
    assert v.risks["vaegan"].how == {"collapsed": 5}


def test_presets_are_named_as_variants():
    assert wording.display("vaegan@larsen-code") == "VAE-GAN (larsen-code)"
    assert wording.display("mine") == "mine"


def test_conditions_are_kept_apart():
    scores = []
    for condition, gap in (({"optimiser.name": "Adam"}, 10.0), ({"optimiser.name": "SGD"}, -10.0)):
        scores += lines(FD, "vae", [20.0, 21.0, 22.0], condition)
        scores += lines(FD, "vaegan", [20.1 + gap, 21.0 + gap, 22.2 + gap], condition)
    conditions = [{"optimiser.name": "Adam"}, {"optimiser.name": "SGD"}]
    adam, sgd = judge(scores, comparisons_for(["vaegan", "vae"], [FD], conditions))
    assert (adam.verdict, sgd.verdict) == ("worse", "better")
    assert adam.sentence.startswith("With optimiser.name=Adam: VAE-GAN's samples are worse")


def test_identical_differences_are_not_mistaken_for_certainty():
    same = one(FD, [10.0, 10.0, 10.0], [10.0, 10.0, 10.0])
    assert same.verdict == "undecided"
    assert "score the same as VAE's (the same in all 3 seeds, p = 1 for a difference and 1 for" in same.sentence
    assert one(FD, [10.0] * 9, [10.0] * 9).verdict == "undecided", "no variance proves nothing"
    assert one(FD, [10.0] * 6, [20.0] * 6).verdict == "better"
    assert one(FD, [10.0] * 5, [20.0] * 5).seeds_needed == 6


def test_without_a_smallest_effect_nothing_is_equivalent():
    v = one(FD | {"smallest_effect": None}, [10.0, 10.1, 10.2], [10.0, 10.2, 10.1])
    assert v.p_equivalence_adjusted is None
    assert v.verdict == "undecided"
    assert "equivalence" not in v.sentence


def test_a_p_value_never_reads_on_the_wrong_side_of_alpha():
    shown = [wording._digits(p, 0.05) for p in (0.04996, 0.05, 0.0502, 0.0041)]
    assert shown == ["= 0.04996", "= 0.05", "= 0.05", "= 0.0041"]


def test_labels_stand_well_in_mid_sentence():
    labels = ["Reconstruction error", "PSNR", "Fréchet distance", "share of sevens"]
    assert [wording.mid(x) for x in labels] == ["reconstruction error", *labels[1:]]


@pytest.mark.parametrize(("unit", "spoken"), [("bits", " bits"), ("share", ""), ("squared MMD", "")])
def test_units_are_spoken_where_they_read_well(unit: str, spoken: str):
    v = one(FD | {"unit": unit}, [10.0, 11.0, 12.0], [22.0, 23.5, 24.0])
    assert f": 12.17{spoken} lower (" in v.sentence
    assert v.to_dict()["unit"] == unit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": math.nan}, "finite"),
        ({"value": math.inf}, "finite"),
        ({"value": "3"}, "finite"),
        ({"value": True}, "finite"),
        ({"value": None}, "a value or a reason"),
        ({"undefined": "no encoder"}, "a value or a reason"),
        ({"unit": "dB"}, "differ in unit"),
        ({"features": "other"}, "differ in features"),
        ({"better": "higher"}, "differ in better"),
        ({"seed": 1}, "a second score of vae by fd for seed 1"),
    ],
)
def test_bad_scores_are_refused_with_their_place(change: dict, message: str):
    scores = lines(FD, "vaegan", [10.0, 11.0]) + lines(FD, "vae", [20.0, 21.0])
    scores = [line | {"features": "own"} for line in scores]
    scores[2] |= change
    with pytest.raises(InputError, match=message) as caught:
        judge(scores, comparisons_for(["vaegan", "vae"], [FD]))
    assert "scores" in caught.value.where


def test_bad_comparisons_are_refused():
    for arguments, message in (
        (("fd", "vae", "vae", 1.0), "itself"),
        (("fd", "vae", "gan", -1.0), "positive"),
        (("fd", "vae", "gan", math.nan), "positive"),
        (("fd", "vae", "gan", None, "primary", {}, "up"), "direction"),
    ):
        with pytest.raises(InputError, match=message):
            Comparison(*arguments)
    with pytest.raises(InputError, match="direction"):
        judge(
            lines(SHARE, "vae", [0.1]) + lines(SHARE, "gan", [0.2]),
            [Comparison(metric="share", a="vae", b="gan", smallest_effect=None)],
        )
    with pytest.raises(InputError, match="alpha"):
        judge([], [], alpha=0.0)


MIRROR = {"better": "worse", "worse": "better"}
VALUES = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from([0.0, 1.0, 10.0, 10.5]), st.just("no encoder")
)


@st.composite
def studies(draw):
    """Scores of up to three frameworks by two metrics, gappy and tied at times, some with real effects."""
    scores = []
    for metric in (FD, PSNR):
        for framework in THREE:
            count = draw(st.integers(0, 6))
            if draw(st.booleans()):
                values = draw(st.lists(VALUES, min_size=count, max_size=count))
            else:
                noise = np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=count)
                values = list(draw(st.sampled_from([0.0, 10.0, 11.0, 1e4])) + draw(st.floats(1e-3, 3)) * noise)
            scores += lines(metric, framework, values)
    return scores


@settings(max_examples=150, deadline=None)
@given(studies(), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_verdict_follows_from_the_record_alone(scores: list[dict], alpha: float):
    for v in judge(scores, comparisons_for(THREE, METRICS), alpha=alpha):
        record = json.loads(json.dumps(v.to_dict(), allow_nan=False))
        assert record == v.to_dict()
        assert record["verdict"] == by_the_rule(record)
        if record["n"]:
            assert record["difference"] == pytest.approx(record["mean_a"] - record["mean_b"], rel=1e-6, abs=1e-6)
        if record["low"] is not None:
            assert record["low"] <= record["effect"] <= record["high"]
        if record["verdict"] == "undecided" and record["sd"] is not None and not record["imputed"]:
            level, effect = alpha / record["comparisons"], record["margin"]
            assert record["seeds_needed"] == stats.seeds_needed(record["difference"], record["sd"], effect, level)
        else:
            assert record["seeds_needed"] is None


@settings(max_examples=100, deadline=None)
@given(studies())
def test_swapping_a_and_b_mirrors_the_verdict(scores: list[dict]):
    asked = comparisons_for(THREE, METRICS)
    swapped = [replace(q, a=q.b, b=q.a) for q in asked]
    for v, w in zip(judge(scores, asked), judge(scores, swapped), strict=True):
        assert w.verdict == MIRROR.get(v.verdict, v.verdict)
        assert (w.n, w.p_adjusted, w.p_equivalence_adjusted) == (v.n, v.p_adjusted, v.p_equivalence_adjusted)
        assert (w.mean_a, w.mean_b, w.seeds_needed) == (v.mean_b, v.mean_a, v.seeds_needed)
        if v.difference is not None:
            assert w.difference == -v.difference
        if v.low is not None:
            assert (w.low, w.high) == (-v.high, -v.low)


@settings(max_examples=150, deadline=None)
@given(studies())
def test_every_sentence_contains_the_numbers_it_rests_on(scores: list[dict]):
    for v in judge(scores, comparisons_for(THREE, METRICS)):
        text = v.sentence
        assert text.endswith(".")
        assert "\n" not in text
        assert not re.search(r"\bnan\b|\binf\b|None|\b1 seeds", text)
        assert all(name in text for name in v.names)
        if v.verdict == "undefined":
            assert all(reason in text for reason in v.undefined.values())
            continue
        numbers = [float(x) for x in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]
        resolution = (v.high - v.low) / 40 if v.low is not None else 0.0
        narrow = v.verdict == "equivalent"  # judged by its 90 % interval
        for x in (v.difference, v.narrow_low if narrow else v.low, v.narrow_high if narrow else v.high):
            if x:
                assert any(abs(number - abs(x)) <= max(resolution, 0.006 * abs(x)) for number in numbers), (
                    x,
                    text,
                )
        p = v.p_equivalence_adjusted if v.verdict == "equivalent" else v.p_adjusted
        if p is not None:
            assert f"{v.n} seed" in text
            assert "p < 0.001" in text if p < 0.001 else any(abs(y - p) <= 0.051 * p for y in numbers)
            assert (f"Holm over {v.comparisons} comparisons" in text) == (v.comparisons > 1)
        if v.verdict in ("better", "worse"):
            assert f" {v.verdict} than " in text
            assert ("lower" in text) == (v.difference < 0)
        if v.seeds_needed_low and v.seeds_needed_high:
            assert str(v.seeds_needed_low) in text and str(v.seeds_needed_high) in text


@pytest.mark.parametrize("n", [3, 5, 10])
def test_false_verdicts_stay_at_their_level_under_the_null(n: int):
    """Nobody differs: any better or worse in the group, two measures of one topic, is false.

    4 binomial deviations of slack.
    """
    draws, draw = 1000, np.random.default_rng(n)
    open_ended = {"smallest_effect": None, "role": "primary", "topic": TOPICS["samples"]}
    asked, false = comparisons_for(THREE, [FD | open_ended, PSNR | open_ended]), 0
    for _ in range(draws):
        luck = draw.normal(size=(2, n))
        scores = [
            line
            for k, metric in enumerate((FD, PSNR))
            for f in THREE
            for line in lines(metric, f, (luck[k] + draw.normal(size=n)).tolist())
        ]
        false += any(v.verdict in MIRROR for v in judge(scores, asked))
    # Below: one comparison of the six alone errs at 0.05 / 6.
    assert 0.05 / 6 < false / draws < 0.05 + 4 * math.sqrt(0.05 * 0.95 / draws)


def test_each_topic_is_a_group_of_its_own():
    """Other topics take nothing from this one, and primary and secondary measures do not share."""
    draw = np.random.default_rng(0)
    scores = [line for metric in (FD, PSNR) for f in THREE for line in lines(metric, f, draw.normal(size=5).tolist())]
    alone = judge(scores, comparisons_for(THREE, [FD | {"topic": TOPICS["samples"]}]))
    for other in ({"topic": TOPICS["reconstruction"]}, {"topic": TOPICS["samples"], "role": "secondary"}):
        both = judge(
            scores, comparisons_for(THREE, [FD | {"topic": TOPICS["samples"], "role": "primary"}, PSNR | other])
        )
        assert [v.p_adjusted for v in both[:3]] == [v.p_adjusted for v in alone]
    together = judge(
        scores, comparisons_for(THREE, [m | {"topic": TOPICS["samples"], "role": "primary"} for m in (FD, PSNR)])
    )
    assert {v.comparisons for v in together} == {6} and {v.comparisons for v in alone} == {3}


def test_false_equivalence_stays_at_its_level_at_the_margin():
    """The true difference of each pair is the smallest effect, where equivalence is easiest to feign."""
    draws, n, draw = 1000, 5, np.random.default_rng(11)
    metrics = [FD | {"metric": f"fd{k}"} for k in range(4)]
    asked, false = comparisons_for(["vae", "vaegan"], metrics), 0
    for _ in range(draws):
        scores = []
        for metric in metrics:
            scores += lines(metric, "vae", draw.normal(10, 0.3, n).tolist())
            scores += lines(metric, "vaegan", draw.normal(12, 0.3, n).tolist())
        false += any(v.verdict == "equivalent" for v in judge(scores, asked))
    assert 0.05 / 4 < false / draws < 0.05 + 4 * math.sqrt(0.05 * 0.95 / draws)


def test_the_interval_next_to_equivalent_lies_within_the_margin():
    """The 95 % interval may exceed it; the test of equivalence is that of the 90 % one."""
    a, b = [10.0, 12.0, 11.0, 9.0, 10.5], [10.9, 11.0, 10.6, 10.3, 11.6]
    (v,) = judge(lines(FD, "vae", a) + lines(FD, "gan", b), comparisons_for(["vae", "gan"], [FD]))
    sd, n = float(np.std(np.subtract(a, b), ddof=1)), len(a)
    for low, high, level in ((v.low, v.high, 0.95), (v.narrow_low, v.narrow_high, 0.9)):
        half = scipy.stats.t.ppf((1 + level) / 2, n - 1) * sd / math.sqrt(n)
        assert (low, high) == pytest.approx((v.difference - half, v.difference + half))
    assert v.verdict == "equivalent" and "90 % interval" in v.sentence and "95 %" not in v.sentence
    assert max(-v.narrow_low, v.narrow_high) < FD["smallest_effect"]


def test_the_correlation_of_the_sides_over_seeds_is_in_the_record():
    a, b = [10.0, 12.0, 11.0, 9.0], [20.0, 23.0, 21.0, 19.5]
    (v,) = judge(lines(FD, "vae", a) + lines(FD, "gan", b), comparisons_for(["vae", "gan"], [FD]))
    assert v.correlation == pytest.approx(scipy.stats.pearsonr(a, b).statistic)
    (v,) = judge(lines(FD, "vae", a[:2]) + lines(FD, "gan", b[:2]), comparisons_for(["vae", "gan"], [FD]))
    assert v.correlation is None
