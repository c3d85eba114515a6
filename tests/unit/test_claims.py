"""How a claim's parts are judged, what follows for the claim, and what is refused before anything runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests

from fake_reproduction import CENTRED, FOUND, STUDY, claim, fill, make, part, run
from made_parts import judged
from triptych import store
from triptych.claims import engine, judging
from triptych.claims.contrasts import contrast
from triptych.claims.results import open_results
from triptych.errors import InputError
from triptych.papers.vae_vs_gan_vs_vaegan import designs
from triptych.verdicts import sequential, stats

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path)


# Judging


def draw(mean: float, sd: float = 0.1, n: int = 5) -> list[float]:
    """n values of exactly that mean and standard deviation."""
    x = np.random.default_rng(1).normal(size=n)
    return list(mean + sd * (x - x.mean()) / x.std(ddof=1))


@pytest.mark.parametrize(
    ("expects", "mean", "margin", "verdict"),
    [
        ("lower", -2.0, 1.0, "supported"),
        ("lower", 2.0, 1.0, "contradicted"),
        ("lower", -0.3, 1.0, "contradicted"),  # lower, and by less than matters
        ("lower", -0.3, None, "supported"),
        ("lower", 0.05, None, "undecided"),
        ("higher", 2.0, 1.0, "supported"),
        ("higher", -2.0, None, "contradicted"),
        ("equivalent", 0.3, 1.0, "supported"),
        ("equivalent", 2.0, 1.0, "contradicted"),
        ("equivalent", -2.0, 1.0, "contradicted"),
        ("equivalent", 1.02, 1.0, "undecided"),
        ("not higher", 0.5, 1.0, "supported"),
        ("not higher", -5.0, 1.0, "supported"),
        ("not higher", 2.0, 1.0, "contradicted"),
        ("not lower", -0.5, 1.0, "supported"),
        ("not lower", -2.0, 1.0, "contradicted"),
        ("not lower", -1.02, 1.0, "undecided"),
        (None, 2.0, None, "measured"),
    ],
)
def test_every_verdict_follows_from_the_numbers(folder, expects, mean, margin, verdict):
    for seed, x in enumerate(draw(mean)):
        run(folder, "vaegan", seed, {}, outcome={"parameters": {"enc": 101 + x}})
        run(folder, "vae", seed, {}, outcome={"parameters": {"enc": 101.0}})
    quantity = {"cost": "parameters"}  # which has no margin of its own
    wide = part(quantity=quantity, scale="identity", expects=expects, margin=margin)
    [found] = judging.judge_parts("X", [wide], open_results(folder))
    assert found.verdict == verdict and found.sentence.startswith(verdict.capitalize())


def test_the_tests_are_students_and_schuirmanns():
    x = draw(0.4, sd=1.0, n=7)

    def oracle(bound: float, alternative: str) -> float:
        return scipy_stats.ttest_1samp(x, bound, alternative=alternative).pvalue

    two_sided = oracle(0.0, "two-sided")
    assert judging.tests(x, "higher", 0.2) == pytest.approx((two_sided, oracle(0.2, "less")))
    assert judging.tests(x, "higher", None) == pytest.approx((two_sided, 1.0))
    assert judging.tests(x, "lower", 0.2) == pytest.approx((1.0, oracle(-0.2, "greater")))
    assert judging.tests(x, "not higher", 0.2) == pytest.approx((oracle(0.2, "less"), 2 * oracle(0.2, "greater")))
    assert judging.tests(x, "not lower", 0.2) == pytest.approx((oracle(-0.2, "greater"), 1.0))
    beyond = min(oracle(0.2, "greater"), oracle(-0.2, "less"))
    tost = stats.equivalence_p(x, np.zeros(7), 0.2)
    assert judging.tests(x, "equivalent", 0.2) == pytest.approx((tost, 2 * beyond))
    assert judging.tests([1.0], "lower", 0.2) == (1.0, 1.0)


@pytest.mark.parametrize("n", [3, 5, 6, 8])
def test_what_is_the_same_in_every_seed_shows_a_difference_at_most_and_never_that_it_is_small(n):
    exact = 2 / 2**n  # of all sign flips the two that are as far apart
    assert judging.tests([-1.0] * n, "lower", None) == (exact, 1.0)
    assert judging.tests([-1.0] * n, "lower", 2.0) == (exact, 1.0)  # though -1 is within the margin
    assert judging.tests([0.0] * n, "equivalent", 1.0) == (1.0, 1.0)
    assert judging.tests([0.5] * n, "not higher", 1.0) == (1.0, 1.0)
    assert judging.tests([3.0] * n, "equivalent", 1.0) == (1.0, exact)


def test_looks_that_a_study_planned_make_p_values_larger():
    x, looks = draw(-0.2, n=5), (3, 5)
    once, twice = judging.tests(x, "lower", 0.1), judging.tests(x, "lower", 0.1, looks)
    assert once[0] < twice[0] == sequential.calibrated(once[0], looks) < 2 * once[0]
    counts = ((0, 9), (7, 9))
    assert judging.event_tests(counts, "lower", None, looks)[0] == 2 * judging.event_tests(counts, "lower", None)[0]


@pytest.mark.parametrize(
    ("counts", "expects", "margin", "verdict"),
    [
        (((0, 9), (7, 9)), "lower", None, "supported"),
        (((7, 9), (0, 9)), "lower", None, "contradicted"),
        (((7, 9), (0, 9)), "higher", 0.1, "supported"),
        (((0, 60), (0, 60)), "lower", 0.1, "contradicted"),  # shown not to matter
        (((0, 60), (0, 60)), "equivalent", 0.1, "supported"),
        (((0, 9), (0, 9)), "equivalent", 0.1, "undecided"),  # the rate may be a third on either side
        (((9, 9), (0, 9)), "equivalent", 0.1, "contradicted"),
        (((9, 9), (0, 9)), "not higher", 0.1, "contradicted"),
        (((0, 9), (9, 9)), "not higher", 0.1, "supported"),
        (((1, 9), (3, 9)), "lower", 0.1, "undecided"),
    ],
)
def test_counts_are_judged_by_exact_tests(counts, expects, margin, verdict):
    support, contradiction = judging.event_tests(counts, expects, margin)
    assert verdict == ("contradicted" if contradiction < 0.05 else "supported" if support < 0.05 else "undecided")


@pytest.mark.parametrize(("rates", "expects", "column"), [((0.1, 0.1), "lower", 0), ((0.3, 0.2), "not higher", 0)])
def test_exact_tests_of_counts_keep_their_level(rates, expects, column):
    """By the law of the counts itself: the chance of all tables that would be called wrongly."""
    laws = [scipy_stats.binom.pmf(range(11), 10, rate) for rate in rates]
    tables = [(a, b) for a in range(11) for b in range(11)]
    wrong = [judging.event_tests(((a, 10), (b, 10)), expects, 0.1)[column] < 0.05 for a, b in tables]
    assert sum(laws[0][a] * laws[1][b] for (a, b), is_wrong in zip(tables, wrong, strict=True) if is_wrong) <= 0.05


@pytest.mark.parametrize(
    ("expects", "truth", "column"),
    [("lower", 0.0, 0), ("lower", -0.5, 1), ("equivalent", 0.5, 0), ("equivalent", 0.5, 1), ("not higher", 0.5, 0)],
)
def test_at_the_edge_of_what_is_claimed_false_verdicts_keep_their_level(expects, truth, column):
    rng = np.random.default_rng(3)
    found = [judging.tests(list(rng.normal(truth, 1.0, 5)), expects, 0.5) for _ in range(1500)]
    wrong = np.mean([p[column] < 0.05 for p in found])
    assert wrong < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)


def test_holm_is_over_the_parts_of_one_protocol_that_expect_something(folder):
    rng = np.random.default_rng(5)
    for seed in range(4):
        for framework in ("vae", "gan", "vaegan"):
            scores = {"frechet_distance": float(rng.normal(50)), "validation_frechet": float(rng.normal(50))}
            run(folder, framework, seed, scores)
    specs = [part(expects="lower"), part(expects="lower", quantity={"metric": "validation_frechet"})]
    margin = math.log2(1.1)  # the smallest effect by the Fréchet distance is a factor of 1.1
    specs += [part(expects="lower", a={"framework": "gan"}), part()]
    other = part(expects="lower", protocol="as published", a={"framework": "gan", "study": "matched"})
    other = other.model_copy(update={"b": other.b.model_copy(update={"study": "matched"}) if other.b else None})
    results = open_results(folder)
    found = judging.judge_parts("X", [*specs, other], results)
    raw = [judging.tests(list(contrast(s, results).values.values()), "lower", margin) for s in [*specs[:3], other]]
    expected = [multipletests([p[k] for p in raw[:3] if p], method="holm")[1] for k in (0, 1)]
    for place in range(3):
        assert found[place].p == pytest.approx(expected[found[place].verdict == "contradicted"][place])
        assert (found[place].p_support, found[place].p_contradiction) == pytest.approx([p[place] for p in expected])
    assert found[3].p is None
    assert raw[3] and found[4].p == pytest.approx(raw[3][found[4].verdict == "contradicted"])


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["supported", "supported", "measured"], "holds"),
        (["supported", "contradicted"], "holds in part"),
        (["supported", "contradicted", "undecided"], "holds in part"),
        (["supported", "undecided"], "holds where decided"),
        (["supported", "undefined"], "holds where decided"),
        (["contradicted", "undecided"], "does not hold"),
        (["undecided", "undefined"], "undecided"),
        (["measured", "measured"], "measured"),
        ([], None),
    ],
)
def test_a_claims_verdict_follows_from_its_parts(verdicts, expected):
    assert engine.verdict_of([judged(verdict) for verdict in verdicts]) == expected


def test_matched_parts_decide_and_published_ones_stand_beside(folder):
    fill(folder, "vaegan", draw(50.0))
    fill(folder, "vae", draw(80.0)[::-1])
    fill(folder, "gan", draw(20.0))
    shown = {"framework": "gan", "study": "matched"}
    against = {"framework": "vaegan", "study": "matched"}
    spec = claim(part(expects="lower"), part(protocol="as published", a=against, b=shown, expects="lower"))
    [found] = engine.judge_claims([spec], open_results(folder))
    assert (found.verdict, found.others, found.meaning) == ("holds", {"as published": "does not hold"}, "It holds.")
    assert found.summary == (
        "Under matched conditions, the one comparison supports it; as published, the one comparison contradicts it."
    )
    assert "Supported: 50 against 80 squared feature SD, a factor of 0.625 (95 % interval" in found.parts[0].sentence
    rows = json.loads(store.to_json(engine.records([found])))
    assert [row["id"] for row in rows] == ["X1.1", "X1.2"]
    wanted = {"id", "statement", "protocol", "metric", "estimate", "low", "high", "n", "verdict"}
    assert wanted <= rows[0].keys() and rows[0]["estimate"] == pytest.approx(math.log2(50 / 80), rel=1e-4)
    assert (rows[1]["claim_verdict"], rows[1]["claim_others"]) == ("holds", {"as published": "does not hold"})


def test_a_part_without_runs_is_undefined_and_says_which(folder):
    fill(folder, "vaegan", [1.0, 2.0])
    [found] = judging.judge_parts("X", [part(expects="lower")], open_results(folder))
    assert (found.verdict, found.estimate, found.n) == ("undefined", None, 0)
    assert found.sentence == "Undefined: there is no such run of vae in matched."


def test_what_is_only_measured_says_how_much_of_it_there_is(folder):
    fill(folder, "vaegan", [2.0, 8.0])
    spec = claim(part(b=None), part(), meaning={"measured": "M."})
    [found] = engine.judge_claims([spec], open_results(folder))
    assert (found.verdict, found.others, found.parts[0].estimate) == ("measured", {}, 2.0)  # log2 of the geometric mean
    assert found.summary == "Under matched conditions, 1 of 2 comparisons was measured."


def test_one_seed_decides_nothing(folder):
    fill(folder, "vaegan", [1.0])
    fill(folder, "vae", [99.0])
    [found] = judging.judge_parts("X", [part(expects="lower")], open_results(folder))
    assert (found.verdict, found.p, found.low) == ("undecided", None, None)
    assert "1 seed, and no interval" in found.sentence


# Before anything runs


def test_the_papers_nine_claims_can_be_answered_at_every_scale():
    loaded = engine.load(designs.CLAIMS)
    assert [c.id for c in loaded] == [f"C{i}" for i in range(1, 10)]
    for scale in designs.SCALES.values():
        engine.check(loaded, designs.studies(scale))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quantity": {"metric": "frechet_distanse"}}, "X1.1, side a, study matched: unknown metric.*Did you mean"),
        ({"quantity": {"metric": "kid"}}, "the study does not score this.*'kid'.*scoring.metrics"),
        ({"a": {"framework": "vae_disl"}}, "does not run this framework.*'vae_disl'.*Known: vae, gan, vaegan"),
        (
            {"at": {"optimiser.rate": 0.0004}},
            r"no run of vaegan has this optimiser.rate.*0.0004.*There: 0.00015, 0.000",
        ),
        ({"at": {"optimiser.rat": 0.0003}}, "no run of vaegan has this optimiser.rat .*Did you mean 'optimiser.rate'"),
        ({"a": {"framework": "vae", "study": "mached"}}, "no such study.*'mached'.*Did you mean 'matched'"),
        ({"seeds": 6}, r"claims.toml, X1.1: needs 6 seeds in matched \(got 5\). Give --seeds 6 or more"),
        ({"quantity": {"log": "terms.llike"}}, "side b: vae logs no such number.*Known: losses.vae, terms.prior"),
        ({"quantity": {"curve": "frechet_distance", "reach": 1.0}}, "no curve over training of this"),
        (
            {"a": {"framework": "gan", "tuned": True}, "at": {"optimiser": {"rate": 0.0003, "name": "Adam"}}},
            "study rates: no run of gan has this",
        ),
        (
            {"b": None, "per_doubling": "training.translate", "at": {}},
            "slope over training.translate needs two or more values",
        ),
        ({"a": {"framework": "vae"}}, "X1.1: compares the same runs with themselves. Let a and b differ"),
        ({"c": {"framework": "gan"}, "d": {"framework": "gan"}}, "the same runs with themselves. Let c and d differ"),
        ({"c": {"framework": "vaegan"}, "d": {"framework": "vae"}}, "takes a difference from itself"),
        (
            {"a": {"framework": "vaegan", "quantity": {"metric": "psnr"}}},
            "different units .got 'a in dB, b in squared feature SD'",
        ),
        (
            {"b": {"framework": "vae", "quantity": {"cost": "seconds"}}, "quantity": {"cost": "parameters"}},
            "different units .got 'a in parameters, b in s'",
        ),
        (
            {
                "quantity": {"curve": "frechet_convergence", "reach": 9.0},
                "b": {
                    "framework": "vae",
                    "quantity": {"curve": "frechet_convergence", "reach": 9.0, "unit": "seconds"},
                },
            },
            "different units .got 'a in images, b in seconds'",
        ),
        (
            {"a": {"framework": "gan", "tuned": True}, "at": {}},
            "side a: a tuned side needs one run per setting and seed, and has 2 .* Fix training.translate in `at`",
        ),
        (
            {"a": {"framework": ["vae", "gan"], "tuned": True}, "at": CENTRED},
            "one run per setting and seed, and has 2 .* Give the side one framework",
        ),
    ],
)
def test_what_the_studies_cannot_answer_is_said_before_anything_runs(given, said):
    with pytest.raises(InputError, match=said):
        engine.check([claim(part(**given, expects=None), meaning={"measured": "M."})], FOUND)


def test_a_tuned_side_needs_settings_to_choose_from():
    sides = {"a": {"framework": "gan", "tuned": True}, "b": {"framework": "vae", "tuned": True}}
    fixed = part(**{x: {**side, "study": "matched"} for x, side in sides.items()}, expects="lower")
    with pytest.raises(
        InputError, match=r"two or more settings to choose from.*Leave optimiser.name and optimiser.rate"
    ):
        engine.check([claim(fixed)], FOUND)
    engine.check([claim(part(**sides, at=CENTRED, expects="lower"))], FOUND)
    twice = {**FOUND, "rates": STUDY.model_copy(update={"grid": {**STUDY.grid, "optimiser.rate": [0.0012, 0.0006]}})}
    with pytest.raises(InputError, match=r"has 2 .* Give the side studies that share no setting"):
        engine.check([claim(part(**sides, at=CENTRED, expects="lower"))], twice)


def test_equivalence_needs_a_margin():
    with pytest.raises(InputError, match="'equivalent' needs a margin on this scale"):
        part(scale="identity", expects="equivalent")
    with pytest.raises(InputError, match="'equivalent' needs a margin on this scale"):
        part(b=None, per_doubling="optimiser.rate", expects="equivalent")
    bare = STUDY.model_copy(update={"scoring": STUDY.scoring.model_copy(update={"smallest_effect": {"psnr": 0.0}})})
    same = claim(part(quantity={"metric": "psnr"}, expects="equivalent"))
    with pytest.raises(
        InputError, match=r"X1.1: 'equivalent' needs a margin, and psnr has none of its own on this scale"
    ):
        engine.check([same], {"matched": bare})
    engine.check([same], {"matched": STUDY})


def test_a_margin_of_a_distance_says_in_what_it_is():
    """0.5 could be half a unit or half a doubling."""
    with pytest.raises(InputError, match=r"X1.1: a margin needs a scale here .got 0.5.. Give scale = .log2."):
        engine.check([claim(part(expects="lower", margin=0.5))], FOUND)
    engine.check([claim(part(expects="lower", margin=0.5, scale="identity"))], FOUND)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"scale": "log2"}, "collapsed is 0 or 1 for each run, which is counted on one side or on two"),
        ({"b": None, "per_doubling": "optimiser.rate", "at": CENTRED, "expects": None}, "collapsed is 0 or 1 for each"),
        ({"quantity": {"metric": "frechet_distance"}, "scale": "event"}, "nothing to count"),
        ({"margin": 5.0}, "a margin of shares must be below 1"),
    ],
)
def test_events_are_counted_and_nothing_else_is(given, said):
    scoring = STUDY.scoring.model_copy(update={"metrics": (*(STUDY.scoring.metrics or ()), "stability")})
    study = STUDY.model_copy(update={"scoring": scoring})
    spec = part(**{"quantity": {"metric": "collapsed"}, "expects": "lower", **given})
    wanted = {} if spec.expects else {"meaning": {"measured": "M."}}
    with pytest.raises(InputError, match=said):
        engine.check([claim(spec, **wanted)], {**FOUND, "matched": study})


WHOLE = """[protocols]
matched = { study = "matched" }
"as published" = { study = "as_published", decides = false }

