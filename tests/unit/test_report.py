"""The report says what the files say, whole and safe, from whatever of the files is there."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from fake_study import LEVELS, TERMS, make, put
from report_page import Page
from triptych import report
from triptych.directory import RunDirectory
from triptych.errors import InputError
from triptych.report import drawing, facts, figures, headlines, limitations, matched, pictures, plotting, tables
from triptych.report.collect import collect
from triptych.text import duration, number

pytestmark = pytest.mark.slow

EVIL = "pkg:<script>alert(1)</script>"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study and its report; tests that change it take a copy."""
    folder = make(tmp_path_factory.mktemp("whole") / "study")
    report.write(folder, with_figures=True)
    return folder


@pytest.fixture
def copy(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study, tmp_path / "copy"))


def change(path: Path, **fields: object) -> None:
    put(path, {**json.loads(path.read_text()), **fields})


def run_of(folder: Path, framework: str, seed: int) -> Path:
    for spec in (folder / "runs").glob("*/spec.json"):
        content = json.loads(spec.read_text())
        if (content["framework"], content["seed"]) == (framework, seed):
            return spec.parent
    raise LookupError(framework)


def test_sections_stand_in_order_answer_first(study: Path) -> None:
    page = Page(study / "report.html")
    assert list(page.sections)[1:] == [
        "answer",
        "pictures",
        "curves",
        "scores",
        "rankings",
        "responses",
        "stability",
        "verdicts",
        "cost",
        "matched",
        "reproduce",
        "limits",
    ]
    assert len(page.all("h1")) == len(page.all("main")) == 1


