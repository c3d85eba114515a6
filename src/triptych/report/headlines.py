"""The headlines: what the primary verdicts decide on each topic, how surely, and of which study."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.tables import Cell, Cells, beaten
from triptych.text import MINUS, count, finite, listed, number
from triptych.topics import BUILT_IN, Topic
from triptych.verdicts import planning
from triptych.verdicts.wording import FEW_SEEDS, display, needed, needed_span, risk_of

SOURCES = {"mnist": "MNIST"}
MARKS = {"signs": " ◆", "counts": " ◆", "normal": " ◇"}
"""What a decided verdict rests on, as a mark: nothing assumed, or that seeds scatter normally."""
OTHER = Topic(name="", title="Other")
"""Of scores whose entry in metrics.json is missing."""


@dataclass(frozen=True)
class Headline:
    """What the primary verdicts say on one topic under one condition."""

    question: str
    headline: str  # a framework, "GAN or VAE-GAN", "Not decided" ...
    leaders: list[str]  # frameworks named by the headline
    lines: list[tuple[Row, str]]  # (metric, what its verdicts say)


def topic_of(metric: Row) -> Topic:
    """The topic that an entry of metrics.json bears on."""
    entry = metric.get("topic")
    if not isinstance(entry, dict) or not entry.get("name"):
        return OTHER
    name, order = str(entry["name"]), finite(entry.get("order"))
    return Topic(
        name=name,
        title=str(entry.get("title") or name),
        question=str(entry.get("question") or ""),
        subject=str(entry.get("subject") or ""),
        order=OTHER.order if order is None else int(order),
    )


def by_topic(study: Study, role: str | None = None) -> dict[Topic, list[Row]]:
    """Metrics by the topic they bear on, in the topics' order, primary ones first within each."""
    groups: dict[Topic, list[Row]] = {}
    for metric in sorted(study.metrics, key=lambda m: m.get("role") != "primary"):
        if role in (None, metric.get("role")):
            groups.setdefault(topic_of(metric), []).append(metric)
    return dict(sorted(groups.items(), key=lambda group: (group[0] == OTHER, group[0].order, group[0].name)))


def unmeasured(study: Study) -> list[str]:
    """The usual questions to which this study has no primary metric, in mid-sentence."""
    measured = {topic.name for topic in by_topic(study, "primary")}
    missing = [t.question for t in BUILT_IN if t.question and measured and t.name not in measured]
    return [text[:1].lower() + text[1:].rstrip("?") for text in missing]


def directed(study: Study, role: str | None = None) -> list[Row]:
    """The metrics of which less or more is better, by topic."""
    return [m for ms in by_topic(study, role).values() for m in ms if m.get("better") in ("lower", "higher")]


def headlines(study: Study, condition: str, cells: Cells) -> list[Headline]:
    """One headline for each topic that has a primary metric."""
    found = []
    for topic, metrics in by_topic(study, "primary").items():
        standings = [_standing(study, m, condition, cells) for m in metrics]
        lines = [(m, line) for m, (_, _, line) in zip(metrics, standings, strict=True)]
        heads = list(dict.fromkeys(head for head, _, _ in standings))
        decided = [(head, leaders) for head, leaders, _ in standings if leaders]
        if len(heads) == 1:
            headline, leaders = heads[0], standings[0][1]
        elif len({head for head, _ in decided}) == 1:
            headline, leaders = (
                f"{decided[0][0]}, by {len(decided)} of {len(metrics)} measures",
                decided[0][1],
            )
        else:
            headline, leaders = "The measures disagree" if decided else "Not decided", []
        question = topic.question or topic.title
        found.append(Headline(question=question, headline=headline, leaders=leaders, lines=lines))
    return found


