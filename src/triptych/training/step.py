"""One training step: the same for every framework, whatever its players, terms and networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from triptych.errors import InputError
from triptych.frameworks import Noise
from triptych.plugins import suggest
from triptych.rng import stream
from triptych.spec import RunSpec
from triptych.training.gradients import Cuts, gradients
from triptych.training.state import State


class Diverged(Exception):
    """A loss or a gradient is not a finite number; nothing has been updated with it."""


@dataclass
class Measured:
    """What one step showed: the value of each term, each player's loss and gradient norm, and who sat out."""

    terms: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    gradient_norms: dict[str, float] = field(default_factory=dict)
    held_back: list[str] = field(default_factory=list)


def noise_of(spec: RunSpec, step: int, like: Tensor, draw: int = 0) -> Noise:
    """The step's standard normal latents by name, [B, L], the same for every framework at one seed; later draws of one
    step are others.
    """

    def noise(name: str) -> Tensor:
        generator = stream(spec.seed, f"noise/{name}/{draw}" if draw else f"noise/{name}", step)
        return torch.randn(len(like), spec.network.latent, generator=generator).to(like)

    return noise


def turns(spec: RunSpec, state: State, progress: float) -> list[tuple[str, ...]]:
    """The groups of players that move at once, one after another.

    Simultaneous: one group. Sequential: one player at a time, in the named order or, without one, from the last
    player to the first (Dis, Dec, Enc).
    """
    moving = state.framework.moving(progress)
    if spec.training.updates == "simultaneous":
        return [moving]
    players = list(state.framework.players)
    order = spec.training.order or tuple(reversed(players))
    unknown = [name for name in order if name not in players]
    if unknown:
        raise InputError("no such player", where="training.order", value=unknown[0], mend=suggest(unknown[0], players))
    missing = [name for name in players if name not in order]
    if missing:
        raise InputError("a player never moves", where="training.order", value=missing[0], mend="Name every player.")
    return [(name,) for name in order if name in moving]


def set_modes(state: State, groups: list[tuple[str, ...]]) -> None:
    """Training mode for the networks of the players that move, evaluation mode for those that rest."""
    training = {name for group in groups for player in group for name in state.framework.players[player]}
    for name, network in state.nets.items():
        network.train(name in training)


def step(state: State, spec: RunSpec, x: Tensor, progress: float) -> Measured:
    """Move every player once, from a batch x [B, C, S, S]; `progress` is the share of the budget behind.

    Raises Diverged, with the buffers as they were, before a number that is not finite can touch a parameter.
    """
    buffers = [(buffer, buffer.clone()) for buffer in state.nets.buffers()]
    measured = Measured()
    groups = turns(spec, state, progress)
    set_modes(state, groups)
    try:
        for turn, group in enumerate(groups):
            draw = state.framework.draw(turn, group)
            _move(state, group, x, noise_of(spec, state.step, x, draw), measured)
    except Diverged:
        for buffer, before in buffers:
            buffer.copy_(before)
        raise
    state.step += 1
    return measured


def play(
    state: State, group: tuple[str, ...], x: Tensor, noise: Noise
) -> tuple[dict[str, Tensor], dict[str, list[Tensor]]]:
    """The terms, and the gradients of the players of one group, where they stand; moves nobody."""
    cuts = Cuts()
    terms = state.framework.terms(state.nets, x, noise, cuts)
    losses = {player: state.framework.losses[player] for player in group}
    return terms, gradients(terms, losses, {player: state.parameters(player) for player in group}, cuts)


def _move(state: State, group: tuple[str, ...], x: Tensor, noise: Noise, measured: Measured) -> None:
    """Move the players of one group together. Of sequential updates, each term is noted as the last player that
    descends it saw it.
    """
    terms, found = play(state, group, x, noise)
    norms = [torch.nn.utils.get_total_norm(found[player]) for player in group]
    # One transfer for all numbers: on a GPU each would wait for the device.
    numbers = torch.stack([value.detach().double() for value in [*terms.values(), *norms]]).tolist()
    values = dict(zip(terms, numbers, strict=False))
    for name, number in [*values.items(), *zip(group, numbers[len(terms) :], strict=True)]:
        if not math.isfinite(number):
            kind = "term" if name in values else "gradient of player"
            raise Diverged(f"{kind} {name!r} is {number} at step {state.step}")
    held_back = state.framework.held_back(values)
    descended = {name for player in group for name in state.framework.losses[player]}
    measured.terms |= {name: v for name, v in values.items() if name in descended or name not in measured.terms}
    measured.held_back += [player for player in group if player in held_back]
    for player, norm in zip(group, numbers[len(terms) :], strict=True):
        loss = state.framework.losses[player]
        measured.losses[player] = sum(weight * values[name] for name, weight in loss.items())
        measured.gradient_norms[player] = norm
        if player not in held_back:
            _update(state.optimisers[player], state.parameters(player), found[player])


def _update(optimiser: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], found: list[Tensor]) -> None:
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.grad = gradient
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
