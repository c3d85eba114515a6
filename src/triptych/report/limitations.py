"""Limitations: what went wrong in the runs, and what does not follow from the study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from triptych import text
from triptych.report.certainty import level, pairing
from triptych.report.collect import Study
from triptych.report.facts import differs, facts
from triptych.report.topics import topic_of
from triptych.text import count, finite, listed, number
from triptych.verdicts.wording import display, mostly_failed, primary

FEW = 500
"""With fewer test images a warning comes before anything else: features have 64 dimensions or more."""


def troubles(study: Study) -> list[str]:
    """Runs that did not finish as planned, and files that could not be read, one sentence each."""
    found = []
    for status, words in (
        ("diverged", "diverged"),
        ("unfinished", "not finished yet"),
        ("incomplete", "trained, but not scored to the end"),
        ("failed", "failed (see error.txt of the run)"),
        ("missing", "not started or lost"),
    ):
        runs = [r for r in study.runs if r.status == status]
        if runs:
            names = [
                f"{display(r.framework)} seed {r.seed}"
                + (f" ({text.condition(r.condition)})" if r.condition else "")
                + (f" after {number(r.images, 8)} images" if status == "diverged" else "")
                for r in runs
            ]
            found.append(f"{len(runs)} of {len(study.runs)} runs {words}: {listed(names)}.")
    found += _mostly_failed(study)
    counts = study.data.get("counts")
    test = finite(counts.get("test")) if isinstance(counts, dict) else None
    if test is not None and test < FEW:
        found.append(f"Only {number(test)} test images: scores that compare sets of images say little below {FEW}.")
    if not study.scores:
        found.append("There are no scores yet.")
    if not study.verdicts and len(study.frameworks) > 1:
        found.append("There are no verdicts yet.")
    return found + study.problems


def _mostly_failed(study: Study) -> Iterator[str]:
    """The frameworks of which most runs failed under a condition: what they score says nothing of the framework."""
    for condition in study.conditions:
        risks = {f: risk for v in study.verdicts_of(None, condition) for f, risk in (v.get("risks") or {}).items()}
        if said := mostly_failed({f: risks[f] for f in study.frameworks if f in risks}):
            yield f"{condition}: {said}" if condition else said


def limits(study: Study) -> list[str]:
    """What does not follow from this study, from its own numbers."""
    return [*_of_the_design(study), *_of_the_outcome(study)]


def _of_the_design(study: Study) -> Iterator[str]:
    said, n = facts(study), len(study.seeds)
    if n > 1:
        least = min(1.0, 2 / 2**n * max(1, len(study.config.get("looks") or [])))
        yield (
            f"It rests on {said['seeds']} per framework. Intervals assume that the differences between seeds are about "
            "normal; with this number of seeds, a test without that assumption cannot reach a p-value "
            f"below {number(least, 2)}."
        )
    else:
        yield "It rests on one seed per framework: how seeds differ is unknown, so nothing can be decided."
    if paired := pairing(study):
        yield paired
    looks = study.config.get("looks") or []
    if looks:
        open_ = sum(v["verdict"] == "undecided" for v in primary(study.verdicts))
        still = f"{count(open_, 'comparison')} still undecided" if open_ else "every comparison is decided"
        yield (
            f"Seeds are added in planned looks ({listed(list(map(str, looks)))}) while a primary comparison is "
            f"undecided: there are {n} of at most {looks[-1]}, and {still}. p-values are adjusted for "
            f"{len(looks)} looks."
        )
    if study.config.get("follows"):
        yield f"The results of {study.config['follows']} had been seen when this study was planned; it has other seeds."
    size = f", at one size ({said['size']})" if said["size"] else ""
    yield f"It is one data set, {said['data']}{size}: on other images the order of the frameworks may differ."
    counts = study.data.get("counts")
    train = finite(counts.get("train")) if isinstance(counts, dict) else None
    images = next((finite((r.spec.get("training") or {}).get("images")) for r in study.runs if r.spec), None)
    if said["budget"] and not differs(study, "training", "images"):
        passes = f", {number(images / train, 2)} times the training set" if train and images else ""
        yield (
            f"The budget is {said['budget']}{passes}: the leader may be another one with a larger budget. Equal "
            "images are not equal cost; the cost table shows the cost of each framework."
        )
    own = [part for part in ("network", "optimiser", "training") if differs(study, part)]
    shared = [f"one {part} setting ({said[part] or 'varied'})" for part in ("network", "optimiser") if part not in own]
    if shared and (said["network"] or said["optimiser"]):
        yield f"All frameworks had {listed(shared)}; the best setting of each framework may be different."
    if own:
        yield (
            f"Frameworks differ in their {listed(own)} settings, so a lead may come from the settings and not "
            "from the framework; the cost table shows the cost of each framework."
        )


def _any_wrong(study: Study, groups: int) -> str:
    """How likely a report of so many groups holds at least one wrong verdict, if nothing differs."""
    alpha = next((a for v in study.verdicts if (a := finite(v.get("alpha"))) is not None), 0.05)
    chance = 1 - (1 - alpha) ** groups
    return (
        f"If no framework differed from any other, up to {number(100 * chance, 2)} % of such reports would call one "
        "better by some measure: that is for groups that are independent of each other."
    )


def _of_the_outcome(study: Study) -> Iterator[str]:
    group_of = {m["metric"]: (topic_of(m).name, m.get("role")) for m in study.metrics}
    groups = {group_of.get(v["metric"]) for v in study.verdicts}
    if len(groups) > 1:
        yield (
            f"Each topic is judged at its own level{level(study)}, primary and secondary measures apart: p-values "
            f"are adjusted within each of these {len(groups)} groups of comparisons, not over all of them. "
            f"{_any_wrong(study, len(groups))}"
        )
    equivalent = Counter(
        (v["metric"], text.condition_key(v.get("condition") or {}))
        for v in study.verdicts
        if v["verdict"] == "equivalent"
    )
    if max(equivalent.values(), default=0) > 1:
        yield (
            "“Equivalent” is judged pair by pair. From A like B and B like C it does not follow that A is like C: "
            "small differences add up."
        )
    undecided = sum(v["verdict"] == "undecided" for v in study.verdicts)
    if undecided:
        yield (
            f"{undecided} of {len(study.verdicts)} comparisons are undecided. This does not mean that the "
            "frameworks are equal; only “equivalent” does."
        )
    diverged = {r.id for r in study.runs if r.status == "diverged"}
    scored = diverged & {s.get("run") for s in study.scores if finite(s.get("value")) is not None}
    if scored:
        yield (
            "Diverged runs are included in means and intervals with their last finite state, before the end of the "
            f"budget: {len(scored)} of {len(study.runs)} runs."
        )
    if diverged - scored:
        yield (
            f"Diverged runs without scores, {len(diverged - scored)} of {len(study.runs)}, are in no mean: "
            "means and intervals describe only the runs that survived."
        )
    features = sorted({str(s["features"]) for s in study.scores if s.get("features")})
    if features:
        yield (
            f"Distances between sets of images are measured in features ({listed(features)}); a fault that "
            "the features do not show does not change the distances."
        )
    accuracy = finite(study.extractor.get("held_out_accuracy"))
    if accuracy is not None:
        yield (
            f"Classes are read by a classifier trained on these labels, correct for {number(100 * accuracy, 3)} % "
            "of held-out images: class shares and distances depend on it."
        )