def _standing(study: Study, metric: Row, condition: str, cells: Cells) -> tuple[str, list[str], str]:
    """(headline, leaders, sentence) of one metric's verdicts."""
    by_framework = {f: cells[metric["metric"], f] for f in study.frameworks}
    verdicts = study.verdicts_of(metric["metric"], condition)
    comparable = list(dict.fromkeys(f for v in verdicts if v["verdict"] != "undefined" for f in (v["a"], v["b"])))
    if len(study.frameworks) == 1 or (verdicts and not comparable):
        return _alone(by_framework)
    if not verdicts:
        return "No verdict yet", [], "no verdict yet."
    outside = [f for f in dict.fromkeys(f for v in verdicts for f in (v["a"], v["b"])) if f not in comparable]
    won = beaten(verdicts)
    front = [f for f in comparable if all(loser != f for _, loser in won)]
    parts = [_wins(f, verdicts) for f in comparable if any(winner == f for winner, _ in won)]
    parts += [f"{_pair(v)} are equivalent{_how(v)}" for v in verdicts if v["verdict"] == "equivalent"]
    parts += _undecided([v for v in verdicts if v["verdict"] == "undecided"], alone=not parts)
    parts += [f"{display(f)} cannot be compared" + _because(by_framework.get(f)) for f in outside]
    return *_headline(verdicts, comparable, front, won), "; ".join(parts) + "."


def _wins(framework: str, verdicts: list[Row]) -> str:
    """Whom a framework beats, by how much, and how surely."""
    lost = [(v, v["b"]) for v in verdicts if v["a"] == framework and v["verdict"] == "better"]
    lost += [(v, v["a"]) for v in verdicts if v["b"] == framework and v["verdict"] == "worse"]
    return f"{display(framework)} is better than {listed([f'{display(loser)}{_how(v)}' for v, loser in lost])}"


def _how(verdict: Row) -> str:
    """An effect in words with its interval and the mark of what the verdict rests on.

    The better side's effect has the direction that is better, whichever side of the comparison it is.
    """
    effect, interval = str(verdict.get("effect_text") or ""), str(verdict.get("interval_text") or "")
    if effect and verdict["verdict"] in ("better", "worse") and verdict.get("direction"):
        effect += f" {verdict.get('better')}"
    shown = ", ".join(filter(None, [effect, interval]))
    mark = MARKS.get(str(verdict.get("rests_on") or ""), "")
    return f" ({shown}){mark}" if shown else mark


def _alone(cells: dict[str, Cell]) -> tuple[str, list[str], str]:
    """The standing where fewer than two frameworks have a value: which one has, and why the others have none."""
    having = [f for f, cell in cells.items() if cell.mean is not None]
    parts = [f"{display(f)} scores {cells[f].text}" for f in having]
    parts += [f"{display(f)} has no value" + _because(cell) for f, cell in cells.items() if f not in having]
    headline = "Not measurable for any framework" if not having else "Nothing to compare with"
    return headline if parts else "No verdict yet", [], "; ".join(parts) + "."


def _because(cell: Cell | None) -> str:
    return f" ({cell.why})" if cell and cell.why else ""


def _pair(verdict: Row) -> str:
    return f"{display(verdict['a'])} and {display(verdict['b'])}"


def _undecided(verdicts: list[Row], alone: bool, most: int = 3) -> list[str]:
    """What is undecided: pair by pair if there are few, else in one phrase; `alone` if nothing else is said."""
    if not verdicts:
        return []
    if len(verdicts) > most:
        return [f"{len(verdicts)} pairs are undecided"]
    seeds = [int(n) for v in verdicts if (n := finite(v.get("n")))]
    if len(verdicts) > 1 and seeds and max(seeds) <= FEW_SEEDS:
        pairs = listed([f"{display(v['a'])} against {display(v['b'])}" for v in verdicts])
        undecided = "no pair is decided" if alone else f"{pairs} are undecided"
        return [f"{undecided}; {count(max(seeds), 'seed')} cannot say how many would settle it"]
    known = [_seeds_needed(v) for v in verdicts]
    if len(verdicts) == 1 or not all(known):
        return [
            f"{_pair(v)} are undecided" + (f" ({needed(*seeds)})" if seeds else "")
            for v, seeds in zip(verdicts, known, strict=True)
        ]
    spans = [(_pair(v), needed_span(*seeds[:2])) for v, seeds in zip(verdicts, known, strict=True) if seeds]
    pairs = [f"{pair} ({span})" for pair, span in spans]
    pairs[0] = f"{spans[0][0]} ({spans[0][1]} in all would settle it, if the effect is as seen)"
    return [f"undecided: {listed(pairs)}"]


