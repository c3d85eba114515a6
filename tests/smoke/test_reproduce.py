"""`triptych reproduce paper`, whole, at the smallest scale; and what it refuses before it writes anything."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from triptych import cli, store
from triptych.papers.vae_vs_gan_vs_vaegan import designs
from triptych.papers.vae_vs_gan_vs_vaegan.run import reproduce
from triptych.spec import load_study, to_toml
from triptych.study import runner
from triptych.study.plan import runs_of
from triptych.terminal import running

pytestmark = pytest.mark.slow(minutes=8)

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = ("estimate", "low", "high")
VERDICTS = {"holds", "holds where decided", "holds in part", "does not hold", "undecided", "measured"}


def command(out: Path, *more: object) -> list[str]:
    arguments = ["reproduce", "paper", "--scale", "tiny", "--device", "cpu", "--workers", 2, "--threads", 1]
    return [sys.executable, "-m", "triptych.cli", *map(str, arguments), "--out", str(out), *map(str, more)]


def listing(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def whole(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/runs/*/manifest.json"))


def stop_in_the_middle(out: Path) -> str:
    """Ctrl-C once a few runs are whole; what the command said."""
    process = subprocess.Popen(command(out), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    end = time.monotonic() + 300
    while len(whole(out)) < 3 and process.poll() is None:
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=120)[0].decode()
    assert process.returncode == 75, said
    return said


def test_the_paper_is_reproduced_stopped_and_gone_on_with(tmp_path):
    out, docs = tmp_path / "out", tmp_path / "docs"
    assert "Stopped. Run the same command to resume" in " ".join(stop_in_the_middle(out).split())
    before = {folder: store.read_json(folder / "manifest.json") for folder in whole(out)}
    assert before and not (out / "claims.json").exists()

    done = subprocess.run(command(out, "--docs", docs), capture_output=True, text=True, timeout=1200)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    runs = {name: len(runs_of(spec)) for name, spec in designs.studies(designs.SCALES["tiny"]).items()}
    assert len(whole(out)) == sum(runs.values())
    assert {folder: store.read_json(folder / "manifest.json") for folder in before} == before
    check_claims(out, done.stdout)
    assert (docs / "paper.md").read_bytes() == (out / "paper.md").read_bytes()
    assert listing(docs / "paper") == listing(out / "paper")

    files, began = listing(out), time.monotonic()
    again = subprocess.run(command(out, "--docs", docs), capture_output=True, text=True, timeout=300)
    print(f"concluding again took {time.monotonic() - began:.0f} s")
    assert again.returncode == 0 and "All runs are done" in again.stdout
    changed = [name for name, content in listing(out).items() if files.get(name, b"") != content]
    assert changed == []

    check_failure(out)


def check_claims(out: Path, said: str) -> None:
    """Nine claims, each with a verdict and a line on the terminal; every part with numbers, or a reason for none."""
    records: list[dict[str, Any]] = json.loads((out / "claims.json").read_text("utf-8"))
    verdicts = {record["claim"]: record["claim_verdict"] for record in records}
    assert list(verdicts) == [f"C{number}" for number in range(1, 10)]
    assert set(verdicts.values()) <= VERDICTS
    for record in records:
        missing = [name for name in NUMBERS if record[name] is None]
        assert record["sentence"] and (not missing or record["verdict"] in ("undefined", "undecided", "measured"))
        assert all(math.isfinite(record[name]) for name in NUMBERS if name not in missing)
    assert sum(record["verdict"] != "undefined" for record in records) > len(records) / 2
    for claim, verdict in verdicts.items():
        assert any(line.startswith(f"{claim} {verdict}: ") for line in said.splitlines()), said
    assert "A rehearsal: 10 steps per run train nothing" in said
    report = (out / "report.html").read_text("utf-8")
    assert "16 × 16 pixels" in report and report.rstrip().endswith("</html>")
    assert f"Report: {out / 'report.html'}" in said
    assert all((out / name / "report.html").exists() for name in designs.NAMES)


def check_failure(out: Path) -> None:
    """A run that fails is named, the others are concluded from, and the exit code says so."""
    lost = whole(out)[0]
    (lost / "manifest.json").rename(lost / "kept.json")
    said = Console(record=True, width=300, file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "compute", lambda study, observer: {lost.name: "failed"})
        assert reproduce(said, "tiny", out=out, execution={"device": "cpu"}) == running.FAILED
    text = said.export_text()
    assert f"failed: {lost.name}, see {lost / 'error.txt'}" in text and "1 run is missing from the report" in text
    assert "193 of them done" not in text and "1 run to go" in text
    (lost / "kept.json").rename(lost / "manifest.json")


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Give a command that cannot work: it ends with 2, leaves everything as it was, and says this."""
    monkeypatch.chdir(tmp_path)

    def refused(*arguments: object) -> str:
        before = listing(tmp_path)
        monkeypatch.setattr(sys, "argv", ["triptych", "reproduce", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        assert end.value.code == 2 and said.err.startswith("triptych: ") and len(said.err.splitlines()) == 1, said
        assert listing(tmp_path) == before
        return said.err

    return refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["papr"], ["WHAT", "'papr'", "Did you mean 'paper'?"]),
        (["paper", "--scale", "tinny"], ["--scale", "'tinny'", "Did you mean 'tiny'?", "small"]),
        (["paper", "--scale", "tiny", "--seeds", 1], ["C1", "needs 2 seeds", "--seeds 2"]),
        (["paper", "--claims", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_written(refused, arguments, words):
    said = refused(*arguments)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('metric = "frechet_distance"', 'metric = "frechet_distanse"', ["unknown metric", "Did you mean 'frechet_dis"]),
        ('a = { framework = "gan" }', 'a = { framework = "vae_disl" }', ["does not run this framework", "'vae_disl'"]),
        ("optimiser.rate = 0.0003", "optimiser.rate = 0.002", ["optimiser.rate", "0.0006", "Add it to the"]),
    ],
)
def test_claims_that_the_studies_cannot_answer_are_refused(refused, tmp_path, old, new, words):
    text = (resources.files("triptych.papers.vae_vs_gan_vs_vaegan") / "claims.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new), encoding="utf-8")
    said = refused("paper", "--scale", "tiny", "--claims", "mine.toml")
    for word in ("C1.1", *words):
        assert word in said


def test_a_directory_that_holds_something_else_is_refused(refused, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is a file" in refused("paper", "--scale", "tiny", "--out", "file")
    assert "is a file" in refused("paper", "--scale", "tiny", "--out", "file/below")
    assert "is a file" in refused("paper", "--scale", "tiny", "--docs", "file")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert "something else than a reproduction" in refused("paper", "--scale", "tiny", "--out", "mine")
    study = tmp_path / "other" / "matched" / "study.toml"
    study.parent.mkdir(parents=True)
    study.write_text(to_toml(designs.studies(designs.SCALES["small"])["matched"]), encoding="utf-8")
    said = refused("paper", "--scale", "tiny", "--out", "other")
    assert "data.size (32 there, 16 here)" in said and "--out" in said
    assert "seeds" in refused("paper", "--scale", "small", "--seeds", 6, "--out", "other")


@pytest.mark.parametrize("name", ["paper", "as_published"])
def test_the_designs_at_the_papers_scale_are_the_files_in_studies(name):
    packaged = resources.files("triptych.papers.vae_vs_gan_vs_vaegan") / f"{name}.toml"
    assert packaged.read_bytes() == (ROOT / "studies" / f"{name}.toml").read_bytes()
    study = load_study(ROOT / "studies" / f"{name}.toml")
    assert designs.studies(designs.SCALES["paper"])[study.name] == study