def test_page_refers_to_nothing_outside_itself(study: Path) -> None:
    page = Page(study / "report.html")
    targets = [a[k] or "" for _, a in page.tags for k in ("src", "href", "xlink:href", "data", "poster") if k in a]
    assert targets
    assert all(t.startswith(("data:", "#")) for t in targets)
    style = (study / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    policies = [a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].startswith("default-src 'none'")


def test_every_picture_has_words_and_every_fragment_exists_once(study: Path) -> None:
    page = Page(study / "report.html")
    assert all(a["alt"] for a in page.all("img"))
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in page.all("svg"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {a["href"] for a in page.all("a")} <= {f"#{i}" for i in ids}


def test_same_files_give_same_bytes_in_another_folder(study: Path, copy: Path) -> None:
    shutil.rmtree(copy / "figures")
    report.write(copy, with_figures=True)
    made = [p.relative_to(study) for p in study.rglob("*") if p.suffix in (".html", ".pdf", ".csv", ".tex")]
    assert len(made) == 8
    for path in made:
        assert (study / path).read_bytes() == (copy / path).read_bytes(), path


def test_intervals_are_students(study: Path) -> None:
    with (study / "table.csv").open(newline="") as file:
        rows = {(r["metric"], r["framework"]): r for r in csv.DictReader(file)}
    lines = [json.loads(line) for line in (study / "scores.jsonl").read_text().splitlines()]
    values = [s["value"] for s in lines if (s["metric"], s["framework"]) == ("frechet_distance", "gan")]
    logs = [math.log(x) for x in values]  # a distance is averaged geometrically
    half = 4.302652729911275 * statistics.stdev(logs) / 3**0.5  # t at 0.975 with 2 degrees of freedom
    row = rows["frechet_distance", "gan"]
    mean = statistics.mean(logs)
    expected = [math.exp(x) for x in (mean, mean - half, mean + half)]
    assert [float(row[k]) for k in ("mean", "low", "high")] == pytest.approx(expected)
    assert (rows["reconstruction_mse", "gan"]["mean"], rows["reconstruction_mse", "gan"]["undefined"]) == (
        "",
        "no encoder",
    )


def test_undefined_is_shown_as_its_reason(study: Path) -> None:
    page = Page(study / "report.html")
    assert "undefined: no encoder" in page.sections["scores"]
    assert "No reconstructions: no encoder." in page.sections["pictures"]
    assert "nan" not in page.sections["scores"].lower()


def test_every_verdict_sentence_is_there(study: Path) -> None:
    told = Page(study / "report.html").sections["verdicts"]
    sentences = [v["sentence"] for v in json.loads((study / "verdicts.json").read_text())]
    assert all(sentence in told for sentence in sentences)
    assert told.index("by Fréchet distance") < told.index("by KID")  # primary before secondary
    assert "judged at its own level" in told


def test_names_from_users_stay_text(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", frameworks=("vae", EVIL), seeds=2, source="<script>alert(2)</script>")
    page = Page(report.write(folder))
    assert len(page.all("script")) == 1
    assert "alert" not in (folder / "report.html").read_text().rpartition("<script>")[2]
    assert EVIL.partition(":")[2] in page.sections["scores"]  # the name of its class
    assert "<script>alert(2)</script>" in page.sections[""]


def test_diverged_run_is_said_before_the_answer(tmp_path: Path) -> None:
    page = Page(report.write(make(tmp_path / "s", diverged=("gan", 1))))
    assert "1 of 9 runs diverged: GAN seed 1 after 5\N{NARROW NO-BREAK SPACE}120 images." in page.sections[""]
    assert "a gradient of dis was not finite" in page.sections["reproduce"]
    assert "1 of 9 runs" in page.sections["limits"]


def test_whole_study_has_nothing_to_warn_of(study: Path) -> None:
    page = Page(study / "report.html")
    assert "Before you read on" not in page.sections[""]
    assert "Not matched" not in page.sections["matched"]


@pytest.mark.parametrize("what", ["data_order", "latents", "budget_images"])
def test_a_broken_match_is_named(copy: Path, what: str) -> None:
    outcome = run_of(copy, "gan", 2) / "outcome.json"
    proof = json.loads(outcome.read_text())["certificate"]
    change(outcome, certificate=proof | {what: "0123456789abcdef"})
    rows = {row["name"]: [c["state"] for c in row["cells"]] for row in matched.certificate(collect(copy), "")}
    broken = {name for name, states in rows.items() if "differ" in states}
    assert len(broken) == 1
    assert rows[broken.pop()] == ["same", "same", "differ"]


def test_positions_in_the_grids_correspond_only_where_the_latents_are_the_same(copy: Path) -> None:
    same, other = "The same position in each grid is the same latent.", "positions in the grids do not correspond"
    pictures = Page(copy / "report.html").sections["pictures"]
    assert same in pictures and other not in pictures
    outcome = run_of(copy, "gan", 2) / "outcome.json"
    change(outcome, certificate=json.loads(outcome.read_text())["certificate"] | {"latents": "0123456789abcdef"})
    pictures = Page(report.write(copy)).sections["pictures"]
    assert other in pictures and same not in pictures


def test_a_broken_match_is_loud(copy: Path) -> None:
    outcome = run_of(copy, "gan", 2) / "outcome.json"
    proof = json.loads(outcome.read_text())["certificate"]
    change(outcome, certificate=proof | {"initial_weights": {"dec": "0123456789abcdef"}})
    told = Page(report.write(copy)).sections["matched"]
    assert "Not matched. Frameworks differ in: initial weights of Dec." in told
    assert "✗ differs" in told


def test_a_network_is_matched_among_those_that_have_it(study: Path) -> None:
    rows = {row["name"]: row["cells"] for row in matched.certificate(collect(study), "")}
    assert list(rows["initial weights of Dis"][0]["values"]) == ["gan", "vaegan"]
    assert list(rows["data order"][0]["values"]) == ["vae", "gan", "vaegan"]


def test_a_study_that_has_not_begun_says_so(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('frameworks = ["vae", "gan"]\nseeds = 2\n')
    page = Page(report.write(tmp_path))
    for text in ("4 of 4 runs not started", "There are no scores yet.", "There are no verdicts yet."):
        assert text in page.sections[""]
    assert "nothing is decided" in page.sections["answer"]


def test_a_study_under_way_is_reported_as_far_as_it_came(copy: Path) -> None:
    for name in ("scores.jsonl", "verdicts.json", "metrics.json"):
        (copy / name).unlink()
    run = run_of(copy, "vaegan", 0)
    for name in ("manifest.json", "outcome.json"):
        (run / name).unlink()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"images": 20480, "ter')
    shutil.rmtree(run_of(copy, "vae", 2))
    page = Page(report.write(copy))
    assert "1 of 9 runs not finished yet: VAE-GAN seed 0." in page.sections[""]
    assert "1 of 9 runs not started or lost: VAE seed 2." in page.sections[""]
    assert "is not JSON" not in page.sections[""]  # a torn last line is a run still writing
    assert not (copy / "figures" / "scores.pdf").exists()  # of the earlier report, no longer true


def test_torn_files_are_named_and_left_out(copy: Path) -> None:
    (copy / "verdicts.json").write_text("[{")
    (run_of(copy, "vae", 1) / "samples" / "000020000.png").write_bytes(b"no image")
    page = Page(report.write(copy))
    assert "verdicts.json is not whole JSON" in page.sections[""]
    assert "1 grids are not shown" in page.sections["pictures"]


def test_no_study_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the directory of a study"):
        report.write(tmp_path)


def test_a_new_report_removes_its_own_old_figures_and_no_others(copy: Path) -> None:
    for name in ("curves_7.pdf", "scores_of_mine.pdf", "poster.pdf"):
        (copy / "figures" / name).write_bytes(b"%PDF")
    report.write(copy)
    kept = {path.name for path in (copy / "figures").iterdir()}
    assert "curves_7.pdf" not in kept and {"scores_of_mine.pdf", "poster.pdf", "curves.pdf"} <= kept


def test_a_grid_gets_a_part_for_each_condition_and_stays_small(tmp_path: Path) -> None:
    points = ({"optimiser.name": "RMSprop"}, {"optimiser.name": "Adam"})
    path = report.write(make(tmp_path / "s", conditions=points, seeds=2), with_figures=True)
    conditions = ("optimiser.name=RMSprop", "optimiser.name=Adam")
    page = Page(path)
    assert all(page.sections[s].count(c) >= 1 for s in ("answer", "pictures", "scores", "matched") for c in conditions)
    assert page.sections["scores"].index(conditions[0]) < page.sections["scores"].index(conditions[1])
    assert path.stat().st_size < 3_000_000
    assert (tmp_path / "s" / "figures" / "curves_2.pdf").is_file()


def test_a_point_of_the_grid_is_one_condition_in_whatever_order_its_fields_stand(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", conditions=({"optimiser.name": "Adam"},), seeds=2)
    toml = (folder / "study.toml").read_text("utf-8")
    (folder / "study.toml").write_text(toml + '"training.translate" = [0.1]\n', encoding="utf-8")
    for place, file in enumerate(sorted((folder / "runs").glob("*/spec.json"))):
        point = {"training.translate": 0.1, "optimiser.name": "Adam"}
        spec = json.loads(file.read_text("utf-8"))
        spec["condition"] = point if place % 2 else dict(reversed(point.items()))
        file.write_text(json.dumps(spec), encoding="utf-8")
    study = collect(folder)
    known = "optimiser.name=Adam, training.translate=0.1"
    assert known in study.conditions and len(study.of(known)) == sum(run.status != "missing" for run in study.runs)


def test_a_run_whose_files_are_not_as_they_were_committed_is_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", seeds=2)
    files = RunDirectory(run_of(folder, "gan", 1))
    files.commit()
    assert [run.status for run in collect(folder).of("", "gan")] == ["finished", "finished"]
    files.outcome_json.write_text(files.outcome_json.read_text("utf-8") + " ", encoding="utf-8")
    assert [run.status for run in collect(folder).of("", "gan")] == ["finished", "incomplete"]
    page = (report.write(folder)).read_text("utf-8")
    assert "1 of 6 runs trained, but not scored to the end: GAN seed 1." in page
    assert [run.status for run in collect(folder, {files.id}).of("", "gan")] == ["finished", "finished"]


def test_pictures_beyond_the_budget_are_counted(study: Path) -> None:
    grid = run_of(study, "vae", 0) / "samples" / "000020000.png"
    album = pictures.Album(left=10)
    assert album.get(grid) is None
    assert album.get(grid) is None
    assert album.left_out == 1
    assert (pictures.Album().get(grid) or "").startswith("data:image/png;base64,")


def verdict(a: str, b: str, outcome: str, seeds: int | None = None) -> dict[str, object]:
    needed = {"seeds_needed_low": seeds, "seeds_needed_high": seeds and 2 * seeds, "n": 5}
    return {"metric": "frechet_distance", "a": a, "b": b, "verdict": outcome, **needed}


@pytest.mark.parametrize(
    ("outcomes", "headline", "leaders"),
    [
        (("better", "better", "undecided"), "VAE", ["vae"]),
        (("worse", "undecided", "better"), "GAN", ["gan"]),
        (("worse", "worse", "undecided"), "GAN or VAE-GAN", ["gan", "vaegan"]),
        (("undecided", "worse", "undecided"), "VAE-GAN, not decided against GAN", ["vaegan"]),
        (("undecided", "undecided", "undecided"), "Not decided", []),
        (("undecided", "equivalent", "undecided"), "Not decided", []),
        (("equivalent", "equivalent", "equivalent"), "No relevant difference", []),
        (("undefined", "better", "undefined"), "VAE", ["vae"]),
        (("undefined", "undefined", "undefined"), "Nothing to compare with", []),
    ],
)
def test_headline_follows_from_the_verdicts(
    copy: Path, outcomes: tuple[str, str, str], headline: str, leaders: list[str]
) -> None:
    pairs = (("vae", "gan"), ("vae", "vaegan"), ("gan", "vaegan"))
    put(copy / "verdicts.json", [verdict(a, b, o, 12) for (a, b), o in zip(pairs, outcomes, strict=True)])
    whole = collect(copy)
    answer = headlines.headlines(whole, "", tables.scores(whole, ""))[0]
    assert (answer.question, answer.headline, answer.leaders) == ("Who samples best?", headline, leaders)
    assert answer.lines[0][1].count("(12 to 24 seeds") == outcomes.count("undecided")


def test_bold_is_only_for_the_one_above_all_others(copy: Path) -> None:
    cells = tables.scores(collect(copy), "")
    assert [f for f in LEVELS["reconstruction_mse"] if cells["reconstruction_mse", f].leads] == ["vae"]
    for last, leaders in (("worse", ["vaegan"]), ("undecided", [])):
        pairs = (("vae", "gan", "worse"), ("vae", "vaegan", "worse"), ("gan", "vaegan", last))
        put(copy / "verdicts.json", [verdict(*pair) for pair in pairs])
        cells = tables.scores(collect(copy), "")
        assert [f for f in LEVELS["frechet_distance"] if cells["frechet_distance", f].leads] == leaders


def test_curves_are_well_formed_in_the_pages_colours(study: Path) -> None:
    panels = figures.curves(collect(study), "")
    assert {p.title for p in panels} == {t for terms in TERMS.values() for t in terms}
    for panel in panels:
        text = drawing.svg(panel)
        assert ET.fromstring(text).attrib["aria-label"] == panel.alt
        assert "var(--muted)" in text and "#" not in text
        assert " id=" not in text  # ids would have to differ from panel to panel


def test_band_is_from_the_lowest_seed_to_the_highest(study: Path) -> None:
    runs = collect(study).of("", "vae")
    lines = [[(row["images"], row["terms"]["prior"]) for row in run.log] for run in runs]
    x, mean, low, high = plotting.track_of(lines)[3]
    values = [r.log[3]["terms"]["prior"] for r in runs]
    assert (x, low, high) == (2560, min(values), max(values))
    assert mean == pytest.approx(statistics.mean(values))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0125, "0.0125"),
        (12.3456, "12.35"),
        (-3.0, "−3"),
        (20000, "20\u202f000"),
        (1234567.8, "1\u202f234\u202f568"),
        (0.0, "0"),
        (0.0000123, "1.23e−05"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_numbers_for_people(value: float | None, shown: str) -> None:
    assert number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(48.27, "48.3 s"), (192, "3 min 12 s"), (7500, "2 h 5 min"), (None, "–")]
)
def test_durations_for_people(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def sentences(folder: Path) -> str:
    return " ".join(limitations.limits(collect(folder)))


def test_settings_that_all_share_are_told(study: Path) -> None:
    said = facts.facts(collect(study))
    assert (said["network"], said["optimiser"]) == ("width 0.25, 128 latents", "Adam at 0.001")
    told = sentences(study)
    assert (
        "All frameworks had one network setting (width 0.25, 128 latents) and one optimiser setting (Adam at 0.001)"
        in told
    )
    assert "The budget is 20\u202f000 training images per run, 0.4 times the training set" in told
    assert "differ in their" not in told


def test_settings_that_a_framework_has_to_itself_are_not_told_of_all(copy: Path) -> None:
    for seed in range(3):
        spec = run_of(copy, "vaegan", seed) / "spec.json"
        optimiser = {"name": "RMSprop", "rate": 0.0003}
        change(spec, optimiser=optimiser, training={"images": 40000, "batch_size": 64, "updates": "simultaneous"})
    page = Page(report.write(copy))
    for text in ("budget differs by framework", "optimiser differs by framework", "width 0.25, 128 latents"):
        assert text in page.sections[""]
    assert not re.search("Adam at|training images a run", page.sections[""])
    told = page.sections["limits"]
    assert "All frameworks had one network setting (width 0.25, 128 latents);" in told
    assert "Frameworks differ in their optimiser and training settings" in told
    assert not re.search("one optimiser|Adam|The budget is", told)


def test_settings_that_a_grid_varies_are_still_the_same_for_all(tmp_path: Path) -> None:
    folder = make(tmp_path / "s", conditions=({"optimiser.name": "RMSprop"}, {"optimiser.name": "Adam"}), seeds=2)
    assert facts.facts(collect(folder))["optimiser"] == ""
    assert "one optimiser setting (varied)" in sentences(folder)
    assert "differ in their" not in sentences(folder)


def test_how_well_the_users_own_labels_are_read_is_told(copy: Path) -> None:
    assert "held-out images" not in sentences(copy)
    (copy / "features").mkdir()
    put(copy / "features" / "classifier.json", {"name": "own-classifier", "held_out_accuracy": 0.83})
    assert "trained on these labels, correct for 83 % of held-out images" in Page(report.write(copy)).sections["limits"]


def test_latex_is_harmless(copy: Path) -> None:
    metrics = json.loads((copy / "metrics.json").read_text())
    metrics[0]["label"] = "\\input{x} 5 % & $y_1$ #"
    put(copy / "metrics.json", metrics)
    report.write(copy)
    line = next(t for t in (copy / "table.tex").read_text().splitlines() if "input" in t)
    assert line.startswith(r"\textbackslash{}input\{x\} 5 \% \& \$y\_1\$ \# $\downarrow$ & ")
    assert len(re.findall(r"(?<!\\)&", line)) == 3


def test_import_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, triptych.report; print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "set()"


def test_figures_are_made_on_request_and_stay_as_long_as_they_are_true(copy: Path) -> None:
    shutil.rmtree(copy / "figures")
    assert "triptych report DIR --figures" in report.write(copy).read_text(encoding="utf-8")
    assert not (copy / "figures").exists()
    report.write(copy, with_figures=True)
    names = {path.name for path in (copy / "figures").iterdir()}
    assert "Figures: figures/" in report.write(copy).read_text(encoding="utf-8")
    assert {path.name for path in (copy / "figures").iterdir()} == names >= {"scores.pdf", "curves.pdf"}
    lines = [json.loads(line) for line in (copy / "scores.jsonl").read_text().splitlines()]
    lines = [line | {"value": line["value"] and 1.5 * line["value"]} for line in lines]
    (copy / "scores.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    report.write(copy)
    assert {path.name for path in (copy / "figures").iterdir()} == names - {"scores.pdf"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is drawn from now on: the panels, and the files that matplotlib makes."""
    from matplotlib.figure import Figure

    done: list[str] = []
    svg, savefig = drawing.svg, Figure.savefig
    monkeypatch.setattr(drawing, "svg", lambda panel: (done.append(panel.title), svg(panel))[1])
    monkeypatch.setattr(Figure, "savefig", lambda *a, **k: (done.append("file"), savefig(*a, **k))[1])
    return done


def test_the_drawings_of_a_report_grow_with_what_it_shows_and_not_with_its_runs(
    tmp_path: Path, drawn: list[str]
) -> None:
    counts = []
    for seeds in (2, 6):
        drawn.clear()
        report.write(make(tmp_path / str(seeds), seeds=seeds))
        counts.append(len(drawn))
        assert "file" not in drawn
    assert counts[0] == counts[1] > 0


def test_a_figure_of_an_unchanged_study_is_not_drawn_again(copy: Path, drawn: list[str]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (copy / "figures").iterdir()}
    report.write(copy, with_figures=True)
    assert drawn and "file" not in drawn
    assert {path.name: path.stat().st_mtime_ns for path in (copy / "figures").iterdir()} == before


def test_a_line_of_many_points_is_drawn_with_few_and_keeps_its_extremes() -> None:
    values = [math.sin(x / 5000) + (x == 41_234) for x in range(100_000)]
    panel = plotting.Panel("", "", plotting.tracked([(x, y, y, y) for x, y in enumerate(values)], 0, marker=False))
    text = drawing.svg(panel)
    assert len(text) < 60_000
    points = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", re.findall(r' d="M([^"]*)"', text)[2])]
    spike = [x for x, y in points if y == min(y for _, y in points)]
    assert len(spike) == 1 and 0.40 < (spike[0] - points[0][0]) / (points[-1][0] - points[0][0]) < 0.42


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[0.0], [3.0, 3.0], [1e300, -1e300], [1e-300, 1e300], [5e-324], [153.1, 153.2]])
def test_an_axis_holds_any_finite_values(values: list[float], log: bool) -> None:
    mark = plotting.Mark(range(len(values)), values, 0, width=1, marker="o")
    text = drawing.svg(plotting.Panel("", "", [mark], y=plotting.Axis(log=log)))
    assert "nan" not in text and "inf" not in text
    heights = [float(y) for y in re.findall(r"M[\d.]+ (-?[\d.]+)m", text)]
    assert len(heights) == len(values) and all(0 < y < 2.3 * 72 for y in heights)


def test_a_name_too_long_for_its_axis_is_cut_and_is_escaped() -> None:
    axis = plotting.rows_axis(["<b>" + 80 * "x"])
    text = drawing.svg(plotting.Panel("", 'a "b" <c>', [plotting.Mark([1.0], [0], 0, marker="D")], y=axis))
    assert "&lt;b&gt;xxx" in text and "…" in text and 40 * "x" not in text
    assert ET.fromstring(text).attrib["aria-label"] == 'a "b" <c>'