def _seeds_needed(verdict: Row) -> tuple[int, int | None, int] | None:
    """The fewest seeds that may settle it, the most, and those there are; None where it is not known."""
    low, high, n = (finite(verdict.get(key)) for key in ("seeds_needed_low", "seeds_needed_high", "n"))
    return None if low is None or n is None else (int(low), None if high is None else int(high), int(n))


def _headline(
    verdicts: list[Row], comparable: list[str], front: list[str], won: set[tuple[str, str]]
) -> tuple[str, list[str]]:
    if len(front) == 1 and all((front[0], f) in won for f in comparable if f != front[0]):
        return display(front[0]), front
    ahead = [f for f in front if any(winner == f for winner, _ in won)]
    if ahead:
        rest = [display(f) for f in front if f not in ahead]
        open_ = f", not decided against {listed(rest)}" if rest else ""
        return listed([display(f) for f in ahead], "or") + open_, ahead
    if all(v["verdict"] in ("equivalent", "undefined") for v in verdicts):
        return "No relevant difference", []
    return "Not decided", []


def differs(study: Study, part: str, key: str = "") -> bool:
    """Whether frameworks differ, under one condition, in a part of the specification or in one field of it."""

    def setting(spec: Row) -> str:
        table = spec.get(part) or {}
        return json.dumps(table.get(key) if key else table, sort_keys=True)

    return any(len({setting(r.spec) for r in study.of(c) if r.spec}) > 1 for c in study.conditions)


def facts(study: Study) -> dict[str, str]:
    """The study in a few words: frameworks, seeds, data, network, budget; from a run, else the study file."""
    spec = next((r.spec for r in study.runs if r.spec), study.config)
    part = {k: v if isinstance(v := spec.get(k), dict) else {} for k in ("data", "network", "training", "optimiser")}
    data, net, training, optimiser = part.values()
    varied = {key.split(".")[-1] for key in study.config.get("grid") or {}}

    def field(table: Row, key: str, words: str) -> str:
        return "" if table.get(key) is None or key in varied else words.format(number(table[key], 8))

    network = ", ".join(filter(None, [field(net, "width", "width {}"), field(net, "latent", "{} latents")]))
    budget = field(training, "images", "{} training images per run")
    rule = "" if "name" in varied else f"{optimiser.get('name', '')} {field(optimiser, 'rate', 'at {}')}".strip()
    source = str(data.get("source", "unknown data"))
    if source != "mnist" and data.get("path"):
        source = str(data["path"]).rstrip("/").replace("\\", "/").rpartition("/")[2]
    return {
        "frameworks": listed([display(f) for f in study.frameworks]),
        "seeds": count(len(study.seeds), "seed"),
        "data": SOURCES.get(source, source),
        "size": field(data, "size", "{} px"),
        "network": "network differs by framework" if differs(study, "network") else network,
        "budget": "budget differs by framework" if differs(study, "training", "images") else budget,
        "optimiser": "optimiser differs by framework" if differs(study, "optimiser") else rule,
    }


