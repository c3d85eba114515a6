"""A study that is killed, stopped or bereft of a worker, and given the same command again, ends in the same bytes.

Everything here goes through the real command in processes of its own. Kills come at random moments of all phases;
which, a seeded generator decides, though where in a phase they hit hangs on the machine.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow(minutes=3)

KILLS = 20
STUDY = """
name = "tiny"
frameworks = {frameworks}
seeds = {seeds}
data = {{ source = "arrays", path = "{data}", size = 16 }}
network = {{ width = 0.03, latent = 8 }}
training = {{ images = 1920, batch_size = 16, log_images = 320 }}
scoring = {{ images = 100, metrics = ["frechet", "pixel_error", "sharpness"] }}
execution = {{ device = "cpu", workers = 2, threads = 1, checkpoint_seconds = 0.2 }}
"""
MEASURED = re.compile(r"timing\.jsonl|report\.html|paces-\w+\.json|.*\.pdf")
"""What a repetition may write otherwise: measured times, and what shows them."""


class Study:
    """A study in a folder, and the command that runs it."""

    def __init__(self, folder: Path, data: Path, frameworks: list[str], seeds: int) -> None:
        folder.mkdir()
        self.file, self.out, self.said = folder / "study.toml", folder / "out", folder / "said.txt"
        self.file.write_text(STUDY.format(frameworks=frameworks, seeds=seeds, data=data))

    def start(self) -> subprocess.Popen[bytes]:
        """The command, in a process group of its own; what it says goes to a file."""
        command = [sys.executable, "-m", "triptych.cli", "run", str(self.file), "--out", str(self.out)]
        with open(self.said, "wb") as said:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True)

    def run(self) -> int:
        return self.start().wait(300)

    def trains(self, since: float) -> bool:
        """Whether a run has written a checkpoint since then."""
        return any(mtime(path) > since for path in self.out.glob("runs/*/checkpoints/*"))

    def is_computed(self, runs: int) -> bool:
        return len(list(self.out.glob("runs/*/manifest.json"))) == runs

    def files(self) -> dict[str, bytes]:
        """All that a repetition of the study has to write again, bit for bit."""
        paths = [path for path in sorted(self.out.rglob("*")) if path.is_file() and not MEASURED.fullmatch(path.name)]
        return {str(path.relative_to(self.out)): path.read_bytes() for path in paths}


def mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def wait_until(condition: Callable[[], bool], process: subprocess.Popen, seconds: float = 120) -> None:
    """Wait until something holds, or the process has ended by itself."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.01)


def children(pid: int) -> dict[int, str]:
    """The processes that a process has started and that live: their ids and command lines."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def uninterrupted(digits_file, tmp_path_factory) -> dict[str, bytes]:
    study = Study(
        folder=tmp_path_factory.mktemp("uninterrupted") / "study",
        data=digits_file,
        frameworks=["vae", "gan", "vaegan"],
        seeds=2,
    )
    assert study.run() == 0, study.said.read_text()
    assert study.is_computed(6)
    files = study.files()
    assert {"scores.jsonl", "verdicts.json", "metrics.json", "table.csv", "study.toml"} <= files.keys()
    assert not any("checkpoints" in name or name.endswith(".partial") for name in files)
    return files


def test_twenty_kills_change_no_byte(uninterrupted, digits_file, tmp_path):
    study = Study(folder=tmp_path / "study", data=digits_file, frameworks=["vae", "gan", "vaegan"], seeds=2)
    chance = random.Random(20)
    moments = ["starting"] * 11 + ["training"] * 7 + ["computed"] * 2
    chance.shuffle(moments)
    moments.sort(key=lambda moment: moment == "computed")  # that comes once all else is done
    hits: list[str] = []
    for number, moment in enumerate(moments):
        began = time.time()
        process = study.start()
        if moment == "training":
            wait_until(lambda began=began: study.trains(began) or study.is_computed(6), process)
        elif moment == "computed":
            wait_until(lambda: study.is_computed(6), process)
        time.sleep(chance.uniform(0.1, 3.0 if moment == "starting" else 1.5))
        orphans = children(process.pid)
        if process.poll() is None:
            hits.append(f"{moment}, {'computed' if study.is_computed(6) else f'{len(orphans)} workers'}")
            if number % 2:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 10
        while any(map(is_alive, orphans)):
            assert time.monotonic() < end, "a worker outlives its parent"
            time.sleep(0.01)
    print(f"{len(hits)} of {KILLS} kills hit a running process: {hits}")
    assert len(hits) == len(moments) == KILLS
    assert sum("workers" in hit and "0 workers" not in hit for hit in hits) >= 5
    assert study.run() == 0, study.said.read_text()
    found = study.files()
    assert found.keys() == uninterrupted.keys()
    assert [name for name in found if found[name] != uninterrupted[name]] == []


def test_a_stopped_study_and_one_bereft_of_a_worker_go_on(uninterrupted, digits_file, tmp_path):
    study = Study(folder=tmp_path / "study", data=digits_file, frameworks=["vae", "gan"], seeds=1)
    for stop in (
        lambda process: process.send_signal(signal.SIGINT),
        lambda process: os.killpg(process.pid, signal.SIGINT),  # as Ctrl-C does
        lambda process: os.killpg(process.pid, signal.SIGTERM),  # as a scheduler does
    ):
        began = time.time()
        process = study.start()
        wait_until(lambda began=began: study.trains(began), process)
        stop(process)
        assert process.wait(60) == 75, study.said.read_text()
        assert "Stopped. Run the same command to resume" in study.said.read_text()
        assert "Traceback" not in study.said.read_text()

    process = study.start()
    wait_until(lambda: len(children(process.pid)) == 2, process)
    victim = min(children(process.pid))
    os.kill(victim, signal.SIGKILL)
    assert process.wait(120) == 3, study.said.read_text()
    assert "killed by signal 9" in study.said.read_text()
    assert len(list(study.out.glob("runs/*/manifest.json"))) == 1, "the other one went on to its end"
    assert (study.out / "report.html").exists()

    assert study.run() == 0, study.said.read_text()
    found = {name: content for name, content in study.files().items() if name.startswith("runs/")}
    assert len({Path(name).parts[1] for name in found}) == 2
    assert [name for name, content in found.items() if uninterrupted[name] != content] == []
