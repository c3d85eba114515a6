"""The run directory: every write atomic, every generation numbered, everything hashed, the manifest last.

A file is written next to its final name, under a temporary name that no other writer has, flushed to disk, and renamed;
so at any moment, kill or power cut, each name holds either the old content or the new. Checkpoints are directories by
number; the newest whose hashes hold counts. A run is whole exactly when its manifest is there and holds.

A directory may come from somebody else, so nothing is written through a symbolic link in it. The directory itself may
be reached through links.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import tomllib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from triptych.errors import InputError

Row = dict[str, Any]

TEMPORARY = ".partial"
MANIFEST = "manifest.json"
LOCK = ".lock"
CHECKPOINTS = "checkpoints"
RACY_NS = 3_000_000_000


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


def refuse_link(*paths: Path) -> None:
    """Raise InputError for the first of the paths that is a symbolic link."""
    for path in paths:
        if path.is_symlink():
            raise InputError(
                "is a symbolic link, and nothing is written through one inside a study's directory",
                where=str(path),
                value=os.readlink(path),
                hint="Delete the link, or put what it leads to in its place.",
            )


def refuse_links(folder: Path) -> None:
    """Raise InputError for a symbolic link anywhere below `folder`, which may itself be one."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:  # not there, or not readable, which is said where it is read
        return
    for entry in entries:
        if entry.is_symlink():
            refuse_link(Path(entry.path))
        elif entry.is_dir():
            refuse_links(Path(entry.path))


