"""Write how far paired differences scatter from seed to seed: the table by which `plan` says what seeds can decide.

    python scripts/write_scatter.py results/mnist-seeds "MNIST at 32 x 32 pixels, preset quick, 8 seeds"

For each metric with a direction: the root of the mean variance, by degrees of freedom, of the paired differences of all
pairs of frameworks, on the metric's scale and over the seeds in which no run failed, as verdicts.json has them. Events
are counted and have none; nor have comparisons without a typical run, or on another than the metric's own scale.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from triptych.directory import StudyDirectory
from triptych.store import read_json, to_json

TABLE = Path(__file__).resolve().parents[1] / "src" / "triptych" / "verdicts" / "scatter.json"


def spreads(verdicts: list[dict[str, Any]]) -> dict[str, float]:
    """The standard deviation of paired differences by metric, three digits of it."""
    squares: dict[str, float] = defaultdict(float)
    degrees: dict[str, int] = defaultdict(int)
    for row in verdicts:
        if row["sd"] and row["scale"] != "event" and not row["rescaled"] and not row["most_failed"]:
            squares[row["metric"]] += row["sd"] ** 2 * (row["n"] - 1)
            degrees[row["metric"]] += row["n"] - 1
    return {name: float(f"{math.sqrt(squares[name] / degrees[name]):.3g}") for name in squares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("source", help="what the study was, in a few words")
    given = parser.parse_args()
    sd = spreads(read_json(StudyDirectory(given.study).verdicts_json))
    TABLE.write_bytes(to_json({"source": given.source, "sd": sd}))
    print(f"{len(sd)} metrics: {TABLE}")


if __name__ == "__main__":
    main()
