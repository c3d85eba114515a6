"""Frameworks as games: which networks there are, what the terms are, and who descends what.

A framework's file defines `FRAMEWORK`, a subclass of `Framework`. It says nothing of data order, noise, initial
weights, optimisers, budget or logging: those belong to the trainer, so that they are the same for all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from triptych import plugins
from triptych.errors import InputError
from triptych.spec import Frozen, RunSpec, checked

Noise = Callable[[str], Tensor]
"""`noise("z")`: this step's standard normal numbers of that name, [B, L]."""

Cut = Callable[[Tensor], Tensor]
"""`cut(images)`: the same images as a place where the graph may be cut; gradients pass as if it were not there."""


class Framework(ABC):
    """A game. Each player owns networks of its own and descends its own weighted sum of the shared terms."""

    Options: ClassVar[type[Frozen]] = Frozen
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Named variants: for each, what to lay over a run's options, network, optimiser and training."""

    def __init__(self, options: Any) -> None:
        self.options = options

    @property
    @abstractmethod
    def players(self) -> dict[str, tuple[str, ...]]:
        """Each player's networks; no network has two owners."""

    @property
    @abstractmethod
    def losses(self) -> dict[str, dict[str, float]]:
        """Each player's loss: the weight of each term in it. A term that stands nowhere is logged only."""

    @abstractmethod
    def terms(self, nets: nn.ModuleDict, x: Tensor, noise: Noise, cut: Cut) -> dict[str, Tensor]:
        """All terms, scalars, on one graph, from a batch x [B, C, S, S] in [-1, 1]."""

    def own_networks(self, nets: nn.ModuleDict) -> dict[str, nn.Module]:
        """Networks that this framework alone adds to the shared ones, already initialised; none by default."""
        return {}

    def moving(self, progress: float) -> tuple[str, ...]:
        """The players whose turn it is after that share (0 to 1) of the budget; all of them by default."""
        return tuple(self.players)

    def held_back(self, terms: dict[str, float]) -> tuple[str, ...]:
        """The players that sit this step out, given the values of its terms; none by default."""
        return ()

    def draw(self, turn: int, moving: tuple[str, ...]) -> int:
        """Which draw of the step's noise a turn of sequential updates sees; by default all see the first."""
        return 0

    @property
    def statistics(self) -> Literal["running", "batch"]:
        """BatchNorm's statistics when the networks are looked at: the running ones, as in any evaluation mode."""
        return "running"

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that this framework uses, in the order of its players."""
        return tuple(name for owned in self.players.values() for name in owned)


def framework_of(spec: RunSpec) -> Framework:
    """The framework that a run plays, with its options validated."""
    where = "frameworks"
    kind: Any = plugins.find("frameworks", spec.game, "FRAMEWORK", where)
    if not (isinstance(kind, type) and issubclass(kind, Framework)):
        raise InputError("not a triptych.frameworks.Framework", where=where, value=spec.game)
    return kind(checked(kind.Options, spec.options, f"options of {spec.framework}"))
