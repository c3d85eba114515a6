"""The run directory: every write atomic, every generation numbered, everything hashed, the manifest last.

A file is written beside its final name, flushed to disk, and renamed; so at any moment, kill or power cut, each name
holds either the old content or the new. Checkpoints are directories by number; the newest whose hashes hold counts. A
run is whole exactly when its manifest is there and holds.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TEMPORARY = ".partial"
MANIFEST = "manifest.json"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def to_json(value: Any) -> bytes:
    """Indented JSON that ends in a newline; NaN and infinity are refused, for JSON has none."""
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def read_lines(path: Path) -> list[Any]:
    """The records of a JSON-lines file; none when it does not exist."""
    # Not splitlines, which also splits where JSON leaves a line whole, such as at U+2028.
    lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
    return [json.loads(line) for line in lines if line]


def to_lines(records: list[Any]) -> bytes:
    return "".join(json.dumps(r, allow_nan=False, ensure_ascii=False) + "\n" for r in records).encode()


def flush(path: Path) -> None:
    """fsync a file or a directory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a file so that its name never holds a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + TEMPORARY)
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
    flush(path.parent)


def remove_partials(folder: Path) -> None:
    """Remove what a killed process left half-written below `folder`."""
    for partial in sorted(folder.rglob("*" + TEMPORARY)):
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, wait: bool, name: str = "") -> Iterator[bool]:
    """Hold the folder, or what is called `name` in it, for this process; yields False at once if another holds it and
    `wait` is False.

    The system lets go of the lock when its holder dies, however it dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{name and '.' + name}.lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def write_manifest(folder: Path, left_out: Set[str]) -> None:
    """Commit a run: the SHA-256 of every file but those named, which differ when the run is repeated."""
    files = {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in _hashed(folder, left_out)}
    write(folder / MANIFEST, to_json({"files": files}))


def is_complete(folder: Path) -> bool:
    """Whether a run has been committed and every file is as it was then."""
    try:
        files = read_json(folder / MANIFEST)["files"]
        return all(sha256((folder / name).read_bytes()) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a manifest of whatever content
        return False


def _hashed(folder: Path, left_out: Set[str]) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in {MANIFEST, *left_out}
        and "checkpoints" not in path.relative_to(folder).parts
    ]


def save_checkpoint(folder: Path, number: int, files: dict[str, bytes]) -> None:
    """Write generation `number`, then remove all but it and the one before."""
    target = folder / "checkpoints" / f"{number:09d}"
    partial = target.with_name(target.name + TEMPORARY)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in files.items():
        write(partial / name, content)
    write(partial / MANIFEST, to_json({"files": {name: sha256(content) for name, content in files.items()}}))
    if target.exists():  # a torn generation of the same number, which load_checkpoint has passed over
        shutil.rmtree(target)
    os.replace(partial, target)
    flush(target.parent)
    for old in _generations(folder)[:-2]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path) -> dict[str, bytes] | None:
    """The files of the newest generation whose hashes hold; None when there is none."""
    for generation in reversed(_generations(folder)):
        if is_complete(generation):
            names = read_json(generation / MANIFEST)["files"]
            return {name: (generation / name).read_bytes() for name in names}
    return None


def drop_checkpoints(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _generations(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "checkpoints").glob("*") if path.name.isdigit())
