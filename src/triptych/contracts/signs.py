"""The sign test: a player that makes images must not help the critic that judges them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from triptych.contracts.base import Broken, NotApplicable
from triptych.contracts.subject import Subject, answer_of, uses, whole
from triptych.training.cost import phases
from triptych.training.state import State
from triptych.training.step import batch_of, set_modes, update_groups

OPPOSED = 0.5
"""Cosine above which a player's term counts as pulling the same way as the critic's loss."""


def signs(subject: Subject) -> None:
    """No term of a player that makes images pulls the way that a critic of these images pulls.

    Where a framework computes each player's terms by itself, the critic's loss does not reach the maker. There, the
    maker takes a small step down its term, and the critic's loss must not fall.
    """
    state = subject.state()
    makers, critics = _makers_and_critics(subject, state)
    if not critics:
        raise NotApplicable("no player is only a critic")
    for players, (progress, _) in phases(state.framework).items():
        set_modes(state, update_groups(subject.spec(), state.framework, progress))
        for critic in critics & set(players):
            for maker in makers & set(players):
                for name in state.framework.losses[maker]:
                    if _helps(subject, state, progress, critic, maker, name):
                        raise Broken(
                            f"the term {name!r} of player {maker!r} lowers the loss of {critic!r}: it helps the critic "
                            "instead of fooling it",
                            "a wrong sign, labels the wrong way round in the generator's loss, or the critic's own "
                            "gradient left in the generator's update",
                        )


def _helps(subject: Subject, state: State, progress: float, critic: str, maker: str, name: str) -> bool:
    """Whether one term of the maker pulls the way of the critic's loss."""
    parameters, spec = state.parameters(maker), subject.spec()

    def loss(player: str, active: tuple[str, ...], only: str = "") -> Tensor:
        batch = whole(batch_of(state, spec, subject.examples(), active, 0, progress))
        terms, weights = state.framework.terms(state.nets, batch), state.framework.losses[player]
        chosen = {only: weights[only]} if only else weights
        return sum((weight * terms[term] for term, weight in chosen.items()), torch.zeros(()))

    def slope(player: str, active: tuple[str, ...], only: str = "") -> Tensor:
        return _flat(loss(player, active, only), parameters)

    active = state.framework.active_players(progress)
    try:
        ours, theirs = slope(maker, active, name), slope(critic, active)
    except KeyError:
        ours, theirs = slope(maker, (maker,), name), torch.zeros(())
    if not ours.any() or _independent(state, critic, loss(maker, (maker,), name)):
        return False
    if theirs.any():
        return float(ours @ theirs) / float(ours.norm() * theirs.norm()) > OPPOSED
    before = loss(critic, (critic,)).item()
    steps = (-1e-3 * ours / ours.norm()).split([p.numel() for p in parameters])
    _shift(parameters, steps)
    after = loss(critic, (critic,)).item()
    _shift(parameters, [-part for part in steps])
    return after < before


def _flat(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    parts = zip(parameters, found, strict=True)
    return torch.cat([torch.zeros(p.numel()) if g is None else g.flatten() for p, g in parts])


@torch.no_grad()
def _shift(parameters: list[nn.Parameter], steps: Sequence[Tensor]) -> None:
    for parameter, part in zip(parameters, steps, strict=True):
        parameter.add_(part.view_as(parameter))


def _independent(state: State, critic: str, term: Tensor) -> bool:
    """Whether a term does not look at the critic's networks."""
    return not _flat(term, state.parameters(critic)).any()


def _makers_and_critics(subject: Subject, state: State) -> tuple[set[str], set[str]]:
    """The players whose networks make samples, codes or reconstructions, and those none of whose networks does."""
    called: set[str] = set()

    def noting(name: str) -> Callable[..., None]:
        return lambda module, inputs: called.add(name)

    handles = [network.register_forward_pre_hook(noting(name)) for name, network in state.nets.items()]
    model = subject.model(state)
    for ability, use in uses(subject, model, 2).items():
        if ability != "discriminator_features" and model.can(ability):
            with torch.no_grad():
                answer_of(use)
    for handle in handles:
        handle.remove()
    players = state.framework.players
    makers = {player for player, owned in players.items() if called & set(owned)}
    return makers, set(players) - makers
