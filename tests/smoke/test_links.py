"""A study's directory may come from somebody else: nothing is written, or deleted, through a symbolic link in it."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from triptych import api, cli, report, store
from triptych.data import dataset
from triptych.directory import ReproductionDirectory, RunDirectory
from triptych.errors import InputError
from triptych.papers.vae_vs_gan_vs_vaegan import run as reproduction
from triptych.spec import load_study
from triptych.study import runner, worker
from triptych.training import loop

pytestmark = pytest.mark.slow

STUDY = """
frameworks = ["vae"]
seeds = 1
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 64, batch_size = 32 }}
scoring = {{ images = 50, metrics = ["pixel_error"], features = ["pixels"] }}
execution = {{ device = "cpu", workers = 1, threads = 1 }}
"""
VICTIM = b"years of work\n"
OUTSIDE = {"thesis.tex": VICTIM, "000000001/state.json": VICTIM, "figure.pdf": VICTIM}


@pytest.fixture(scope="module")
def whole(digits_file, tmp_path_factory) -> Path:
    """A study of one run that is done."""
    home = tmp_path_factory.mktemp("whole")
    (home / "study.toml").write_text(STUDY.format(data=digits_file))
    api.run_study(load_study(home / "study.toml"), home / "out")
    return home / "out"


@pytest.fixture
def out(whole, tmp_path) -> Path:
    shutil.copytree(whole, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def outside(tmp_path) -> Path:
    for name, content in OUTSIDE.items():
        store.write(tmp_path / "outside" / name, content)
    return tmp_path / "outside"


def unharmed(outside: Path) -> None:
    found = {str(p.relative_to(outside)): p.read_bytes() for p in outside.rglob("*") if p.is_file()}
    assert found == OUTSIDE


def run_of(out: Path) -> Path:
    (run,) = (out / "runs").iterdir()
    return run


def linked(place: Path, target: Path) -> Path:
    """A link, in the place of what may lie there."""
    store.remove(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)
    return place


def typed(monkeypatch, capfd, *arguments: object) -> tuple[int, str]:
    """A command in this process: its exit code, and what it says of mistakes."""
    monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), capfd.readouterr().err


FILES = [
    ".lock",
    "study.toml.partial",
    "scores.jsonl.partial",
    "study.toml",
    "table.csv",
    "RUN/log.jsonl",
    "RUN/error.txt",
    "RUN/.lock",
    "RUN/scores.jsonl.partial",
    "RUN/timing.jsonl",
    "data/data.json.partial",
    "features/.lock",
]
FOLDERS = ["runs", "RUN", "RUN/checkpoints", "RUN/samples", "data", "features", "figures"]


@pytest.mark.parametrize("command", ["run", "score", "report"])
@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_a_command_refuses_a_link_inside_and_harms_nothing(name, command, out, outside, monkeypatch, capfd):
    place = out / name.replace("RUN", f"runs/{run_of(out).name}")
    target = outside if name in FOLDERS else outside / "thesis.tex"
    if name == "study.toml":  # it must be a study's to come so far
        target = shutil.copy(out / "study.toml", out.parent / "mine.toml")
        before = Path(target).read_bytes()
    linked(place, target)
    arguments = [out / "study.toml", "--out", out] if command == "run" else [out]
    code, said = typed(monkeypatch, capfd, command, *arguments)
    assert code == 2 and "Traceback" not in said
    assert said.startswith("triptych: ") and len(said.splitlines()) == 1, said
    for words in (str(place), "symbolic link", str(target), "Delete the link"):
        assert words in said
    assert place.is_symlink()
    unharmed(outside)
    if name == "study.toml":
        assert Path(target).read_bytes() == before


@pytest.mark.parametrize("name", [".lock", "study.toml.partial", "data", "features"])
def test_a_new_study_refuses_links_in_a_directory_without_one(name, digits_file, outside, tmp_path, monkeypatch, capfd):
    (tmp_path / "study.toml").write_text(STUDY.format(data=digits_file))
    place = linked(tmp_path / "out" / name, outside if "." not in name else outside / "thesis.tex")
    code, said = typed(monkeypatch, capfd, "run", tmp_path / "study.toml", "--out", tmp_path / "out")
    assert code == 2 and len(said.splitlines()) == 1 and str(place) in said, said
    assert os.listdir(tmp_path / "out") == [name]
    unharmed(outside)


def test_a_study_behind_a_link_of_the_users_own_goes_on(out, tmp_path, monkeypatch, capfd):
    (tmp_path / "results").symlink_to(tmp_path)
    (tmp_path / "results" / "mine").symlink_to(out)
    code, said = typed(monkeypatch, capfd, "run", tmp_path / "results" / "mine" / "study.toml")
    assert code == 0, said
    assert (tmp_path / "mine").is_symlink()


def test_a_mistake_leaves_a_directory_behind_a_link_where_it_is(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(data=tmp_path / "nothing.npz"))
    (tmp_path / "large").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "large")
    with pytest.raises(InputError, match="nothing"):
        runner.prepare(tmp_path / "out", load_study(tmp_path / "study.toml"))
    assert (tmp_path / "out").is_symlink()


def test_a_lock_that_is_a_link_is_refused(outside, tmp_path):
    for name in ("", "floor"):
        place = linked(tmp_path / "study" / f"{name and '.' + name}.lock", outside / "thesis.tex")
        with pytest.raises(InputError, match="symbolic link") as caught, store.locked(place.parent, False, name):
            pass
        assert str(place) in str(caught.value)
    dangling = linked(tmp_path / "study" / ".lock", outside / "new")
    with pytest.raises(InputError, match="symbolic link"), store.locked(dangling.parent, True):
        pass
    unharmed(outside)


def test_a_link_that_appears_while_the_lock_is_opened_is_not_followed(outside, tmp_path, monkeypatch):
    """The library does not follow it either, should one slip in behind the check."""
    linked(tmp_path / "study" / ".lock", outside / "thesis.tex")
    monkeypatch.setattr(store, "refuse_link", lambda *paths: None)
    with pytest.raises(OSError, match="symbolic"), store.locked(tmp_path / "study", False):
        pass
    unharmed(outside)


@pytest.mark.parametrize("name", ["a.json", "a.json.partial"])
@pytest.mark.parametrize("target", ["thesis.tex", "new"])
def test_a_write_follows_no_link_and_replaces_that_of_its_name(name, target, outside, tmp_path):
    linked(tmp_path / "study" / name, outside / target)
    store.write(tmp_path / "study" / "a.json", b"content")
    assert set(os.listdir(tmp_path / "study")) == {"a.json", name}
    assert (tmp_path / "study" / "a.json").read_bytes() == b"content" and not (tmp_path / "study/a.json").is_symlink()
    unharmed(outside)


@pytest.mark.parametrize("target", ["thesis.tex", "new"])
def test_nothing_is_appended_to_a_link(target, outside, tmp_path):
    place = linked(tmp_path / "study" / "log.jsonl", outside / target)
    with pytest.raises(InputError, match="symbolic link"):
        store.appending(place)
    unharmed(outside)


def test_checkpoints_are_neither_written_nor_deleted_elsewhere(outside, tmp_path):
    linked(tmp_path / "run" / "checkpoints", outside)
    with pytest.raises(InputError, match="checkpoints"):
        store.save_checkpoint(tmp_path / "run", 7, {"state.json": b"{}"})
    store.drop_checkpoints(tmp_path / "run")
    unharmed(outside)


@pytest.mark.parametrize("name", ["000000007", "000000007.partial"])
def test_a_checkpoint_takes_the_place_of_a_link(name, outside, tmp_path):
    linked(tmp_path / "checkpoints" / name, outside)
    store.save_checkpoint(tmp_path, 7, {"state.json": b"{}"})
    assert store.load_checkpoint(tmp_path) == {"state.json": b"{}"}
    assert os.listdir(tmp_path / "checkpoints") == ["000000007"]
    unharmed(outside)


def test_sweep_takes_the_link_and_not_what_it_leads_to(outside, tmp_path):
    linked(tmp_path / "run" / "samples.partial", outside)
    linked(tmp_path / "run" / "a.json.partial", outside / "thesis.tex")
    linked(tmp_path / "run" / "elsewhere", outside)
    store.write(outside / "b.partial", VICTIM)
    store.remove_partials(tmp_path / "run")
    assert os.listdir(tmp_path / "run") == ["elsewhere"]
    (outside / "b.partial").unlink()
    unharmed(outside)


def test_prepared_images_take_the_place_of_a_link(digits_file, outside, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(data=digits_file))
    linked(tmp_path / "data" / ".train-images.npy.tmp", outside / "thesis.tex")
    linked(tmp_path / "data" / "test-images.npy", outside / "thesis.tex")
    linked(tmp_path / "data" / ".preparing", outside / "thesis.tex")
    dataset.prepare(load_study(tmp_path / "study.toml").data, tmp_path / "data")
    assert len(dataset.open(tmp_path / "data").test) == 100
    unharmed(outside)


def test_training_from_python_refuses_a_link(out, outside):
    run = run_of(out)
    (run / "outcome.json").unlink()
    linked(run / "weights", outside)
    images = dataset.open(out / "data")
    with pytest.raises(InputError, match="weights"):
        loop.train(run, runner.runs_of(load_study(out / "study.toml"))[0], images)
    unharmed(outside)


def test_the_report_deletes_no_figures_elsewhere(out, outside):
    linked(out / "figures", outside)
    with pytest.raises(InputError, match="figures"):
        report.write(out)
    unharmed(outside)


@pytest.mark.parametrize("name", ["runs", "RUN", "RUN/error.txt", "RUN/.lock", "RUN/log.jsonl"])
def test_a_worker_that_fails_writes_its_error_nowhere_else(name, out, outside, monkeypatch):
    """Links may have come since the command looked: the worker looks again."""
    run = run_of(out)
    linked(
        out / name.replace("RUN", f"runs/{run.name}"), outside if name in ("runs", "RUN") else outside / "thesis.tex"
    )
    monkeypatch.setattr(worker, "_events", said := io.StringIO())
    worker._attempt({"folder": str(run), "threads": 1, "device": "cpu"}, threading.Event())
    (event,) = map(json.loads, said.getvalue().splitlines())
    assert event["event"] == "failed" and "symbolic link" in event["message"]
    if name.startswith("RUN/"):
        assert "symbolic link" in (run / "error.txt").read_text() and not (run / "error.txt").is_symlink()
    unharmed(outside)


@pytest.mark.parametrize("name", ["runs", "RUN", "RUN/error.txt"])
def test_the_note_on_a_killed_worker_goes_nowhere_else(name, tmp_path, outside):
    place = linked(tmp_path / "out" / name.replace("RUN", "runs/a"), outside / "new" if "." in name else outside)
    if name == "RUN/error.txt":
        runner._record_failure(RunDirectory(place.parent), "killed")
        assert place.read_text() == "killed\n" and not place.is_symlink()
    else:
        with pytest.raises(InputError, match="symbolic link"):
            runner._record_failure(RunDirectory(tmp_path / "out" / "runs" / "a"), "killed")
    unharmed(outside)


@pytest.mark.parametrize("name", ["paper", "paper/figure2.png", "claims.json", ".lock"])
def test_a_reproduction_refuses_links_but_for_its_studies(name, out, outside, tmp_path):
    spec = load_study(out / "study.toml")
    (tmp_path / "reproduction").mkdir()
    (tmp_path / "reproduction" / "matched").symlink_to(out)
    directory = ReproductionDirectory(tmp_path / "reproduction")
    reproduction.check_free(directory, {"matched": spec})
    linked(tmp_path / "reproduction" / name, outside)
    with pytest.raises(InputError, match="symbolic link"):
        reproduction.check_free(directory, {"matched": spec})
    unharmed(outside)
