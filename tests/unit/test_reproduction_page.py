"""The reproduction's page and its Markdown, made from invented results of all four studies."""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
import shutil
from pathlib import Path

import pytest

import fake_paper
from made_parts import judged as part
from report_page import Page
from triptych.claims import engine, judging, wording
from triptych.claims.engine import Claim
from triptych.claims.quantities import outputs
from triptych.claims.results import open_results
from triptych.directory import StudyDirectory
from triptych.papers.vae_vs_gan_vs_vaegan import ablation, content, page, page_text, rates, speed, table1
from triptych.papers.vae_vs_gan_vs_vaegan.content import Content, Executed, RunAt
from triptych.papers.vae_vs_gan_vs_vaegan.designs import CLAIMS, NAMES
from triptych.papers.vae_vs_gan_vs_vaegan.run import PlannedStudy
from triptych.report import pages
from triptych.study.plan import runs_of
from triptych.verdicts.stats import Estimate

pytestmark = pytest.mark.slow

SMALL = RunAt(name="small", size=32, width=0.25, images=12_800, steps=200, seeds=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole reproduction at scale tiny, with its page and Markdown, and the latter for the docs as well."""
    folder = fake_paper.make(tmp_path_factory.mktemp("paper"))
    fake_paper.write(folder, folder / "docs")
    return folder


def claim(verdict: str, *parts: judging.Part, **changes: object) -> Claim:
    made = Claim(
        id="C1",
        statement="A beats B",
        where="section 1",
        source="It says so.",
        parts=parts,
        verdict=verdict,
        others={},
        summary="A summary.",
        meaning="Take A.",
    )
    return dataclasses.replace(made, **changes)  # pyright: ignore[reportArgumentType]


def bare(*claims: Claim, **changes: object) -> Content:
    ran = [Executed(study=name, complete=10, planned=10, diverged=0, seconds=60.0) for name in content.TEXTS["studies"]]
    made = Content(SMALL, list(claims), runs=ran, command="triptych reproduce paper --scale small")
    return dataclasses.replace(made, **changes)  # pyright: ignore[reportArgumentType]


def test_the_page_begins_with_every_claims_verdict_in_words_and_a_sign(folder: Path) -> None:
    results = open_results(folder, NAMES)
    told = Page(folder / "report.html").sections
    assert list(told)[1] == "claims"
    first = re.sub(r"\s+", " ", told["claims"])
    judged = engine.judge_claims(engine.load(CLAIMS), results)
    assert [c.id for c in judged] == [f"C{i}" for i in range(1, 10)]
    for c in judged:
        assert f"{page_text.sign(c.verdict)} {c.verdict}" in first
        assert c.statement in first and c.meaning not in first and "No advice: this is a rehearsal." in first
        assert c.source in told[c.id.lower()]
        assert all(p.sentence in told[c.id.lower()] for p in c.parts)


def test_every_verdict_has_a_sign_of_its_own_in_its_table() -> None:
    for words in (tuple(page_text.TALLIES), ("supported", "contradicted", "undecided", "undefined", "measured")):
        assert len({page_text.sign(word) for word in words} - {""}) == len(words)


def test_the_scale_with_its_budget_stands_in_title_and_head(folder: Path) -> None:
    html = (folder / "report.html").read_text("utf-8")
    title = re.search(r"<title>(.*?)</title>", html)
    assert title and "scale tiny: 16 pixels, 640 images per run" in title[1]
    head = html.partition("<main>")[0].partition("<body>")[2]
    assert "16 × 16 pixels, 0.0625 of the paper's channels" in head.replace("&#39;", "'")
    assert "scale tiny" in (folder / "paper.md").read_text("utf-8").partition("\n")[0]


def test_runs_of_a_few_steps_are_called_a_rehearsal(folder: Path) -> None:
    assert "A rehearsal: 10 steps per run" in (folder / "report.html").read_text("utf-8").partition("<main>")[0]
    assert "**A rehearsal: 10 steps per run" in (folder / "paper.md").read_text("utf-8").partition("| claim")[0]
    assert page_text.troubles(bare()) == []


def test_all_that_claims_are_measured_by_is_explained(folder: Path) -> None:
    told = re.sub(r"\s+", " ", Page(folder / "report.html").sections["claims"])
    short = (folder / "paper.md").read_text("utf-8")
    names = {name for claim in engine.load(CLAIMS) for part in claim.parts for name in part.needs}
    assert {"frechet_distance", "reconstruction_mse", "dis_l_response", "collapsed"} <= names
    names |= {measure.metric for own in ablation.MEASURES.values() for measure in own}
    for name in names:
        assert outputs()[name].about in told and outputs()[name].about in short


def test_the_same_files_give_the_same_bytes_and_no_place_of_this_machine(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    before = (folder / "report.html").read_bytes()
    fake_paper.write(copy)
    assert (copy / "report.html").read_bytes() == before
    assert (copy / "paper.md").read_bytes() == (folder / "paper.md").read_bytes()
    assert str(folder).encode() not in before


def test_the_page_asks_for_nothing_and_runs_no_script_but_the_reports(folder: Path) -> None:
    made = Page(folder / "report.html")
    policy = next(m["content"] for m in made.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'; img-src data:;")
    assert all((img["src"] or "").startswith("data:image/png;base64,") for img in made.all("img"))
    assert not [attr for _, attrs in made.tags for attr in attrs if attr.startswith("on")]
    hrefs = {a["href"] or "" for a in made.all("a")}
    ids = {attrs["id"] for _, attrs in made.tags if "id" in attrs}
    assert len(ids) == sum("id" in attrs for _, attrs in made.tags)  # no id stands twice
    assert {h[1:] for h in hrefs if h.startswith("#")} <= ids and all(h.startswith("#") for h in hrefs)


def test_texts_are_escaped(folder: Path) -> None:
    html = (folder / "report.html").read_text("utf-8")
    assert "A processor &lt;of 2 cores&gt;" in html and "<of 2 cores>" not in html


def test_no_comparison_of_the_same_runs_has_two_p_values(folder: Path) -> None:
    """Whatever is tested on the page: what a claim predicts of runs, and what a table compares."""
    results = open_results(folder, NAMES)
    judged = engine.judge_claims(engine.load(CLAIMS), results)
    parts = [part for claim in judged for part in claim.parts]
    parts += speed.rows(results, parts)
    parts += [part for row in rates.elasticities(results, parts) for part in (row.slope, row.bend)]
    by_comparison: dict[object, set[str]] = {}
    for tested in parts:
        if tested.p is not None:
            said = re.findall(r"p [=<] [\d.e−-]+ for the claim and p [=<] [\d.e−-]+ against it", tested.sentence)
            by_comparison.setdefault((tested.compared, tested.expects), set()).update(said)
    assert {len(values) for values in by_comparison.values()} == {1} and len(by_comparison) > 40
    assert len(by_comparison) < len([tested for tested in parts if tested.p is not None])  # some are shown twice
    text = re.sub(r"\s+", " ", " ".join(Page(folder / "report.html").sections.values()))
    for sentence in (said for tested in parts for said in (tested.sentence, page_text.with_failures(tested))):
        text = text.replace(sentence, "")
    for spread in table1.spreads(results):
        text = text.replace(spread.sentence, "")
    text = re.sub(r"has p = \S+ at best|p < 0.05", "", text)
    assert re.findall(r"\bp [=<] \S+", text) == []  # nothing else is tested


def test_one_pair_of_runs_has_one_pair_of_numbers(folder: Path) -> None:
    """C7.4 and C8.7 used to give two means of the same runs, 77 against 266 and 80.4 against 287."""
    results = open_results(folder, NAMES)
    shown: dict[object, set[tuple[float | None, str, str]]] = {}
    pairs: dict[object, list[str]] = {}
    for own in [p for c in engine.judge_claims(engine.load(CLAIMS), results) for p in c.parts]:
        shown.setdefault(own.compared, set()).add((own.estimate, own.amount, own.span))
        pairs.setdefault(own.compared, []).append(own.id)
    assert ["C7.4", "C8.7"] in pairs.values() and {len(numbers) for numbers in shown.values()} == {1}


def test_the_table_of_elasticity_is_claim_c4s_where_both_ask_the_same(folder: Path) -> None:
    results = open_results(folder, NAMES)
    parts = [p for c in engine.judge_claims(engine.load(CLAIMS), results) for p in c.parts]
    ids = {(e.framework, e.optimiser, e.low): (e.slope.id, e.bend.id) for e in rates.elasticities(results, parts)}
    assert ids["vaegan", "Adam", 0.00015] == ("C4.1", "C4.3") and ids["vaegan", "RMSprop", 0.00015][0] == "C4.4"
    assert not any(part.startswith("C") for pair in list(ids.values())[:8] for part in pair)  # of VAE and GAN


def test_the_sides_of_every_comparison_have_names_of_their_own() -> None:
    """C6.6 used to list four counts without a name."""
    specs = [part.under(claim.protocols[part.protocol]) for claim in engine.load(CLAIMS) for part in claim.parts]
    for spec in specs:
        names = wording.side_names(spec)
        assert len(names) == len(spec.sides)
        if len({(side.framework, side.study, str(side.at), side.tuned) for side in spec.sides}) == len(names):
            assert len(set(names)) == len(names), names
    sixth = next(spec for spec in specs if "published VAE-GAN's once its trainer" in spec.statement)
    assert wording.side_names(sixth)[2] == "As published (vaegan-fix-loader)"


def test_no_interval_of_what_is_positive_goes_below_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds that scatter widely: a t interval of their mean would reach far below zero."""
    wild = fake_paper.make(tmp_path, spread=1.0)
    results = open_results(wild, NAMES)
    monkeypatch.setattr(content.pictures, "figures", lambda results, folder: {})
    made = content.collect_content(results, engine.judge_claims(engine.load(CLAIMS), results), wild)
    estimates = [e for p in made.points if (e := p.estimate)] + [t.images for t in made.times]
    estimates += [c.seconds for c in made.costs] + [e for r in made.table1 for e in (r.last, r.tenth) if e]
    assert len(estimates) > 60 and all(e.low > 0 for e in estimates if e.low is not None)
    assert any(e.low is not None and e.high and e.high > 10 * e.low for e in estimates)
    assert all(r.low > 0 for r in made.table1 if r.low is not None)
    parts = [part for claim in made.claims for part in claim.parts] + made.speeds
    parts += [part for row in made.tuned for part in (row.test, row.gain)]
    factors = [p for p in parts if p.scale == "log2" and "doubling of" not in p.unit]
    assert len(factors) > 30 and not [p for p in factors if re.search(r"(^|\s)−", f"{p.amount} {p.span}")]
    assert not [e for e in made.effects if e.scale == "log2" and re.search(r"(^|\s)−", e.span)]
    shares = [e.estimate for e in made.effects if e.scale in ("share", "event") and e.estimate]
    assert shares and all(e.low >= -1 and e.high <= 1 for e in shares if e.low is not None and e.high is not None)


def test_a_rehearsal_gives_no_advice() -> None:
    spoken = bare(claim("holds", part("supported")))
    for text in (page.render(spoken), page.render_markdown(spoken)):
        assert "Take A." in text and "No advice" not in text
    tiny = dataclasses.replace(spoken, scale=dataclasses.replace(SMALL, name="tiny", steps=10))
    for text in (page.render(tiny), page.render_markdown(tiny)):
        assert "Take A." not in text and "No advice: this is a rehearsal." in text


def test_how_often_a_page_holds_a_false_verdict_is_a_number(folder: Path) -> None:
    several = [part("supported", place=place) for place in (1, 2)]  # one family
    several += [part("measured", place=3, p=None), part("undecided", "as published")]
    made = bare(claim("holds", *several), speeds=[part("supported", claim="Fréchet distance, images")])
    assert content.families(made) == 3
    said = page_text.multiplicity(made)
    assert "in 3 families" in said and "up to 14 % of pages" in said and "at most 15 %" in said  # 1 - 0.95^3
    unbroken = page.render(made).replace("\N{NARROW NO-BREAK SPACE}%", " %")
    assert said not in page.render(made) and said in unbroken and said in page.render_markdown(made)
    results = open_results(folder, NAMES)
    judged = engine.judge_claims(engine.load(CLAIMS), results)
    claimed = {(p.claim, p.protocol) for c in judged for p in c.parts if p.p is not None}
    effects = {(e.base, e.measure) for e in ablation.effects(results) if e.p is not None}
    found = re.search(r"tests of this page are in (\d+) families", (folder / "paper.md").read_text("utf-8"))
    assert found and int(found[1]) == len(claimed) + len(effects) + 4 + 2  # of speed and of elasticities


def test_that_the_cause_of_blur_is_not_isolated_is_said_with_every_verdict() -> None:
    spec = next(claim for claim in engine.load(CLAIMS) if claim.id == "C2")
    assert "VAE_Dis_l, was not run" in spec.source
    assert all("VAE_Dis_l" in text or "also plays a game" in text for text in spec.meaning.values())
    assert all(
        "game" in p.statement for p in spec.parts if p.a.framework != p.b.framework and "vaegan" in str(p.a.framework)
    )


def test_table_1_stands_as_it_is_printed(folder: Path) -> None:
    told = Page(folder / "report.html").sections["table1"]
    for printed in ("1.6904", "0.3349", "0.0930", "0.0939", "1.5981", "0.3089", "0.0841", "1.5820", "0.2772", "0.0986"):
        assert printed in told
    assert "1.6904" in (folder / "paper.md").read_text("utf-8")


def test_all_parts_of_the_reproduction_stand_on_the_page(folder: Path) -> None:
    told = Page(folder / "report.html").sections
    wanted = {"table1", "rates", "tuned", "speed", "figures", "quirks", "appendices", "run", "limits", "files"}
    assert wanted <= set(told)
    assert "10 settings each" in told["tuned"]
    assert "triptych reproduce paper --scale tiny" in told["run"] and "A processor" in told["run"]
    assert (folder / "report.html").read_text("utf-8").count("Appendix") >= 3


@pytest.mark.parametrize("place", [".", "docs"])
def test_the_markdowns_links_are_live_and_its_pictures_whole(folder: Path, place: str) -> None:
    text = (folder / place / "paper.md").read_text("utf-8")
    links = {link for link in re.findall(r"\]\(([^)#\s]+)", text)}
    assert len(links) > 10 and all((folder / place / link).exists() for link in links)
    assert {link for link in links if link.endswith(".png")} == {
        f"paper/{path.name}" for path in (folder / place / "paper").glob("*.png")
    }
    for path in (folder / place / "paper").glob("*.svg"):
        drawn = path.read_text("utf-8")
        assert drawn.startswith("<svg ") and 'xmlns="http://www.w3.org/2000/svg"' in drawn


def test_the_markdowns_tables_have_as_many_cells_as_their_heads(folder: Path) -> None:
    lines = (folder / "paper.md").read_text("utf-8").splitlines()
    bars = [len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0 for line in lines]
    assert max(bars) > 5
    assert all(a == b for a, b in itertools.pairwise(bars) if a and b)


def test_the_docs_command_is_the_one_that_makes_the_page() -> None:
    text = page.render_markdown(bare(claim("holds", part("supported"))))
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert shlex.split(blocks[0]) == ["triptych", "reproduce", "paper", "--scale", "small", "--docs", "docs/results"]


def test_a_run_whose_files_are_not_as_they_were_committed_is_left_to_do(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder / "rates", copy)
    (copy / "report.html").write_text("concluded", "utf-8")
    directory = StudyDirectory(copy)
    runs = runs_of(directory.load())
    study = PlannedStudy(name="rates", spec=directory.load(), directory=directory, runs=runs)
    assert study.left == [] and study.is_concluded
    damaged = directory.run(runs[3].id)
    damaged.commit()
    damaged.scores_jsonl.write_bytes(damaged.scores_jsonl.read_bytes()[:-1])
    again = dataclasses.replace(study)
    assert again.left == [runs[3]] and not again.is_concluded


def test_own_seeds_stand_in_the_command() -> None:
    assert content.command_of(SMALL) == "triptych reproduce paper --scale small"
    own = dataclasses.replace(SMALL, seeds=7)
    assert content.command_of(own).endswith("--scale small --seeds 7")


def test_a_study_that_is_not_whole_is_said_before_anything_else() -> None:
    ran = [
        Executed(study="matched", complete=7, planned=10, diverged=0, seconds=60.0),
        Executed(study="rates", complete=10, planned=10, diverged=0, seconds=60.0),
    ]
    html = page.render(bare(claim("holds", part("supported")), runs=ran))
    head = html.partition("<main>")[0]
    assert "“matched” is incomplete: 7 of 10 runs are there" in head
    assert "“ablation” has not been run" in head and "“rates”" not in head
    assert "Before you read on" not in page.render(bare(claim("holds", part("supported"))))


def test_a_bar_in_a_text_does_not_break_the_table() -> None:
    text = page.render_markdown(bare(claim("holds", part("supported"), statement="q(z|x) is right")))
    assert "q(z\\|x) is right" in text


def test_the_tally_names_the_claims_of_each_verdict() -> None:
    verdicts = ("holds", "does not hold", "holds", "holds in part", "undecided", "measured")
    many = [claim(verdict, id=f"C{place}") for place, verdict in enumerate(verdicts, 1)]
    assert page_text.tally(many) == (
        "Of the paper's 6 claims, 2 hold (C1, C3), 1 holds in part (C4), 1 does not hold (C2), 1 remains undecided "
        "(C5) and 1 was only announced and is measured here (C6)."
    )
    assert page_text.tally([claim("undecided")]) == "Of the paper's 1 claim, 1 remains undecided (C1)."


def test_a_claim_is_told_by_the_parts_that_decided_it() -> None:
    parts = (part("supported", place=1), part("undecided", place=2), part("contradicted", place=3))
    told = {
        v: [p.id for p in page_text.shown_first(claim(v, *parts))] for v in ("holds", "does not hold", "holds in part")
    }
    assert told == {"holds": ["C1.1"], "does not hold": ["C1.3"], "holds in part": ["C1.1", "C1.3"]}
    published = claim("holds", part("supported", "as published"), part("supported", place=2))
    assert [p.id for p in page_text.shown_first(published)] == ["C1.2"]
    failed = part("supported", asides={"margin": "less than 10 % is nothing", "failures": "1 of 5 GAN runs failed"})
    assert failed.sentence == "Supported: 1 against 4 (5 seeds); less than 10 % is nothing; 1 of 5 GAN runs failed."
    assert page_text.with_failures(failed) == "Supported: 1 against 4 (5 seeds); 1 of 5 GAN runs failed."
    timed = [part("measured", place=place) for place in (1, 2, 3)]
    assert [p.id for p in page_text.shown_first(claim("measured", *timed))] == ["C1.1", "C1.2"]
    assert engine.votes(page_text.parts_of(published, "matched")) == ["the one comparison supports it"]


def test_a_number_comes_with_its_interval() -> None:
    assert pages.estimate(Estimate(0.12345, 0.1, 0.15, 5)) == "0.123 (0.1 to 0.15)"
    assert pages.estimate(Estimate(0.12345, None, None, 1)) == "0.123"
    assert pages.estimate(None) == "–"
    assert page_text.with_failures(part("supported")) == "Supported: 1 against 4 (5 seeds)."
    assert page_text.with_span(part("supported")) == "a factor of 0.25 (0.125 to 0.5)"
    assert [page_text.rate(x) for x in (0.000075, 0.0003, 0.0012)] == ["0.000075", "0.0003", "0.0012"]
