"""What others' code may do in a worker without harm to the study: print, and fail."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from triptych import store
from triptych.errors import InputError
from triptych.spec import ExecutionSpec
from triptych.study.executors import ENDS, Event, Job, local
from triptych.study.plan import resolve_execution
from triptych.training.environment import available_cores

pytestmark = pytest.mark.slow

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


def jobs(tmp_path: Path, prepared: Path, tiny_run, *names: str) -> list[Job]:
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
    told: list[Event] = []
    results = local.EXECUTOR.execute(jobs(tmp_path, prepared, tiny_run, "Talkative", "Broken"), 2, told.append)
    assert results == {"Talkative": "finished", "Broken": "failed"}
    assert store.is_complete(tmp_path / "Talkative")
    (failure,) = [event for event in told if event["event"] == "failed"]
    assert failure["message"] == "RuntimeError: the plug-in's own fault"
    assert "the plug-in's own fault" in (tmp_path / "Broken" / "error.txt").read_text()


def test_a_worker_does_one_run_after_another_until_one_fails(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    started: list[local.Worker] = []
    start = local._start
    monkeypatch.setattr(local, "_start", lambda events: started.append(start(events)) or started[-1])
    names = ["Talkative-1", "Talkative-2", "Broken", "Talkative-3"]
    told: list[Event] = []
    results = local.EXECUTOR.execute(jobs(tmp_path, prepared, tiny_run, *names), 1, told.append)
    assert results == dict.fromkeys(names, "finished") | {"Broken": "failed"}
    assert len(started) == 2, "the first did three runs, of which the last failed"
    assert all(process.poll() is not None for process in started)
    ends = [(event["id"], event["event"]) for event in told if event["event"] in ("started", *ENDS)]
    assert ends == [(name, event) for name in names for event in ("started", results[name])]
    digests = [(tmp_path / name / "manifest.json").read_bytes() for name in names if "Talk" in name]
    assert len(set(digests)) == 1, "a run does not depend on those before it in its process"


def test_an_error_in_the_parent_leaves_no_worker_behind(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    started = []
    start = local._start
    monkeypatch.setattr(local, "_start", lambda *arguments: started.append(start(*arguments)) or started[-1])

    def fail(event: Event) -> None:
        raise KeyError(event["id"])

    with pytest.raises(KeyError):
        local.EXECUTOR.execute(jobs(tmp_path, prepared, tiny_run, "Talkative"), 1, fail)
    assert [process.poll() is not None for process in started] == [True]


def test_a_file_in_the_working_directory_replaces_no_module_of_a_worker(tmp_path, prepared, tiny_run, monkeypatch):
    """Not the library's `random`, nor an installed `scipy`; a plug-in there is found all the same."""
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("queue", "random", "scipy", "triptych"):
        (folder / f"{name}.py").write_text("raise RuntimeError('this is not the module that was meant')")
    given = jobs(folder, prepared, tiny_run, "Talkative")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.path", [*sys.path, str(folder)])  # as the command does
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", os.environ.get("PYTHONPATH", "")]))  # "" is this folder
    told: list[Event] = []
    assert local.EXECUTOR.execute(given, 1, told.append) == {"Talkative": "finished"}, told


def test_a_line_that_is_no_event_is_passed_over(tmp_path):
    """Whatever a library prints before the worker has its output to itself; bytes that are no text included."""
    said = b'\xff loading ...\n7\n{"a": 1}\n{"event": "scoring"}\nwhy\n'
    script = f"import sys; sys.stdout.buffer.write({said!r}); sys.stdout.flush(); sys.exit(9)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    worker = subprocess.Popen([sys.executable, "-c", script], encoding="utf-8", errors="replace", **pipes)
    events: local.Events = queue.Queue()
    local._follow(worker, events)
    local._close(worker)
    found = [events.get_nowait()[1] for _ in range(events.qsize())]
    assert [event["event"] for event in found] == ["scoring", local.EXITED]
    assert found[1]["code"] == 9 and found[1]["message"].endswith("why")


def test_the_device_auto_is_chosen_where_the_run_is_computed(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.syspath_prepend(tmp_path)
    (job,) = jobs(tmp_path, prepared, tiny_run, "Talkative")
    execution = resolve_execution(ExecutionSpec(), 1)
    assert execution.device == "auto" and execution.executor is local.EXECUTOR
    assert local.EXECUTOR.execute([{**job, "device": execution.device}], 1, lambda event: None) == {
        "Talkative": "finished"
    }
    assert store.read_json(tmp_path / "Talkative" / "environment.json")["device"] == "cpu"


class Elsewhere:
    """An executor on another machine, which has what this one lacks."""

    on_this_machine = False

    def execute(self, jobs, workers, on_event, should_stop):
        return {job["id"]: "stopped" for job in jobs}


ELSEWHERE = Elsewhere()


def test_a_device_that_is_missing_here_is_refused_where_runs_are_computed_here(monkeypatch):
    with pytest.raises(InputError, match="no such device here"):
        resolve_execution(ExecutionSpec(device="cuda:77"), 1)
    monkeypatch.setattr("triptych.study.plan.find", lambda kind, name, where: ELSEWHERE)
    execution = resolve_execution(ExecutionSpec(device="cuda:77", executor="mine:ELSEWHERE"), 1)
    assert execution.device == "cuda:77" and execution.executor is ELSEWHERE
    assert execution.threads is None, "those of the machine that computes, which this one does not know"
    assert resolve_execution(ExecutionSpec(executor="mine:ELSEWHERE", threads=3), 1).threads == 3
    monkeypatch.setattr("triptych.study.plan.find", lambda kind, name, where: "a text")
    with pytest.raises(InputError, match="is not an executor"):
        resolve_execution(ExecutionSpec(executor="mine:TEXT"), 1)
    monkeypatch.setattr("triptych.study.plan.find", lambda kind, name, where: Elsewhere)
    with pytest.raises(InputError, match=r"is a class, not an executor.*EXECUTOR = Elsewhere\(\)"):
        resolve_execution(ExecutionSpec(executor="mine:Elsewhere"), 1)


def test_a_worker_without_a_number_of_threads_takes_the_cores_of_its_machine(tmp_path, prepared, tiny_run, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (job,) = jobs(tmp_path, prepared, tiny_run, "Talkative")
    assert local.EXECUTOR.execute([{**job, "threads": None}], 1, lambda event: None) == {"Talkative": "finished"}
    assert store.read_json(tmp_path / "Talkative" / "environment.json")["threads"] == available_cores()
