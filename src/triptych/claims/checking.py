"""Whether studies can answer a part of a claim, before anything is run: their grids, scores, logs and seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triptych.claims import quantities
from triptych.claims.quantities import Quantity
from triptych.claims.results import holds
from triptych.claims.spec import SETTING, WITHIN, PartSpec, Side, default_scale, in_metrics_unit, unit_of
from triptych.errors import InputError
from triptych.plugins import suggest
from triptych.spec import RunSpec, StudySpec
from triptych.spec.nested import field_of, flat_fields
from triptych.text import count

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output


@dataclass(frozen=True)
class Planned:
    """What a study will have: its runs at one seed, and the outputs that it scores."""

    study: StudySpec
    runs: list[tuple[RunSpec, dict[str, Any]]]
    scored: set[str]

    @property
    def outputs(self) -> dict[str, Output]:
        """The outputs of every metric there is, the study's own included, by name."""
        return quantities.outputs(self.study.scoring.metrics or ())


def planned(study: StudySpec) -> Planned:
    """What a study will have; raises InputError for one that cannot be run."""
    from triptych.evaluation.scoring import metrics_of
    from triptych.study.plan import runs_of

    runs = [(run, run.model_dump(mode="json")) for run in runs_of(study.model_copy(update={"seeds": study.seeds[:1]}))]
    return Planned(study, runs, {output.metric for metric in metrics_of(study.scoring) for output in metric.outputs})


def check_part(name: str, part: PartSpec, plans: Mapping[str, Planned]) -> None:
    """Raise InputError for what is missing (a study, a framework, a point of a grid, a score, seeds, a margin), for
    what is compared with itself, for units that differ, and for a scale on which the quantities cannot be compared.
    """
    compared = {
        letter: (_side(f"{name}, side {letter}", side, part.per_doubling, plans), side.quantity, side.tuned)
        for letter, side in zip("abcd", part.sides, strict=False)
    }
    _differ(name, compared)
    _one_unit(name, part, plans)
    seeds = set.intersection(*(set(plans[study].study.seeds) for side in part.sides for study in side.studies))
    fewest = max(part.seeds, 2 if any(side.tuned for side in part.sides) else 1)
    if len(seeds) < fewest:
        studies = " and ".join(dict.fromkeys(study for side in part.sides for study in side.studies))
        hint = f"Give --seeds {fewest} or more."
        raise InputError(f"needs {count(fewest, 'seed')} in {studies}", where=name, value=len(seeds), hint=hint)
    plan = plans[part.sides[0].studies[0]]
    has_own = in_metrics_unit(part, plan.outputs) and quantities.smallest_effect(part.metric, plan.study.scoring)
    if part.expects in WITHIN and part.margin is None and not has_own:
        what = f"{part.expects!r} needs a margin, and {part.metric} has none of its own on this scale"
        raise InputError(what, where=name, hint="Give the part a margin.")
    _one_scale(name, part, plan.outputs)


def _one_scale(where: str, part: PartSpec, known: Mapping[str, Output]) -> None:
    """Raise InputError for an event that is not counted, and for a margin whose scale is not stated."""
    scale = default_scale(part, known)
    metrics = [(side.quantity and side.quantity.metric) or "" for side in part.sides]
    counted = [metric in known and known[metric].scale == "event" for metric in metrics]
    if any(counted) and not (
        all(counted) and part.c is None and part.per_doubling is None and part.scale in (None, "event")
    ):
        what = f"{metrics[counted.index(True)]} is 0 or 1 for each run, which is counted on one side or on two"
        raise InputError(what, where=where, hint="Leave out `scale`, `per_doubling`, c and d.")
    if part.scale == "event" and not all(counted):
        hint = "Leave out `scale`, or name a metric that is 0 or 1 for each run."
        raise InputError("nothing to count", where=where, value=part.name, hint=hint)
    if part.margin is not None and scale in ("share", "event") and part.margin >= 1:
        hint = "A share lies between 0 and 1: 0.05 is five per cent."
        raise InputError("a margin of shares must be below 1", where=where, value=part.margin, hint=hint)
    if part.margin is not None and part.scale is None and scale == "log2":
        hint = (
            'Give scale = "log2" and a margin in doublings (0.1 is 7 %), or scale = "identity" and one in '
            f"{unit_of(part.sides[0].quantity, known) if part.sides[0].quantity else 'the unit'}."
        )
        raise InputError("a margin needs a scale here", where=where, value=part.margin, hint=hint)


def _differ(where: str, compared: Mapping[str, Any]) -> None:
    """Raise InputError for a difference that is nothing whatever the runs give; sides by letter."""
    for one, other in ("ab", "cd"):
        if one in compared and other in compared and compared[one] == compared[other]:
            hint = f"Let {one} and {other} differ."
            raise InputError("compares the same runs with themselves", where=where, hint=hint)
    a, b, c, d = (compared.get(letter) for letter in "abcd")
    if b is not None and (a, b) == (c, d):
        raise InputError("takes a difference from itself", where=where, hint="Let c and d differ from a and b.")


def _one_unit(where: str, part: PartSpec, plans: Mapping[str, Planned]) -> None:
    units = {
        letter: unit_of(side.quantity, plans[side.studies[0]].outputs)
        for letter, side in zip("abcd", part.sides, strict=False)
        if side.quantity
    }
    if len(set(units.values())) > 1:
        each = ", ".join(f"{letter} in {unit or 'no unit'}" for letter, unit in units.items())
        hint = "Give all sides quantities in one unit."
        raise InputError("compares quantities in different units", where=where, value=each, hint=hint)


