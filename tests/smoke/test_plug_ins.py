"""What others' code may do in a worker without harm to the study: print, and fail."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from triptych import store
from triptych.study.executors import local

PLUG_IN = """
from triptych.frameworks.vae import VAE

print("a line that is no event")


class Talkative(VAE):
    def terms(self, nets, batch):
        print("{not json")
        return super().terms(nets, batch)


class Broken(VAE):
    def terms(self, nets, batch):
        raise RuntimeError("the plug-in's own fault")
"""


def jobs(tmp_path: Path, prepared: Path, tiny_run, *names: str) -> list[local.Job]:
    (tmp_path / "talk.py").write_text(textwrap.dedent(PLUG_IN), encoding="utf-8")
    return [
        {
            "id": name,
            "folder": str(tmp_path / name),
            "data": str(prepared),
            "fitted": str(tmp_path / "fitted"),
            "spec": tiny_run(f"talk:{name.partition('-')[0]}", training={"images": 32}).model_dump(mode="json"),
            "scoring": {"images": 50, "metrics": ["sharpness"]},
            "device": "cpu",
            "threads": 1,
            "workers": 2,
            "checkpoint_seconds": 30.0,
        }
        for name in names
    ]


def test_what_a_plug_in_prints_is_no_event_and_what_it_raises_is_told(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    told: list[local.Event] = []
    results = local.execute(jobs(tmp_path, prepared, tiny_run, "Talkative", "Broken"), 2, told.append)
    assert results == {"Talkative": "finished", "Broken": "failed"}
    assert store.is_whole(tmp_path / "Talkative")
    (failure,) = [event for event in told if event["event"] == "failed"]
    assert failure["message"] == "RuntimeError: the plug-in's own fault"
    assert "the plug-in's own fault" in (tmp_path / "Broken" / "error.txt").read_text()


def test_a_worker_does_one_run_after_another_until_one_fails(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    started: list[local.Worker] = []
    start = local._start
    monkeypatch.setattr(local, "_start", lambda events: started.append(start(events)) or started[-1])
    names = ["Talkative-1", "Talkative-2", "Broken", "Talkative-3"]
    told: list[local.Event] = []
    results = local.execute(jobs(tmp_path, prepared, tiny_run, *names), 1, told.append)
    assert results == dict.fromkeys(names, "finished") | {"Broken": "failed"}
    assert len(started) == 2, "the first did three runs, of which the last failed"
    assert all(process.poll() is not None for process in started)
    ends = [(event["id"], event["event"]) for event in told if event["event"] in ("started", *local.ENDS)]
    assert ends == [(name, event) for name in names for event in ("started", results[name])]
    digests = [(tmp_path / name / "manifest.json").read_bytes() for name in names if "Talk" in name]
    assert len(set(digests)) == 1, "a run does not depend on those before it in its process"


def test_an_error_in_the_parent_leaves_no_worker_behind(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    started = []
    start = local._start
    monkeypatch.setattr(local, "_start", lambda *arguments: started.append(start(*arguments)) or started[-1])

    def fail(event: local.Event) -> None:
        raise KeyError(event["id"])

    with pytest.raises(KeyError):
        local.execute(jobs(tmp_path, prepared, tiny_run, "Talkative"), 1, fail)
    assert [process.poll() is not None for process in started] == [True]
