"""A study's directory that an older version of triptych wrote: it is said to be so, and nothing in it changes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import triptych
from triptych import cli
from triptych.errors import InputError
from triptych.spec import StudySpec, to_toml
from triptych.study.plan import runs_of

STUDY = {
    "name": "old",
    "frameworks": ["vae", "gan"],
    "seeds": 1,
    "data": {"source": "mnist", "size": 16},
    "network": {"width": 0.03, "latent": 8},
    "training": {"images": 64},
    "scoring": {"images": 50, "metrics": ["pixel_error"]},
    "execution": {"device": "cpu"},
}


@pytest.fixture
def old(tmp_path) -> Path:
    """A finished study as it was left when a run's condition was still a text."""
    folder, spec = tmp_path / "out", StudySpec.model_validate(STUDY)
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "data.json").write_text('{"spec": {}, "fingerprint": ""}')
    (folder / "study.toml").write_text(to_toml(spec))
    for name in ("scores.jsonl", "verdicts.json", "report.html"):
        (folder / name).write_text("[]")
    for run in runs_of(spec):
        home = folder / "runs" / f"{run.framework}-s0-1a2b3c4d"
        home.mkdir(parents=True)
        (home / "spec.json").write_text(json.dumps(run.model_dump(mode="json") | {"condition": ""}))
        (home / "outcome.json").write_text('{"status": "finished", "images": 64}')
        (home / "manifest.json").write_text('{"files": {}}')
    return folder


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "out/study.toml"),
        ("run", "study.toml", "--out", "out"),
        ("status", "out"),
        ("report", "out"),
        ("score", "out", "--metrics", "sharpness"),
        ("score", "out/runs/vae-s0-1a2b3c4d"),
        ("sample", "out/runs/vae-s0-1a2b3c4d"),
    ],
    ids=" ".join,
)
def test_every_command_says_so_and_touches_nothing(old, arguments, monkeypatch, capfd):
    monkeypatch.chdir(old.parent)
    Path("study.toml").write_text((old / "study.toml").read_text())
    before = files(old.parent)
    monkeypatch.setattr(sys, "argv", ["triptych", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capfd.readouterr().err
    assert end.value.code == 2 and len(said.splitlines()) == 1
    assert "belongs to an older version of triptych" in said and "Nothing was changed" in said
    assert files(old.parent) == before


def test_python_says_so_too(old):
    before = files(old)
    for call in (triptych.open_study, lambda folder: triptych.run_study(StudySpec.model_validate(STUDY), folder)):
        with pytest.raises(InputError, match="older version"):
            call(old)
    assert files(old) == before


def test_a_study_file_of_an_older_form_says_so(old):
    for run in (old / "runs").iterdir():
        (run / "spec.json").unlink()
    (old / "study.toml").write_text("speed = 3\n" + (old / "study.toml").read_text())
    with pytest.raises(InputError, match=r"unknown key 'speed'.*older version"):
        triptych.open_study(old)
