"""Write how far paired differences scatter from seed to seed, from a study's scores: the table that `plan` goes by.

    python scripts/write_scatter.py results/mnist-quick "MNIST, the preset quick, 3 seeds"

For each metric: the root of the mean variance of the paired differences over all pairs of frameworks, on the metric's
scale. Pairs of which one failed, or whose values do not fit the scale, are left out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections import defaultdict
from pathlib import Path

import numpy as np

from triptych.directory import StudyDirectory
from triptych.store import read_json, read_lines, to_json
from triptych.verdicts import scales

TABLE = Path(__file__).resolve().parents[1] / "src" / "triptych" / "verdicts" / "scatter.json"


def spreads(study: StudyDirectory) -> dict[str, float]:
    """The standard deviation of paired differences by metric."""
    values: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    images: dict[str, int] = {}
    for line in read_lines(study.scores_jsonl):
        if line["value"] is not None:
            values[line["metric"]][line["framework"]][line["seed"]] = line["value"]
            images[line["metric"]] = min(images.get(line["metric"], line["n"]), line["n"])
    found = {}
    for row in read_json(study.metrics_json):
        name, scale = row["metric"], scales.scale_of(row["scale"])
        variances = []
        for a, b in itertools.combinations(values[name].values(), 2):
            seeds = sorted(a.keys() & b.keys())
            sides = [[side[seed] for seed in seeds] for side in (a, b)]
            if len(seeds) > 1 and scale != "event" and all(scales.fits(scale, side) for side in sides):
                x, y = (scales.transformed(scale, side, images[name]) for side in sides)
                variances.append(float(np.var(x - y, ddof=1)))
        if variances and (sd := math.sqrt(sum(variances) / len(variances))):
            found[name] = float(f"{sd:.3g}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("source")
    given = parser.parse_args()
    TABLE.write_bytes(to_json({"source": given.source, "sd": spreads(StudyDirectory(given.study))}))
    print(f"{len(json.loads(TABLE.read_text())['sd'])} metrics: {TABLE}")


if __name__ == "__main__":
    main()
