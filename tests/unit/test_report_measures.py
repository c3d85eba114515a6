"""The report answers what the measures ask: cards, bars, flips, curves, stability and translation."""

from __future__ import annotations

import csv
import json
import re
import shutil
import statistics
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fake_study import LEVELS, SHIFTS, make, put
from report_page import Page
from triptych import report, topics
from triptych.report import (
    certainty,
    drawing,
    figures,
    headlines,
    limitations,
    lines,
    rankings,
    stability,
    tables,
    translation,
)
from triptych.report.collect import collect
from triptych.text import number

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study and its report; tests that change it take a copy."""
    folder = make(tmp_path_factory.mktemp("measures") / "study")
    report.write(folder)
    return folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "copy"))


def read_scores(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]


def write_scores(folder: Path, rows: list[dict]) -> None:
    (folder / "scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def answered(folder: Path) -> dict[str, headlines.Headline]:
    study = collect(folder)
    return {answer.question: answer for answer in headlines.headlines(study, "", tables.scores(study, ""))}


def test_the_usual_questions_are_asked_in_peoples_words_and_the_cost_told(study: Path) -> None:
    assert list(answered(study)) == [
        "Who samples best?",
        "Who covers the data?",
        "Who reconstructs best?",
        "Who copes best with translated images?",
        "Who has the highest likelihood?",
    ]
    told = Page(study / "report.html").sections["answer"]
    assert told.index("Who has the highest likelihood?") < told.index("At what cost?") < told.index("Times are noisy")
    assert "3 min 58 s" in told  # the VAE's 20 000 images at 0.012 s
    assert "Not measured in this study" not in told


def test_who_cannot_be_compared_is_told_with_the_reason(copy: Path) -> None:
    assert "GAN cannot be compared (no encoder)." in answered(copy)["Who reconstructs best?"].lines[0][1]
    pairs = (("vae", "gan"), ("vae", "vaegan"), ("gan", "vaegan"))
    put(
        copy / "verdicts.json",
        [{"metric": "reconstruction_mse", "a": a, "b": b, "verdict": "undefined"} for a, b in pairs],
    )
    rows = read_scores(copy)
    kept = [s for s in rows if (s["metric"], s["framework"]) != ("reconstruction_mse", "vaegan")]
    write_scores(copy, kept)
    answer = answered(copy)["Who reconstructs best?"]
    assert (answer.headline, answer.leaders) == ("Nothing to compare with", [])
    assert answer.lines[0][1].startswith("VAE scores 0.012")
    assert answer.lines[0][1].endswith("; GAN has no value (no encoder); VAE-GAN has no value.")


def test_a_single_framework_has_nothing_to_compare_with(tmp_path: Path) -> None:
    page = Page(report.write(make(tmp_path / "s", frameworks=("vae",), seeds=1)))
    assert "VAE is the only framework here: there is nothing to compare it with." in page.sections["answer"]
    assert page.sections["answer"].count("Nothing to compare with") == 5
    assert not re.search("no verdict yet|no verdicts yet", "".join(page.sections.values()), re.I)


def test_a_study_from_before_these_measures_still_renders(copy: Path) -> None:
    rows = read_scores(copy)
    old = ("run", "framework", "seed", "condition", "metric", "value", "undefined", "unit", "better", "n")
    early = {"frechet_distance", "kid", "coverage", "reconstruction_mse"}
    kept = [{k: s[k] for k in old} for s in rows if s["metric"] in early]
    write_scores(copy, kept)
    known = [m for m in json.loads((copy / "metrics.json").read_text()) if m["metric"] in early]
    put(copy / "metrics.json", [{k: v for k, v in m.items() if k != "axis"} for m in known])
    page = Page(report.write(copy))
    assert {"rankings", "responses", "translation"} & set(page.sections) == set()
    assert "real baseline" not in page.sections["scores"]
    assert (
        "Not measured in this study: who copes best with translated images and who has the highest likelihood."
        in page.sections["answer"]
    )
    assert not (copy / "figures" / "responses.pdf").exists()


def test_what_makes_a_score_readable_stands_beside_it(study: Path) -> None:
    told = re.sub(r"[ \n]+", " ", Page(study / "report.html").sections["scores"])
    assert "n = 10\N{NARROW NO-BREAK SPACE}000 images, in mnist-classifier@74a5988e" in told
    assert "real 0.8 log noise 412" in told
    assert "±\N{NO-BREAK SPACE}0.00013 over images" in told
    assert "n <= features: exact form, heavily biased" in told
    found = tables.scores(collect(study), "")
    rows = read_scores(study)
    errors = [s["error"] for s in rows if (s["metric"], s["framework"]) == ("log_likelihood", "vae")]
    assert found["log_likelihood", "vae"].error == pytest.approx(statistics.mean(errors))
    with (study / "table.csv").open(newline="") as file:
        row = next(r for r in csv.DictReader(file) if (r["metric"], r["framework"]) == ("frechet_distance", "vae"))
    assert [row[k] for k in ("n", "images", "real_baseline", "noise_baseline", "error", "features")] == [
        "3",
        "10000",
        "0.8",
        "412.0",
        "",
        "mnist-classifier@74a5988e",
    ]


def test_inverted_reconstructions_stand_among_reconstructions(study: Path) -> None:
    whole = collect(study)
    group = next(g for g in lines.groups(whole, tables.scores(whole, "")) if g.topic.name == "reconstruction")
    assert [line.metric["metric"] for line in group.primary] == ["reconstruction_mse"]
    assert [line.metric["metric"] for line in group.secondary] == ["psnr", "inverted_mse"]
    assert group.secondary[1].cells["gan"].mean is not None


def test_notes_are_numbered_within_their_question(copy: Path) -> None:
    rows = read_scores(copy)
    told = {("kid", "vae"): "a", ("kid", "gan"): "b", ("kid@pixels", "gan"): "a"}
    for row in rows:
        row["note"] = told.get((row["metric"], row["framework"]), "")
    write_scores(copy, rows)
    whole = collect(copy)
    group = lines.groups(whole, tables.scores(whole, ""))[0]
    assert group.notes == ["a", "b"]
    marks = {line.metric["metric"]: line.marks for line in group.secondary}
    assert (marks["kid"], marks["kid@pixels"]["gan"]) == ({"vae": [1], "gan": [2], "vaegan": []}, [1])


@pytest.mark.parametrize(
    ("real_baseline", "noise_baseline", "mean", "place", "log"),
    [
        (0.0, 10.0, 5.0, 100, False),
        (1.0, 100.0, 10.0, 100, True),
        (0.9, 0.1, 0.7, 53.5, False),  # higher is better: real images are still on the left
        (0.0, 10.0, 10.0, 193, False),
        (0.0, 10.0, -10.0, 7, False),  # better than real images: the bar begins there
    ],
)
def test_bar_runs_from_real_images_to_noise(
    real_baseline: float, noise_baseline: float, mean: float, place: float, log: bool
) -> None:
    drawn, logarithmic = lines.bar({"gan": mean}, real_baseline, noise_baseline, ["vae", "gan"])
    mark = ET.fromstring(drawn).find("g")
    assert mark is not None
    assert mark.get("class") == "f1"
    assert float(re.findall(r"[\d.]+", mark.get("transform") or "")[0]) == pytest.approx(place, abs=0.1)
    assert logarithmic == log


@pytest.mark.parametrize("ends", [(None, 1.0), (1.0, None), (1.0, 1.0)])
def test_no_bar_without_two_ends(ends: tuple[float | None, float | None]) -> None:
    assert lines.bar({"gan": 1.0}, *ends, ["gan"]) == ("", False)


def ranked(folder: Path) -> list[rankings.Ranking]:
    study = collect(folder)
    return rankings.rankings(study, "", tables.scores(study, ""))


def test_a_flip_that_verdicts_decide_both_ways_is_a_disagreement(study: Path) -> None:
    frechet, kid = ranked(study)
    assert [(o.space, o.ranked) for o in frechet.orders] == [
        ("mnist-classifier", ["vaegan", "gan", "vae"]),
        ("pixels", ["vae", "vaegan", "gan"]),
    ]
    assert [(f.real, f.sentence) for f in frechet.flips] == [
        (
            True,
            "By Fréchet distance, VAE is ahead of GAN in pixels (decided); "
            "GAN is ahead of VAE in mnist-classifier (decided).",
        ),
        (
            True,
            "By Fréchet distance, VAE is ahead of VAE-GAN in pixels (decided); "
            "VAE-GAN is ahead of VAE in mnist-classifier (decided).",
        ),
    ]
    assert kid.label == "KID"
    assert "3 of these are decided both ways" in rankings.summary([frechet, kid])


def test_a_flip_without_verdicts_may_be_noise(copy: Path) -> None:
    verdicts = json.loads((copy / "verdicts.json").read_text())
    put(copy / "verdicts.json", [v for v in verdicts if "@" not in v["metric"]])
    found = ranked(copy)
    assert [flip.real for flip in found[0].flips] == [False, False]
    assert "all of them may be noise" in rankings.summary(found)


def test_nothing_flips_in_one_sentence(copy: Path) -> None:
    rows = read_scores(copy)
    levels = LEVELS["frechet_distance"] | {"": 0.0}
    for row in rows:
        if "@" in row["metric"]:
            row["value"] = levels[row["framework"]]
    write_scores(copy, rows)
    assert rankings.summary(ranked(copy)) == (
        "No ranking changes: by 2 measures in 2 feature spaces (mnist-classifier and pixels), no two frameworks change "
        "places."
    )


def test_curves_of_scores_are_means_over_seeds_under_their_axis(study: Path) -> None:
    found = figures.responses(collect(study), "")
    assert {topic.name: [p.title for p in panels] for topic, panels in found.items()} == {
        "translation": ["Translation error"],
        "robustness": ["Error under blur"],
    }
    rows = read_scores(study)
    curves = [s["curve"] for s in rows if (s["metric"], s["framework"]) == ("translation_error", "vae")]
    assert curves[0][-1][0] == SHIFTS[-1]
    end = statistics.mean(curve[-1][1] for curve in curves)
    panel = found[topics.TRANSLATION][0]
    assert f"to {number(end)} at 0.2" in panel.alt
    assert "shift, share of the side" in drawing.svg(panel)


def test_a_single_logged_point_is_seen(copy: Path) -> None:
    for log in (copy / "runs").glob("*/log.jsonl"):
        log.write_text(log.read_text().splitlines()[-1] + "\n")
    panel = figures.curves(collect(copy), "")[0]
    drawn = re.findall(r'style="fill:var\(--f[02]\)', drawing.svg(panel))
    assert len(drawn) == 4  # of VAE and VAE-GAN each the band, which has no width, and the mark


def test_stability_counts_failures_and_spreads(tmp_path: Path) -> None:
    study = collect(make(tmp_path / "s", diverged=("gan", 1)))
    cells = tables.scores(study, "")
    found = {row.framework: row for row in stability.stability(study, "", cells)}
    assert [(f.runs, f.diverged, f.counts) for f in found.values()] == [
        (3, 0, ["0 of 3"]),
        (3, 1, ["0 of 3"]),
        (3, 0, ["0 of 3"]),
    ]
    names = [m["metric"] for m in stability.measures(study)]
    values = [x for _, x in cells["frechet_distance", "gan"].values]
    assert found["gan"].spreads[names.index("frechet_distance")] == pytest.approx(statistics.stdev(values))
    assert found["gan"].spreads[names.index("reconstruction_mse")] is None


def test_training_on_translated_images_is_a_table_of_two_by_two(tmp_path: Path) -> None:
    conditions = ({"training.translate": 0.0}, {"training.translate": 0.2})
    study = collect(make(tmp_path / "s", conditions=conditions, seeds=2))
    cells = {c: tables.scores(study, c) for c in study.conditions}
    (table,) = translation.translation(study, cells)
    assert table.measures == ["Reconstruction error", "Fréchet distance"]
    assert [line[:2] for line in table.lines[:2]] == [("vae", "centred"), ("vae", "translated by up to 20 %")]
    assert table.lines[5][2] == [
        cells["training.translate=0.2"][m, "vaegan"]
        for m in ("reconstruction_mse", "translated_mse", "frechet_distance", "translated_frechet")
    ]


def test_no_table_of_translation_without_its_grid(study: Path) -> None:
    whole = collect(study)
    assert translation.translation(whole, {"": tables.scores(whole, "")}) == []


def test_an_adjustment_within_questions_is_told_of(copy: Path) -> None:
    told = " ".join(limitations.limits(collect(copy)))
    assert "p-values are adjusted within each of these" in told
    verdicts = json.loads((copy / "verdicts.json").read_text())
    put(copy / "verdicts.json", [v | {"alpha": 0.05} for v in verdicts])
    assert "judged at its own level of 5 %:" in certainty.basis(collect(copy))


def test_what_is_nearer_to_noise_than_to_real_images_is_never_just_equal(copy: Path) -> None:
    assert all("noise" not in line for answer in answered(copy).values() for _, line in answer.lines)
    rows = read_scores(copy)
    for row in rows:
        if row["metric"] == "frechet_distance":  # real images score 0.8, noise 412
            row["value"] = 390.0 + row["seed"] if row["framework"] != "vaegan" else 14.0
    write_scores(copy, rows)
    assert "VAE and GAN score nearer to noise than to real images." in answered(copy)["Who samples best?"].lines[0][1]
    write_scores(copy, [row | {"value": 390.0} if row["metric"] == "frechet_distance" else row for row in rows])
    pairs = (("vae", "gan"), ("vae", "vaegan"), ("gan", "vaegan"))
    equal = [{"metric": "frechet_distance", "a": a, "b": b, "verdict": "equivalent"} for a, b in pairs]
    put(copy / "verdicts.json", equal)
    answer = answered(copy)["Who samples best?"]
    assert answer.headline == "No relevant difference, all nearer to noise than to real images"


def test_noise_does_not_change_what_the_measures_say_together(copy: Path) -> None:
    """Two primary measures of one question, both equal, of which one is near noise: still no relevant difference."""
    path = copy / "metrics.json"
    listed = json.loads(path.read_text())
    for metric in listed if isinstance(listed, list) else listed["metrics"]:
        if metric["metric"] == "frechet_distance@pixels":
            metric["role"] = "primary"
    put(path, listed)
    rows = read_scores(copy)
    write_scores(copy, [row | {"value": 390.0} if row["metric"] == "frechet_distance" else row for row in rows])
    pairs = (("vae", "gan"), ("vae", "vaegan"), ("gan", "vaegan"))
    equal = [
        {"metric": metric, "a": a, "b": b, "verdict": "equivalent"}
        for metric in ("frechet_distance", "frechet_distance@pixels")
        for a, b in pairs
    ]
    put(copy / "verdicts.json", equal)
    assert answered(copy)["Who samples best?"].headline == "No relevant difference"