def _side(where: str, side: Side, per_doubling: str | None, plans: Mapping[str, Planned]) -> list[str]:
    """The ids of one side's runs at one seed, sorted; raises InputError for what its studies lack."""
    found: list[tuple[RunSpec, dict[str, Any]]] = []
    for name in side.studies:
        if name not in plans:
            raise InputError("no such study", where=where, value=name, hint=suggest(name, plans))
        for framework in side.frameworks:
            found += _cells(f"{where}, study {name}", plans[name], framework, side.at)
        chosen_by = Quantity(metric=quantities.selection(plans[name].outputs)) if side.tuned else None
        for quantity in filter(None, (side.quantity, chosen_by)):
            _scored(f"{where}, study {name}", plans[name], quantity)
    if side.quantity and side.quantity.log is not None:
        _logged(where, side.quantity.log, [run for run, _ in found])
    if side.tuned:
        _can_be_tuned(where, side, [spec for _, spec in found])
    if per_doubling is not None:
        _spans(where, per_doubling, [spec for _, spec in found])
    return sorted(run.id for run, _ in found)


def _cells(where: str, plan: Planned, framework: str, at: Mapping[str, Any]) -> list[tuple[RunSpec, dict[str, Any]]]:
    own = [(run, spec) for run, spec in plan.runs if run.framework == framework]
    if not own:
        hint = suggest(framework, plan.study.frameworks)
        raise InputError("the study does not run this framework", where=where, value=framework, hint=hint)
    for field, wanted in at.items():
        _has_each(where, framework, field, wanted, [spec for _, spec in own])
    cells = [(run, spec) for run, spec in own if holds(spec, at)]
    if not cells:
        hint = "Add the combination to the study's grid."
        raise InputError(f"no run of {framework} has all of this at once", where=where, value=dict(at), hint=hint)
    return cells


def _has_each(where: str, framework: str, field: str, wanted: Any, specs: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError for a value, or one of a list of values, that no run has at this field."""
    values = [field_of(spec, field) for spec in specs]
    several = isinstance(wanted, list | tuple) and not any(isinstance(value, list | tuple) for value in values)
    for each in wanted if several else [wanted]:
        if not any(holds(spec, {field: each}) for spec in specs):
            known, there = list(flat_fields(specs[0])), ", ".join(dict.fromkeys(map(str, values)))
            hint = f"There: {there}. Add it to the study's grid." if field in known else suggest(field, known)
            raise InputError(f"no run of {framework} has this {field}", where=where, value=each, hint=hint)


def _scored(where: str, plan: Planned, quantity: Quantity) -> None:
    if quantity.needs is None:
        return
    known = plan.outputs
    if quantity.needs not in known:
        hint = suggest(quantity.needs, known)
        raise InputError("unknown metric", where=where, value=quantity.needs, hint=hint)
    if quantity.needs not in plan.scored:
        hint = "Add the metric that gives it to the study's scoring.metrics."
        raise InputError("the study does not score this", where=where, value=quantity.needs, hint=hint)
    if quantity.curve is not None and not (plan.study.training.snapshots and known[quantity.curve].axis):
        hint = "Name a metric over training, such as frechet_convergence, of a study with training.snapshots."
        raise InputError("there is no curve over training of this", where=where, value=quantity.curve, hint=hint)


def _logged(where: str, log: str, runs: Sequence[RunSpec]) -> None:
    from triptych.frameworks import framework_of

    for run in runs:
        losses = framework_of(run).losses
        terms = dict.fromkeys(term for loss in losses.values() for term in loss)
        known = [*(f"losses.{player}" for player in losses), *(f"terms.{term}" for term in terms)]
        if log not in known:
            raise InputError(f"{run.framework} logs no such number", where=where, value=log, hint=suggest(log, known))


def _can_be_tuned(where: str, side: Side, specs: Sequence[Mapping[str, Any]]) -> None:
    settings = [tuple(field_of(spec, name) for name in SETTING) for spec in specs]
    if len(set(settings)) < 2:
        what, hint = (
            "a tuned side needs two or more settings to choose from",
            f"Leave {' and '.join(SETTING)} out of `at`.",
        )
        raise InputError(what, where=where, value=dict(side.at), hint=hint)
    often, times = Counter(settings).most_common(1)[0]
    if times > 1:
        alike = [flat_fields(spec) for spec, setting in zip(specs, settings, strict=True) if setting == often]
        what = f"a tuned side needs one run per setting and seed, and has {times}"
        raise InputError(what, where=where, value=dict(side.at), hint=_narrower(alike))


def _narrower(specs: Sequence[Mapping[str, Any]]) -> str:
    """How to keep one of these runs (dotted field to value) of one setting."""
    fields = dict.fromkeys(field for spec in specs for field in spec if field.partition(".")[0] != "condition")
    varied = [field for field in fields if any(spec.get(field) != specs[0].get(field) for spec in specs)]
    if "framework" in varied:
        return "Give the side one framework."
    return f"Fix {' and '.join(varied)} in `at`." if varied else "Give the side studies that share no setting."


def _spans(where: str, field: str, specs: Sequence[Mapping[str, Any]]) -> None:
    values = list(dict.fromkeys(field_of(spec, field) for spec in specs))
    if len(values) < 2 or not all(isinstance(x, int | float) and x > 0 for x in values):
        what = f"a slope over {field} needs two or more values of it, all positive"
        raise InputError(what, where=where, value=values, hint="Let the side span more of the grid.")
