"""Runs of the reproduction's studies made by hand, without files; their plan is what was made."""

from __future__ import annotations

from typing import Any

from triptych.claims.results import Results
from triptych.directory import RunRecord


def run(
    study: str,
    framework: str,
    seed: int,
    scores: dict[str, Any],
    *,
    status: str = "finished",
    log: Any = (),
    timing: Any = (),
    **fields: Any,
) -> RunRecord:
    """A run; a score is a number or its row, `fields` are of the spec, with a dot written as two underscores."""
    condition = {name.replace("__", "."): value for name, value in fields.items()}
    spec: dict[str, Any] = {"framework": framework, "seed": seed, "condition": condition}
    spec["training"] = {"images": 1000, "batch_size": 64, "log_images": 64, "translate": 0.0}
    for name, value in fields.items():
        part, _, field = name.partition("__")
        spec.setdefault(part, {})[field] = value
    rows = {name: row if isinstance(row, dict) else {"value": row} for name, row in scores.items()}
    made = RunRecord(
        study=study,
        id=f"{framework}-{seed}-{condition}",
        framework=framework,
        seed=seed,
        condition=condition,
        status=status,
        spec=spec,
    )
    made.__dict__.update(scores=rows, log=list(log), timing=list(timing))
    return made


def results(*runs: RunRecord) -> Results:
    planned: dict[str, dict[str, Any]] = {}
    for own in runs:
        planned.setdefault(own.study, {})[own.id] = own.spec
    return Results(runs, {}, planned)


def ablated(
    fix: dict[str, list[float]],
    keep: dict[str, list[float]],
    published: list[float] | None = None,
    fixed: list[float] | None = None,
    collapsed: float = 1.0,
) -> Results:
    """The GAN's runs: as published 100 and fixed 20, with some noise, and with each quirk fixed or kept alone."""
    noise = [0.0, 0.5, -0.4]
    ends = (published or [100 + x for x in noise], fixed or [20 + x for x in noise])

    def runs(variant: str, values: list[float]) -> list[RunRecord]:
        study = "ablation" if variant else "as_published"
        scores = [{"frechet_distance": v, "collapsed": collapsed} for v in values]
        return [run(study, f"as_published@gan{variant}", seed, each) for seed, each in enumerate(scores)]

    made = runs("", ends[0]) + runs("-fixed", ends[1])
    for kind, each in (("fix", fix), ("keep", keep)):
        for quirk, values in each.items():
            made += runs(f"-{kind}-{quirk}", values)
    return results(*made)
