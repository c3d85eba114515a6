"""The names of a study's files stand in one place, and what is read of them is what they say, or an error."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import triptych
from triptych import directory, store
from triptych.directory import ReproductionDirectory, RunDirectory, StudyDirectory
from triptych.errors import InputError
from triptych.spec import RunSpec

ROOT = Path(triptych.__file__).parent
SPEC = RunSpec(framework="gan", seed=3, condition={"training.order": ["dis", "dec"]})


def file_names() -> set[str]:
    """Every file that the directories know."""
    directories = RunDirectory("x"), StudyDirectory("x"), ReproductionDirectory("x")
    return {path.name for each in directories for path in vars(each).values() if path.suffix}


def test_no_other_module_spells_the_name_of_a_file():
    """`store` has the manifest's name, since it commits folders of any kind."""
    names = file_names()
    assert {"study.toml", "scores.jsonl", "spec.json", "log.jsonl", "outcome.json", "error.txt"} <= names
    spelt = {}
    for path in ROOT.rglob("*.py"):
        texts = [n.value for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant)]
        for name in names & {text for text in texts if isinstance(text, str)}:
            spelt.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    expected = {name: ["directory.py"] for name in names} | {store.MANIFEST: ["store.py"]}
    assert spelt == expected


def run(folder: Path, spec: RunSpec = SPEC) -> RunDirectory:
    """A run that has only begun."""
    files = StudyDirectory(folder).run(spec.id)
    store.write(files.spec_json, store.to_json(spec.model_dump(mode="json")))
    return files


def test_the_status_follows_the_files(tmp_path):
    assert StudyDirectory(tmp_path).run("gan-s0-00000000").status() == "missing"
    files = run(tmp_path)
    assert files.status() == "unfinished"
    files.error_txt.write_text("out of memory")
    assert files.status() == "failed"
    files.error_txt.unlink()
    store.write(files.outcome_json, b'{"status": "diverged", "images": 64}')
    assert files.status() == "incomplete"
    files.commit()
    assert files.status() == "diverged"
    store.write(files.outcome_json, b'{"status": "finished", "images": 64}')
    assert files.status() == "incomplete", "it is not the file that was committed"
    assert files.read().status == "incomplete"
    assert files.status(complete=True) == files.read(complete=True).status == "finished"  # as whoever asks has found


def test_a_record_holds_what_the_files_say(tmp_path):
    files = run(tmp_path)
    store.write(files.log_jsonl, store.to_lines([{"images": 64}, {"images": 128}]))
    store.write(files.scores_jsonl, store.to_lines([{"metric": "kid", "value": 1.5}]))
    store.write(files.samples / "000000064.png", b"a picture")
    record = files.read()
    assert (record.id, record.framework, record.seed, record.status) == (SPEC.id, "gan", 3, "unfinished")
    assert record.condition == {"training.order": ["dis", "dec"]}
    assert record.images == 128 and record.timing == [] and record.outcome == {}
    assert record.scores == {"kid": {"metric": "kid", "value": 1.5}}
    assert record.samples == {64: files.samples / "000000064.png"}
    assert files.load_spec() == SPEC and files.study.path == tmp_path.resolve()


def test_torn_files_are_an_error_or_a_note(tmp_path):
    files = run(tmp_path)
    files.outcome_json.write_text('{"status": "fin')
    files.log_jsonl.write_text('{"images": 64}\nnot JSON\n{"images": 128}\n{"ima')
    with pytest.raises(InputError, match="is not whole JSON"):
        files.read()
    problems: list[str] = []
    record = files.read(problems)
    assert record.outcome == {} and [row["images"] for row in record.log] == [64, 128]
    assert problems == [
        f"{files.id}/outcome.json is not whole JSON and is left out.",
        f"{files.id}/log.jsonl line 2 is not JSON and is left out.",
    ]
    with pytest.raises(InputError, match="line 2 is not JSON"):
        store.Reader().lines(files.log_jsonl)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"framework": 3}', b'{"framework": "gan", "seed": "x"}'])
def test_a_run_without_a_readable_spec_is_none(tmp_path, content):
    files = run(tmp_path)
    files.spec_json.write_bytes(content)
    for problems in (None, []):
        with pytest.raises(InputError, match=r"no readable spec\.json"):
            files.read(problems)


def test_a_run_of_another_form_or_name_belongs_to_an_older_version(tmp_path):
    run(tmp_path)
    StudyDirectory(tmp_path).refuse_older()
    old = SPEC.model_dump(mode="json") | {"condition": "training.order=['dis', 'dec']"}
    renamed = SPEC.model_copy(update={"seed": 4})
    for number, (spec, name) in enumerate([(old, "gan-s3-11111111"), (renamed.model_dump(mode="json"), SPEC.id)]):
        files = StudyDirectory(tmp_path / str(number)).run(name)
        store.write(files.spec_json, json.dumps(spec).encode())
        with pytest.raises(InputError, match="older version"):
            StudyDirectory(tmp_path / str(number)).refuse_older()
    with pytest.raises(InputError, match="older version"):
        StudyDirectory(tmp_path / "0").run("gan-s3-11111111").load_spec()


def test_the_names_that_are_constants_are_those_of_the_paths():
    files = StudyDirectory("x")
    assert files.study_toml.name == directory.STUDY_TOML and files.data_json.name == directory.DATA_JSON
    assert {directory.TIMING_JSONL, directory.ERROR_TXT} <= directory.NOT_HASHED
