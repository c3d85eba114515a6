"""Randomness as a function of (seed, purpose, step), with one generator for each.

The only global generator in use is PyTorch's on the CPU, from which layers draw their initial weights and which they do
not let us replace: `triptych.frameworks.base.seeded` seeds it from a stream for that moment and puts it back.

Because a stream is derived and never carried along, there is no generator state to save: a run resumed at step t
draws exactly what the uninterrupted run drew at step t, and two frameworks at one seed draw the same numbers for the
same purpose. Streams are made on the CPU, whatever the device, so that a GPU sees the same numbers.
"""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A fresh CPU generator for one purpose (e.g. "noise/z") at one step of one seed."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
