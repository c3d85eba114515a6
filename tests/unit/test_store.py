"""The run directory: whatever moment a process dies at, every name holds old content or new, and damage is seen."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from triptych import store
from triptych.directory import NOT_HASHED, TIMING_JSONL

OLD, NEW = b"old content\n", b"new content, longer than the old\n"


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def die_at(monkeypatch: pytest.MonkeyPatch, call: int) -> list[str]:
    """Die just before the `call`-th of the system calls that change names or flush; returns the calls made."""
    made: list[str] = []
    for name in ("fsync", "replace", "unlink", "rmdir"):
        real = getattr(os, name)

        def counted(*args, name=name, real=real, **options):
            if len(made) == call:
                raise Killed
            made.append(name)
            return real(*args, **options)

        monkeypatch.setattr(os, name, counted)
    return made


def calls_of(monkeypatch: pytest.MonkeyPatch, action) -> list[str]:
    """The system calls that a whole action makes."""
    with monkeypatch.context() as patch:
        made = die_at(patch, -1)
        action()
    return made


def test_a_file_is_flushed_before_its_name_and_the_folder_after_it(tmp_path, monkeypatch):
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        order.append(f"fsync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        order.append(f"rename {Path(source).name} {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    store.write(tmp_path / "a.json", NEW)
    partial = order[0].removeprefix("fsync ")
    assert partial.startswith("a.json.") and partial.endswith(".partial")
    assert order == [f"fsync {partial}", f"rename {partial} a.json", f"fsync {tmp_path.name}"]


def test_a_write_that_dies_at_any_call_leaves_the_old_file_or_the_new(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    seen = set()
    for call in range(len(calls_of(monkeypatch, lambda: store.write(file, OLD)))):
        store.write(file, OLD)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at(patch, call)
            store.write(file, NEW)
        seen.add(file.read_bytes())
        store.remove_partials(tmp_path)
        assert os.listdir(tmp_path) == ["a.json"]
    assert seen == {OLD, NEW}


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path, monkeypatch):
    """The second one begins and ends while the first flushes; the last to rename stays, whole."""
    file, fsync, others = tmp_path / "a.json", os.fsync, [OLD]

    def interrupted(descriptor: int) -> None:
        if others:
            store.write(file, others.pop())
            assert file.read_bytes() == OLD
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    store.write(file, NEW)
    assert file.read_bytes() == NEW and os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "a.json"
    store.write(file, OLD)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        store.write(file, NEW)
    assert caught.value.filename == str(file), "the error itself names none"
    assert file.read_bytes() == OLD and os.listdir(tmp_path) == ["a.json"]


def test_a_folder_in_the_place_of_a_file_is_named_and_nothing_is_left(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        store.write(tmp_path / "a.json", NEW)
    assert caught.value.filename == str(tmp_path / "a.json")
    assert os.listdir(tmp_path) == ["a.json"]


def test_sweep_takes_partial_files_and_folders_at_any_depth_and_nothing_else(tmp_path):
    kept = tmp_path / "runs" / "a" / "log.jsonl"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (kept.parent / "outcome.json.partial").touch()
    torn = kept.parent / "checkpoints" / "000000007.partial"
    torn.mkdir(parents=True)
    (torn / "enc.safetensors.partial").touch()
    (torn / "dec.safetensors").touch()
    store.remove_partials(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert not torn.exists()


def checkpoint(number: int) -> dict[str, bytes]:
    return {"enc.safetensors": bytes([number]) * 100, "state.json": f'{{"step": {number}}}\n'.encode()}


def test_two_generations_are_kept_and_the_newest_is_loaded(tmp_path):
    assert store.load_checkpoint(tmp_path) is None
    for number in (0, 9, 10, 100):
        store.save_checkpoint(tmp_path, number, checkpoint(number))
        assert store.load_checkpoint(tmp_path) == checkpoint(number)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["000000010", "000000100"]
    store.drop_checkpoints(tmp_path)
    assert store.load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "no file", "no manifest", "torn manifest"])
def test_a_torn_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    store.save_checkpoint(tmp_path, 1, checkpoint(1))
    store.save_checkpoint(tmp_path, 2, checkpoint(2))
    newest = tmp_path / "checkpoints" / "000000002"
    content, manifest = (newest / "enc.safetensors").read_bytes(), (newest / "manifest.json").read_bytes()
    match damage:
        case "truncated":
            (newest / "enc.safetensors").write_bytes(content[:-1])
        case "emptied":
            (newest / "enc.safetensors").write_bytes(b"")
        case "flipped":
            (newest / "enc.safetensors").write_bytes(b"\x03" + content[1:])
        case "no file":
            (newest / "state.json").unlink()
        case "no manifest":
            (newest / "manifest.json").unlink()
        case "torn manifest":
            (newest / "manifest.json").write_bytes(manifest[: len(manifest) // 2])
    assert store.load_checkpoint(tmp_path) == checkpoint(1)
    store.save_checkpoint(tmp_path, 2, checkpoint(2))  # the repetition takes the torn one's place
    assert store.load_checkpoint(tmp_path) == checkpoint(2)


def test_a_checkpoint_that_dies_at_any_call_leaves_the_one_before_or_the_new(tmp_path, monkeypatch):
    def begin(folder: Path) -> None:
        store.save_checkpoint(folder, 1, checkpoint(1))
        store.save_checkpoint(folder, 2, checkpoint(2))

    begin(tmp_path / "whole")
    calls = calls_of(monkeypatch, lambda: store.save_checkpoint(tmp_path / "whole", 3, checkpoint(3)))
    seen = []
    for call in range(len(calls)):
        folder = tmp_path / str(call)
        begin(folder)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            die_at(patch, call)
            store.save_checkpoint(folder, 3, checkpoint(3))
        seen.append(store.load_checkpoint(folder))
        store.remove_partials(folder)
        store.save_checkpoint(folder, 4, checkpoint(4))
        assert store.load_checkpoint(folder) == checkpoint(4)
        assert len(os.listdir(folder / "checkpoints")) == 2
    turn = seen.index(checkpoint(3))
    assert seen == [checkpoint(2)] * turn + [checkpoint(3)] * (len(seen) - turn)
    assert turn > 0


def run_folder(folder: Path) -> Path:
    """What looks like a run, committed."""
    for name in ("spec.json", "log.jsonl", "weights/enc.safetensors", "samples/000000640.png"):
        store.write(folder / name, f"content of {name}\n".encode())
    for name in (TIMING_JSONL, "checkpoints/000000001/state.json"):
        store.write(folder / name, b"differs from run to run")
    store.write_manifest(folder, NOT_HASHED)
    return folder


def test_the_manifest_lists_what_a_repetition_writes_again(tmp_path):
    listed = store.read_json(run_folder(tmp_path) / "manifest.json")["files"]
    assert sorted(listed) == ["log.jsonl", "samples/000000640.png", "spec.json", "weights/enc.safetensors"]
    assert store.is_complete(tmp_path)
    store.write(tmp_path / TIMING_JSONL, b"another day")
    assert store.is_complete(tmp_path)


def test_the_manifest_sees_every_flipped_bit_of_every_file(tmp_path):
    files = store.read_json(run_folder(tmp_path) / "manifest.json")["files"]
    for name in files:
        content = (tmp_path / name).read_bytes()
        for place in range(8 * len(content)):
            damaged = bytearray(content)
            damaged[place // 8] ^= 1 << place % 8
            (tmp_path / name).write_bytes(damaged)
            assert not store.is_complete(tmp_path), (name, place)
        (tmp_path / name).write_bytes(content)
    assert store.is_complete(tmp_path)


def test_an_old_file_is_read_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    read: list[str] = []
    real = store.hashlib.file_digest
    monkeypatch.setattr(store.hashlib, "file_digest", lambda *given: (read.append(given[0].name), real(*given))[1])
    monkeypatch.setattr(store, "RACY_NS", 0)  # as if the files were old
    files = store.read_json(run_folder(tmp_path) / "manifest.json")["files"]
    assert store.is_complete(tmp_path) and store.is_complete(tmp_path)
    assert len(read) == len(files)
    log = tmp_path / "log.jsonl"
    content, times = log.read_bytes(), log.stat()
    store.write(log, content.replace(b"log", b"lag"))
    os.utime(log, ns=(times.st_atime_ns, times.st_mtime_ns))  # of the same size and time
    assert not store.is_complete(tmp_path)


def test_a_damaged_manifest_is_no_commit(tmp_path):
    """Any bit of it: either it no longer reads or no longer fits the files. It must never raise."""
    manifest = run_folder(tmp_path) / "manifest.json"
    content = manifest.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.choice(8 * len(content), 400, replace=False):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        manifest.write_bytes(damaged)
        assert not store.is_complete(tmp_path), place
    for other in (b"", b"null\n", b"[]\n", b"{}\n", b'{"files": []}\n', b'{"files": null}\n', content[:-3]):
        manifest.write_bytes(other)
        assert not store.is_complete(tmp_path), other
    manifest.unlink()
    assert not store.is_complete(tmp_path)


def test_json_refuses_what_json_has_not():
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            store.to_json({"value": value})
        with pytest.raises(ValueError, match="JSON"):
            store.to_lines([{"value": value}])


def test_lines_come_back_as_they_went(tmp_path):
    records = [{"value": 0.1 + 0.2, "name": "é \u2028 \n"}, {"value": None}, []]
    store.write(tmp_path / "a.jsonl", store.to_lines(records))
    assert store.read_lines(tmp_path / "a.jsonl") == records
    assert store.read_lines(tmp_path / "b.jsonl") == []


def test_a_lock_keeps_a_second_process_out_until_its_holder_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None and holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with store.locked(tmp_path, wait=False) as mine:
        assert not mine
    holder.send_signal(signal.SIGKILL)
    with store.locked(tmp_path, wait=True) as mine:
        assert mine
    assert holder.wait() == -signal.SIGKILL
    holder.stdin.close()
    holder.stdout.close()
    with store.locked(tmp_path, wait=False) as mine:
        assert mine, "the block above let go of it"


HOLD = """
import sys
from pathlib import Path
from triptych import store
with store.locked(Path(sys.argv[1]), wait=True):
    print("held", flush=True)
    sys.stdin.read()
"""