def certainty(study: Study) -> str:
    """How certain the decided comparisons are, and how many are undecided."""
    primary = {m["metric"] for m in study.metrics if m.get("role") == "primary"}
    made = [v for v in study.verdicts if v["metric"] in primary]
    counts = {
        w: sum(v["verdict"] == w for v in made) for w in ("better", "worse", "equivalent", "undecided", "undefined")
    }
    decided = counts["better"] + counts["worse"]
    if len(study.frameworks) == 1:
        return f"{display(study.frameworks[0])} is the only framework here: there is nothing to compare it with."
    if not made:
        return "No comparison has been made yet, so nothing is decided."
    text = f"Of {len(made)} primary comparisons, {decided} are decided"
    rest = [f"{counts[w]} {w}" for w in ("equivalent", "undecided", "undefined") if counts[w]]
    text += (f", {listed(rest)}" if rest else "") + ". "
    looks = study.config.get("looks") or []
    if looks:
        last = "the last" if len(study.seeds) >= looks[-1] else "not the last"
        text += f"Looks at {listed(list(map(str, looks)))} seeds were planned, and this is {last}. "
    return text.strip()


def basis(study: Study) -> str:
    """What the verdicts rest on: pairs, intervals and levels."""
    return (
        "Next to a card's values are the lowest and the highest seed. Comparisons are paired by seed. Intervals are "
        'those of each comparison alone, at 95 %, so one may leave out "no difference" next to an undecided verdict. '
        f"{levels(study)}"
    )


def pairing(study: Study) -> str:
    """Whether pairing by seed gains anything; empty where too few seeds tell."""
    alike = sorted(x for v in study.verdicts if (x := finite(v.get("correlation"))) is not None)
    if not alike:
        return ""
    middle = statistics.median(alike)
    gains = "so pairing gains" if middle > 0.2 else "so pairing gains little"
    return (
        f"Comparisons are paired by seed: over {count(len(alike), 'comparison')}, the correlation of two frameworks at "
        f"one seed is {middle:.1f} (median; {alike[0]:.1f} to {alike[-1]:.1f}), {gains}.".replace("-", MINUS)
    )


def risks(study: Study, condition: str) -> list[str]:
    """Each framework's risk: how many of its runs failed, and how many may."""
    found: dict[str, Row] = {}
    for verdict in study.verdicts_of(None, condition):
        found |= verdict.get("risks") or {}
    sound: dict[int, list[str]] = {}
    for framework in study.frameworks:
        if framework in found and not found[framework]["failed"]:
            sound.setdefault(found[framework]["runs"], []).append(framework)
    shown = [f for f in study.frameworks if f in found and found[f]["failed"]]
    meaning = ["A run fails if it diverges or collapses."] if found else []
    return (
        [f"{risk_of(**found[f], name=display(f))}." for f in shown]
        + [
            f"{listed([display(f) for f in names])}{', each' if len(names) > 1 else ''}: {risk_of(**found[names[0]])}."
            for names in sound.values()
        ]
        + meaning
    )


def legend(study: Study) -> str:
    """What the marks of decided verdicts mean; empty where there are none."""
    seen = {v.get("rests_on") for v in study.verdicts}
    exact = planning.seeds_without_assumptions(
        study.metrics, len(study.frameworks), len(study.config.get("looks") or ())
    )
    words = {
        "◆": "confirmed without assumptions, by an exact test" if seen & {"signs", "counts"} else "",
        "◇": f"assumes that seeds scatter normally; from {exact} seeds on, an exact test can confirm what they agree on"
        if "normal" in seen
        else "",
    }
    return "; ".join(f"{mark} {meaning}" for mark, meaning in words.items() if meaning)


def levels(study: Study) -> str:
    """What p-values are adjusted for."""
    return (
        f"Each topic is judged at its own level{level(study)}: p-values are adjusted (Holm) for the comparisons "
        "within a topic, primary and secondary measures apart, and not over all topics."
    )


def level(study: Study) -> str:
    """The level of the verdicts, as " of 5 %"; empty if they do not tell."""
    alphas = {x for v in study.verdicts if (x := finite(v.get("alpha"))) is not None}
    return f" of {number(100 * alphas.pop(), 3)} %" if len(alphas) == 1 else ""
