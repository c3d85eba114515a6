"""The headlines: what the primary verdicts decide on each topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.tables import Cell, Cells, beaten
from triptych.report.topics import by_topic
from triptych.text import count, finite, listed
from triptych.verdicts.wording import FEW_SEEDS, display, needed, needed_span

MARKS = {"signs": " ◆", "counts": " ◆", "normal": " ◇"}
"""What a decided verdict rests on, as a mark: nothing assumed, or that seeds scatter normally."""


NOISY = ("scores nearer to noise than to real images", "score nearer to noise than to real images")


@dataclass(frozen=True)
class Headline:
    """What the primary verdicts say on one topic under one condition."""

    question: str
    headline: str  # a framework, "GAN or VAE-GAN", "Not decided" ...
    leaders: list[str]  # frameworks named by the headline
    lines: list[tuple[Row, str]]  # (metric, what its verdicts say)


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
        scored = [{f: cells[m["metric"], f] for f in study.frameworks} for m in metrics]
        valued = [{f: cell for f, cell in own.items() if cell.mean is not None} for own in scored]
        if not leaders and all(own and len(_noisy(list(own), own)) == len(own) for own in valued):
            headline += ", all nearer to noise than to real images"
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
    if noisy := _noisy(comparable, by_framework):
        parts.append(f"{listed([display(f) for f in noisy])} {NOISY[len(noisy) > 1]}")
    return *_headline(verdicts, comparable, front, won), "; ".join(parts) + "."


def _noisy(frameworks: Sequence[str], cells: Mapping[str, Cell]) -> list[str]:
    """The frameworks whose value is nearer to that of noise than to that of real images."""
    return [f for f in frameworks if f in cells and cells[f].nearer_to_noise]


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
