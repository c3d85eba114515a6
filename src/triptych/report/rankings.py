"""Where rankings flip: the order of frameworks by one metric in several feature spaces, and whether it is decided.

A metric in a further space is named "<metric>@<space>". Two frameworks flip where one has the better mean in some
spaces and the other in others; only where verdicts decide it for both is that a disagreement between the spaces
and not noise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from triptych.report.collect import Row, Study
from triptych.report.tables import Cells, beaten
from triptych.report.topics import directed
from triptych.text import count, listed
from triptych.verdicts.wording import display


@dataclass(frozen=True)
class Order:
    """Frameworks by mean in one space, best first, and the pairs (winner, loser) that verdicts decide."""

    space: str
    ranked: list[str]
    means: dict[str, float]
    won: set[tuple[str, str]]

    @property
    def decided(self) -> str:
        """How much of the order stands by verdict."""
        pairs = list(itertools.combinations(self.ranked, 2))
        sure = sum(pair in self.won for pair in pairs)
        return "decided" if sure == len(pairs) else f"{sure} of {count(len(pairs), 'pair')} decided"

    def leader(self, a: str, b: str) -> str | None:
        """Which of two has the better mean; None where one has none or they are equal."""
        if a not in self.means or b not in self.means or self.means[a] == self.means[b]:
            return None
        return min((a, b), key=self.ranked.index)


@dataclass(frozen=True)
class Flip:
    """Two frameworks that change places; `real` where verdicts decide it both ways."""

    sentence: str
    real: bool


@dataclass(frozen=True)
class Ranking:
    """One metric in all its spaces."""

    label: str
    orders: list[Order]
    flips: list[Flip]


def rankings(study: Study, condition: str, cells: Cells) -> list[Ranking]:
    """Every metric that is present in two spaces or more and has a direction."""
    metrics = directed(study)
    found = []
    for base in metrics:
        name = base["metric"]
        orders = [
            order
            for m in metrics
            if m["metric"].partition("@")[0] == name and (order := _order(study, m, condition, cells))
        ]
        if len(orders) > 1:
            label = str(base.get("label") or name)
            pairs = itertools.combinations(study.frameworks, 2)
            flips = [flip for a, b in pairs if (flip := _flip(label, orders, a, b))]
            found.append(Ranking(label, orders, flips))
    return found


def _order(study: Study, metric: Row, condition: str, cells: Cells) -> Order | None:
    """The order by one metric; None where fewer than two frameworks have a value."""
    own = {f: cells[metric["metric"], f] for f in study.frameworks}
    means = {f: cell.mean for f, cell in own.items() if cell.mean is not None}
    if len(means) < 2:
        return None
    space = metric["metric"].partition("@")[2]
    space = space or next((c.features[0].partition("@")[0] for c in own.values() if c.features), "first space")
    ranked = sorted(means, key=lambda f: means[f], reverse=metric["better"] == "higher")
    return Order(space=space, ranked=ranked, means=means, won=beaten(study.verdicts_of(metric["metric"], condition)))


def _flip(label: str, orders: list[Order], a: str, b: str) -> Flip | None:
    """What is to say of two frameworks that change places between spaces; None for those that do not."""
    ahead = {x: [o for o in orders if o.leader(a, b) == x] for x in (a, b)}
    if not all(ahead.values()):
        return None
    sides, sure = [], []
    for x, y in ((a, b), (b, a)):
        spaces = [f"{o.space} ({'decided' if (x, y) in o.won else 'not decided'})" for o in ahead[x]]
        sides.append(f"{display(x)} is ahead of {display(y)} in {listed(spaces)}")
        sure.append(any((x, y) in o.won for o in ahead[x]))
    return Flip(f"By {label}, {'; '.join(sides)}.", all(sure))


def summary(found: list[Ranking]) -> str:
    """The finding in one or two sentences."""
    spaces = list(dict.fromkeys(order.space for ranking in found for order in ranking.orders))
    flips = [flip for ranking in found for flip in ranking.flips]
    over = f"{count(len(found), 'measure')} in {count(len(spaces), 'feature space')} ({listed(spaces)})"
    if not flips:
        return f"No ranking changes: by {over}, no two frameworks change places."
    real = sum(flip.real for flip in flips)
    times = "once" if len(flips) == 1 else f"{len(flips)} times"
    text = f"By {over}, two frameworks change places between spaces {times}. "
    if not real:
        return text + "No change is decided both ways, so all of them may be noise."
    which = "This is" if len(flips) == 1 else f"{real} of these are" if real > 1 else "1 of these is"
    return text + f"{which} decided both ways: there the spaces really disagree."
