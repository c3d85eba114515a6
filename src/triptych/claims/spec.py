"""What a claims file says of a part: sides, the quantity, the scale on which they are compared, what is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from triptych.claims import quantities
from triptych.claims.quantities import Quantity
from triptych.claims.results import Names, as_tuple
from triptych.spec import Frozen
from triptych.spec.nested import flat_fields

if TYPE_CHECKING:
    from triptych.evaluation.metrics import Output

SETTING = ("optimiser.name", "optimiser.rate")
Expectation = Literal["lower", "higher", "equivalent", "not lower", "not higher"]
WITHIN = ("equivalent", "not lower", "not higher")
"""Expectations that mean nothing without a margin."""
Scale = Literal["identity", "log2", "share", "event"]
"""What values are compared as: they are, by doublings, as shares within 0 and 1, or counted (0 or 1 for each run)."""
BY_METRIC: dict[str, Scale] = {"difference": "identity", "factor": "log2", "share": "share", "event": "event"}
"""By the name that a metric gives its scale (`triptych.verdicts.scales`)."""
At = Annotated[dict[str, Any], BeforeValidator(lambda at: flat_fields(at) if isinstance(at, dict) else at)]
"""Dotted fields of a spec and their values; tables within tables are accepted, too."""


class Protocol(Frozen):
    """Conditions under which parts are measured: where their runs are, and whether these parts decide the claim.

    `study` is that of a side that names none, `tuned_over` those of a tuned side; without both, the only study there
    is. `phrase` is how sentences name the protocol, such as "under matched conditions".
    """

    study: Names | None = None
    tuned_over: Names | None = None
    decides: bool = True
    phrase: str = ""


class Side(Frozen):
    """Runs: of one or more frameworks and studies, with the values that `at` gives to dotted fields of their specs.

    A list in `at` stands for any of its values. Without a study: that of the part's protocol. `quantity` replaces the
    part's.
    """

    framework: Names
    study: Names | None = None
    at: At = {}
    tuned: bool = False
    quantity: Quantity | None = None

    @property
    def frameworks(self) -> tuple[str, ...]:
        return as_tuple(self.framework)

    @property
    def studies(self) -> tuple[str, ...]:
        return as_tuple(self.study)


class PartSpec(Frozen):
    """One comparison of a claim and what the claim predicts for it; without `expects` it is only measured.

    `at` holds for all sides; their own values come first. Without `scale`, values are compared as verdicts compare them
    (`default_scale`). `margin` is the smallest effect that matters: in doublings on "log2", a difference on the others;
    by default the metric's own where the scale is the metric's. `seeds` is the smallest number that it needs.
    """

    protocol: str = ""
    statement: str = Field(min_length=1)
    quantity: Quantity | None = None
    at: At = {}
    a: Side
    b: Side | None = None
    c: Side | None = None
    d: Side | None = None
    per_doubling: str | None = None
    scale: Scale | None = None
    expects: Expectation | None = None
    margin: float | None = Field(default=None, gt=0)
    seeds: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _complete(self) -> PartSpec:
        if (self.c is None) != (self.d is None) or (self.c is not None and self.b is None):
            raise ValueError("an interaction needs all of a, b, c and d")
        if self.b is None and self.per_doubling is None and self.expects is not None:
            raise ValueError("what is expected needs something to compare with: give b, or per_doubling")
        if any(side.quantity is None for side in self.sides):
            raise ValueError("a quantity is needed, for the part or for each of its sides")
        if self.per_doubling is not None and any(side.tuned for side in self.sides):
            raise ValueError("a tuned side has one setting for each seed, and no slope over settings")
        known = quantities.outputs()
        has_own_margin = in_metrics_unit(self, known) or (self.metric not in known and not self.per_doubling)
        if self.expects in WITHIN and self.margin is None and not (self.metric and has_own_margin):
            raise ValueError(f"{self.expects!r} needs a margin on this scale")
        return self

    @property
    def sides(self) -> tuple[Side, ...]:
        """The sides with all that they take over from the part."""
        return tuple(self._resolved(side) for side in (self.a, self.b, self.c, self.d) if side is not None)

    @property
    def metric(self) -> str:
        """The metric of the first side, empty where it is no metric."""
        return (self.sides[0].quantity.metric if self.sides[0].quantity else None) or ""

    @property
    def name(self) -> str:
        """The quantity, or the two that are compared."""
        return " less ".join(dict.fromkeys(side.quantity.name for side in self.sides if side.quantity))

    @property
    def needs(self) -> tuple[str, ...]:
        """The metrics' outputs that it is read from; empty for losses and costs."""
        return tuple(dict.fromkeys(side.quantity.needs for side in self.sides if side.quantity and side.quantity.needs))

    def under(self, protocol: Protocol) -> PartSpec:
        """The part with its protocol's studies in each side that names none."""
        sides = {letter: side for letter in "abcd" if (side := getattr(self, letter)) is not None and not side.study}
        studies = {x: (side.tuned and protocol.tuned_over) or protocol.study for x, side in sides.items()}
        return self.model_copy(update={x: side.model_copy(update={"study": studies[x]}) for x, side in sides.items()})

    def _resolved(self, side: Side) -> Side:
        own = {"at": {**self.at, **side.at}, "quantity": side.quantity or self.quantity}
        return side.model_copy(update=own)


def default_scale(part: PartSpec, known: Mapping[str, Output]) -> Scale:
    """The scale on which verdicts compare the quantity of the first side; `known` are outputs of metrics by name.

    Costs, and times until a score is reached, are positive and compared by factors; a loss may be negative.
    """
    quantity = part.sides[0].quantity
    if quantity is None or quantity.log is not None:
        return "identity"
    if quantity.metric is None:
        return "log2"
    output = known.get(quantity.metric)
    return BY_METRIC[output.scale] if output else "identity"


def in_metrics_unit(part: PartSpec, known: Mapping[str, Output]) -> bool:
    """Whether the smallest effect of the part's metric is one of the part, too."""
    return bool(part.metric) and part.per_doubling is None and part.scale in (None, default_scale(part, known))


def unit_of(quantity: Quantity, known: Mapping[str, Output]) -> str:
    """A quantity's unit, empty where it has none; `known` are the outputs of metrics by name."""
    if quantity.metric:
        return known[quantity.metric].unit
    if quantity.curve:
        return quantity.unit
    return quantities.COSTS[quantity.cost][1] if quantity.cost else ""
