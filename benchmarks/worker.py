"""One form in a process of its own: `benchmarks.speed.Worker` is the other end.

Reads lines of JSON and answers each with one: first what to prepare, then the number of steps of each turn. It ends
with its input.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import torch

from benchmarks.forms import Setting, by_name
from benchmarks.speed import Entrant, images_of
from triptych.spec import RunSpec


def main() -> None:
    asked = json.loads(sys.stdin.readline() or "null")
    if asked is None:  # stopped before it was asked for anything
        return
    torch.set_num_threads(asked["threads"])
    spec = RunSpec.model_validate(asked["spec"])
    entrant = Entrant(by_name(asked["form"]), Setting(spec, images_of(spec)))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(entrant.turn(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
