"""The ablation's variants: each is its base but for one quirk, and the bases are the published runs."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.papers.vae_vs_gan_vs_vaegan import quirks
from triptych.papers.vae_vs_gan_vs_vaegan.designs import NAMES, SCALES, studies
from triptych.spec import RunSpec, StudySpec
from triptych.study.plan import runs_of, validate

pytestmark = pytest.mark.slow

SPECS: dict[str, RunSpec] = {
    run.framework: run
    for name in ("as_published", "ablation")
    for run in runs_of(studies(SCALES["tiny"])[name])
    if run.seed == 0
}

MATCHED = {run.framework: run for run in runs_of(studies(SCALES["tiny"])["matched"])}


def flat(table: dict[str, Any], before: str = "") -> dict[str, Any]:
    return {
        key: value
        for name, part in table.items()
        for key, value in (
            flat(part, f"{before}{name}.") if isinstance(part, dict) else {f"{before}{name}": part}
        ).items()
    }


def fields(framework: str) -> dict[str, Any]:
    """All numbers of a run but its name, an effective Dis rate among them."""
    spec = SPECS[f"{quirks.GAME}@{framework}"]
    found = flat(spec.model_dump(mode="json"))
    found["optimiser.rates.dis"] = spec.optimiser.rates.get("dis", spec.optimiser.rate)
    if not spec.training.translate:  # nothing is filled
        found["training.translate_fill"] = None
    found.setdefault("training.translate_fill", None)
    return {key: value for key, value in found.items() if key != "framework"}


def differing(one: str, other: str) -> set[str]:
    ours, theirs = fields(one), fields(other)
    return {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}


def touched(quirk: quirks.Quirk) -> set[str]:
    """What fixing a quirk may change in a run."""
    names = {"optimiser.rates.dis" if key == "dis_share" else key for key in quirk.fixed}
    besides = {"optimiser.rate": "optimiser.rates.dis", "training.updates": "training.order"}
    return names | {other for name, other in besides.items() if name in names}


PAIRS = [(base, quirk) for base in quirks.BASES for quirk in quirks.quirks_of(base)]
of_each_quirk = pytest.mark.parametrize(("base", "quirk"), PAIRS, ids=[f"{b}-{q.name}" for b, q in PAIRS])


@pytest.mark.parametrize("base", quirks.BASES)
def test_the_bases_are_the_published_runs(base: str):
    study = StudySpec.model_validate(
        {
            **studies(SCALES["tiny"])["as_published"].model_dump(),
            "frameworks": [f"{quirks.GAME}@again"],
            "seeds": [0],
            "override": {f"{quirks.GAME}@again": quirks.override(base, [])},
        }
    )
    (again,) = runs_of(study)
    SPECS[again.framework] = again
    assert differing("again", base) == set()


@of_each_quirk
def test_fixing_one_quirk_changes_nothing_else(base: str, quirk: quirks.Quirk):
    if base in quirk.without_effect:
        assert f"{quirks.GAME}@{base}-fix-{quirk.name}" not in SPECS
        return
    changed = differing(f"{base}-fix-{quirk.name}", base)
    # Who is shown translated images at last needs a filling.
    assert changed and changed <= touched(quirk) | ({"training.translate_fill"} if quirk.name == "loader" else set())


@of_each_quirk
def test_keeping_one_quirk_leaves_nothing_else_of_the_published_run(base: str, quirk: quirks.Quirk):
    if quirk.shared:  # it is there when all others are fixed
        assert f"{quirks.GAME}@{base}-keep-{quirk.name}" not in SPECS
        return
    changed = differing(f"{base}-keep-{quirk.name}", f"{base}-fixed")
    assert changed and changed <= touched(quirk) | ({"training.translate_fill"} if quirk.name == "loader" else set())


@pytest.mark.parametrize("base", quirks.BASES)
def test_fixing_all_leaves_no_quirk(base: str):
    fixed = fields(f"{base}-fixed")
    for quirk in quirks.quirks_of(base):
        for field, value in quirk.fixed.items():
            if quirk.shared:
                assert fixed[field] == fields(base)[field] == MATCHED[base].options[field.removeprefix("options.")]
            elif field == "dis_share":
                assert fixed["optimiser.rates.dis"] == fixed["optimiser.rate"]
            else:
                assert fixed[field] == value, field


@pytest.mark.parametrize("scale", SCALES)
def test_every_study_can_be_run_at_every_scale(scale: str):
    designs = studies(SCALES[scale])
    assert tuple(designs) == NAMES
    for study in designs.values():
        if scale == "paper":  # a step of each kind of run, which at the other scales is the same but for its size
            validate(runs_of(study))
        assert study.data.size == SCALES[scale].size and study.network.width == SCALES[scale].width
        assert {run.training.images for run in runs_of(study)} == {SCALES[scale].images}


def test_the_scale_changes_size_width_budget_and_seeds_alone():
    scaled = {"data.size", "network.width", "training.images", "scoring.images", "seeds"}
    for small, paper in zip(studies(SCALES["small"]).values(), studies(SCALES["paper"]).values(), strict=True):
        one, other = flat(small.model_dump(mode="json")), flat(paper.model_dump(mode="json"))
        assert {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} <= scaled


def test_matched_and_rates_make_five_rates_a_factor_of_two_apart():
    designs = studies(SCALES["paper"])
    rates = sorted({run.optimiser.rate for name in ("matched", "rates") for run in runs_of(designs[name])})
    assert rates == pytest.approx([0.000075 * 2**k for k in range(5)])
    assert rates[2] == 0.0003  # the paper's


def test_table_1_has_half_the_rate_and_twice_of_every_player():
    for name, factor in (("vaegan-half", 0.5), ("vaegan-double", 2.0)):
        assert differing(name, "vaegan") == {"optimiser.rate", "optimiser.rates.dis"}
        for field in ("optimiser.rate", "optimiser.rates.dis"):
            assert fields(name)[field] == pytest.approx(factor * fields("vaegan")[field])