[[claims]]
id = "X1"
statement = "S."
where = "1"
source = "P."
meaning = { measured = "M." }
[[claims.parts]]
protocol = "matched"
statement = "S."
quantity = { metric = "kid" }
a = { framework = "vae" }
b = { framework = "gan" }
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("meaning = { m", 'meaning = { holds = "H.", m'),
            "X1: meaning needs a sentence for each of measured",
        ),
        (('protocol = "matched"', 'protocol = "as published"'), "at least one part must have protocol = 'matched'"),
        (('protocol = "matched"', 'protocol = "mached"'), "no protocol 'mached'. Did you mean 'matched'"),
        (("quantity =", "quantiti ="), "unknown key 'parts.0.quantiti'. Did you mean 'quantity'"),
        (("b =", "c ="), "an interaction needs all of a, b, c and d"),
        (('quantity = { metric = "kid" }', ""), "a quantity is needed"),
        (("[[claims]]", "[[claim]]"), "unknown key .got 'claim'.. Did you mean 'claims'"),
        (("id =", "id"), "not a TOML file"),
        (('"X1"', '"X 1"'), "id: an id is capital letters and a number"),
        (('"X1"', '"x1"'), "id: an id is capital letters and a number"),
        (('"X1"', '"X1.1"'), "id: an id is capital letters and a number"),
        (('b = { framework = "gan" }', 'expects = "lower"'), "needs something to compare with"),
    ],
)
def test_a_claims_file_is_checked_when_it_is_read(tmp_path, change, said):
    file = tmp_path / "claims.toml"
    file.write_text(WHOLE)
    assert [c.id for c in engine.load(file)] == ["X1"]
    changed = WHOLE.replace(*change)
    assert changed != WHOLE
    file.write_text(changed.replace("[[claims.parts]]", "[[claim.parts]]") if "[[claim]]" in changed else changed)
    with pytest.raises(InputError, match=said):
        engine.load(file)


def test_two_claims_cannot_share_an_id(tmp_path):
    file = tmp_path / "claims.toml"
    file.write_text(WHOLE + WHOLE[WHOLE.index("[[claims]]") :])
    with pytest.raises(InputError, match=r"two claims have one id.*'X1'"):
        engine.load(file)
