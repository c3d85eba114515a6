"""What a worker of this machine is started with."""

from __future__ import annotations

import pytest

from triptych.study.executors.local import ALLOCATOR, _environment


def test_numpy_takes_one_thread_and_the_allocator_keeps_memory_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (*ALLOCATOR, "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    found = _environment()
    assert found["OPENBLAS_NUM_THREADS"] == "1" and found.items() >= ALLOCATOR.items()
    assert "OMP_NUM_THREADS" not in found  # PyTorch has the threads of the run
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert _environment()["OPENBLAS_NUM_THREADS"] == "2"


def test_an_empty_entry_of_pythonpath_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ":/a::/b")
    assert _environment()["PYTHONPATH"] == "/a:/b"
