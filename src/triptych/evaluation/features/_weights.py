"""Weights made elsewhere: files whose content is pinned by its SHA-256, the only ones that are ever unpickled.

`torch.load(weights_only=True)` is safe here: the very bytes that were hashed are read, their hash stands in this
package, and the restricted unpickler builds tensors and containers only. A file of a user's own is never read so.
"""

from __future__ import annotations

import http.client
import io
import os
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from triptych import store
from triptych.errors import InputError

TIMEOUT = 30  # seconds without a byte


class Pinned(NamedTuple):
    """A file of weights elsewhere: its address, its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str


def cache_folder() -> Path:
    """Where downloads are kept: $TRIPTYCH_CACHE, else the platform's folder for caches."""
    if own := os.environ.get("TRIPTYCH_CACHE"):
        return Path(own)
    default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or default) / "triptych"


def location(file: Pinned) -> Path:
    """Where a pinned file is kept once it is downloaded."""
    return cache_folder() / file.url.rpartition("/")[2]


def fetched(file: Pinned, say: Callable[[str], None]) -> dict[str, Tensor]:
    """The tensors of a pinned file, downloaded into the cache folder unless it lies there.

    Raises InputError when it cannot be had, with how to place it by hand, and when its content is another.
    """
    path = location(file)
    by_hand = f"Download {file.url} elsewhere and place it at {path} (SHA-256 {file.sha256})."
    try:
        with store.locked(path.parent, wait=True):  # runs scored side by side download it once
            if not path.exists():
                say(f"Downloading {file.url} ({file.size / 1e6:.0f} MB) ...")
                with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer:
                    content = answer.read(file.size + 1)
                checked(content, file.sha256, f"what {file.url} gave", by_hand)
                store.write(path, content)
        content = path.read_bytes()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(f"cannot get the weights ({error})", where=str(path), hint=by_hand) from error
    return read(content, file.sha256, str(path), f"Delete it. {by_hand}")


def read(content: bytes, sha256: str, where: str, hint: str) -> dict[str, Tensor]:
    """The tensors in a file's content, which is read only if its SHA-256 is this one; else raises InputError."""
    checked(content, sha256, where, hint)
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def checked(content: bytes, sha256: str, where: str, hint: str) -> None:
    """Raise InputError unless the content has this SHA-256."""
    if (found := store.sha256(content)) != sha256:
        raise InputError("not the file that is pinned by its SHA-256", where=where, value=found, hint=hint)