def remove(path: Path) -> None:
    """Remove a file, a folder with all in it, or a link but not what it leads to; do nothing if none is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _no_link(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o666)


def creating(path: Path) -> BinaryIO:
    """A new file, open for writing; what a killed process left under its name, or a link, is removed first."""
    path.unlink(missing_ok=True)
    return open(path, "xb", opener=_no_link)


def appending(path: Path) -> BinaryIO:
    """A file, open for writing at its end and made if need be; raises InputError if it is a symbolic link."""
    try:
        return open(path, "ab", opener=_no_link)
    except OSError:
        refuse_link(path)
        raise


def write(path: Path, content: bytes) -> None:
    """Write a file so that its name never holds a part of it; a link of that name is replaced, not followed.

    Several processes may write the same file: one of them is the last. An OSError names the file.
    """
    partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}{TEMPORARY}")
    with named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with creating(partial) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        flush(path.parent)


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Let an OSError in the block be about this file, where it names none (a full disk) or one of a temporary name."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(TEMPORARY):
            error.filename, error.filename2 = str(path), None
        raise


def remove_partials(folder: Path) -> None:
    """Remove what a killed process left half-written below `folder`, where no process may be writing."""
    for partial in sorted(folder.rglob("*" + TEMPORARY)):
        remove(partial)


@contextmanager
def locked(folder: Path, wait: bool, name: str = "") -> Iterator[bool]:
    """Hold the folder, or what is called `name` in it, for this process; yields False at once if another holds it and
    `wait` is False.

    The system lets go of the lock when its holder dies, however it dies. Raises InputError if the lock's file is a
    symbolic link.
    """
    from filelock import FileLock, Timeout  # only here: its import takes longer than a help text should

    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name and '.' + name}{LOCK}"
    refuse_link(file)
    lock = FileLock(file)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        mine = False
    else:
        mine = True
    try:
        yield mine
    finally:
        if mine:
            lock.release()


def write_manifest(folder: Path, left_out: Set[str]) -> None:
    """Commit a run: the SHA-256 of every file but those named, which differ when the run is repeated."""
    files = {str(path.relative_to(folder)): sha256(path.read_bytes()) for path in _hashed(folder, left_out)}
    write(folder / MANIFEST, to_json({"files": files}))


def is_complete(folder: Path) -> bool:
    """Whether a run has been committed and every file is as it was then.

    Within one process a file is read again only if it has changed since.
    """
    try:
        files = read_json(folder / MANIFEST)["files"]
        return all(_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # a manifest of whatever content
        return False


def _digest(path: Path) -> str:
    """The SHA-256 of a file's content.

    It is remembered by what the system says of the file: size, inode, times. A file changed within the last seconds is
    not remembered, since a second change could fall into the same tick of the clock ("racy" files, as in git).
    """
    stat = path.stat()
    known = (str(path), stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < RACY_NS:
        return sha256(path.read_bytes())
    return _remembered_digest(*known)


@lru_cache(maxsize=100_000)
def _remembered_digest(path: str, *known: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed(folder: Path, left_out: Set[str]) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in {MANIFEST, *left_out}
        and CHECKPOINTS not in path.relative_to(folder).parts
    ]


def save_checkpoint(folder: Path, number: int, files: dict[str, bytes]) -> None:
    """Write generation `number`, then remove all but it and the one before.

    Raises InputError if the folder of the checkpoints is a symbolic link.
    """
    refuse_link(folder / CHECKPOINTS)
    target = folder / CHECKPOINTS / f"{number:09d}"
    partial = target.with_name(target.name + TEMPORARY)
    remove(partial)
    partial.mkdir(parents=True)
    for name, content in files.items():
        write(partial / name, content)
    write(partial / MANIFEST, to_json({"files": {name: sha256(content) for name, content in files.items()}}))
    remove(target)  # a torn generation of the same number, which load_checkpoint has passed over
    os.replace(partial, target)
    flush(target.parent)
    for old in _generations(folder)[:-2]:
        remove(old)


def load_checkpoint(folder: Path) -> dict[str, bytes] | None:
    """The files of the newest generation whose hashes hold; None when there is none."""
    for generation in reversed(_generations(folder)):
        if is_complete(generation):
            names = read_json(generation / MANIFEST)["files"]
            return {name: (generation / name).read_bytes() for name in names}
    return None


def drop_checkpoints(folder: Path) -> None:
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def _generations(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / CHECKPOINTS).glob("*") if path.name.isdigit())


class Reader:
    """Reads the files of a directory; a file that is not there is empty.

    Strictly, without `problems`: whatever cannot be read raises InputError. Tolerantly: it is left out and noted in
    `problems`. A run under way may have half of a last line in a `.jsonl` file; a tolerant reader passes over it.
    """

    def __init__(self, problems: list[str] | None = None) -> None:
        self.problems = problems

    def text(self, path: Path) -> str:
        """What the file holds; "" when it is not there."""
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            self._note(path, f"cannot be read ({type(error).__name__})")
            return ""

    def toml(self, path: Path) -> Row:
        """The table in a TOML file."""
        try:
            return tomllib.loads(self.text(path))
        except tomllib.TOMLDecodeError as error:
            self._note(path, f"cannot be read ({error})", short=True)
            return {}

    def table(self, path: Path) -> Row:
        """The object in a JSON file."""
        value = self._json(path)
        return value if isinstance(value, dict) else {}

    def tables(self, path: Path, needed: Set[str] = frozenset()) -> list[Row]:
        """The objects in a JSON file's list that have all the keys needed."""
        value = self._json(path)
        return [r for r in value if isinstance(r, dict) and needed <= r.keys()] if isinstance(value, list) else []

    def lines(self, path: Path, needed: Set[str] = frozenset()) -> list[Row]:
        """The objects in a JSON-lines file that have all the keys needed."""
        rows: list[Row] = []
        lines = self.text(path).split("\n")  # not splitlines, which also splits at U+2028
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line) if line.strip() else None
            except ValueError:
                row = None
                if number < len(lines) or self.problems is None:
                    self._note(path, f"line {number} is not JSON", " and is left out")
            if isinstance(row, dict) and needed <= row.keys():
                rows.append(row)
        return rows

    def _json(self, path: Path) -> Any:
        text = self.text(path)
        try:
            return json.loads(text) if text else None
        except ValueError:
            self._note(path, "is not whole JSON", " and is left out")
            return None

    def _note(self, path: Path, what: str, then: str = "", short: bool = False) -> None:
        """Raise what is wrong with a file, or note it with what is `then` done."""
        if self.problems is None:
            raise InputError(what, where=str(path))
        self.problems.append(f"{path.name if short else f'{path.parent.name}/{path.name}'} {what}{then}.")
